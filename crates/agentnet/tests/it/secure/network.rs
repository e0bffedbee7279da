//! A network in secure mode for one test: a real nats-server whose users come from a file, our registry, and its members.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentnet::protocol::permissions::{Grant, Role, permissions};
use agentnet::{AgentBuilder, AgentNode, Connection, RegistryClient};
use agentnet_keys::MemberIdentity;
use agentnet_nats::NatsUrl;
use agentnet_registry::{
    Authority, BrokerUser, LocalMember, Registry, RegistryConfig, RegistryHandle, write_users_file,
};
use agentnet_store::{OpenOptions, Store};
use agentnet_testkit::{NatsServer, TestDatabase};
use async_nats::{Client, ConnectOptions, Event};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// The longest that a test waits for one thing before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

const REGISTRY: &str = "acct_registry_one";

pub(crate) struct SecureNetwork {
    pub(crate) registry: RegistryHandle,
    _store: Arc<dyn Store>,
    pub(crate) nats: NatsServer,
    _database: TestDatabase,
    folder: TempDir,
}

impl SecureNetwork {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// With further lines in the configuration of nats-server.
    pub(crate) async fn start_with(config: &str) -> Self {
        Self::start_configured(config, |_| {}).await
    }

    /// With other settings of the registry too.
    pub(crate) async fn start_configured(config: &str, change: impl FnOnce(&mut RegistryConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users.conf");
        let mut identity = MemberIdentity::generate(
            Vec::new(),
            REGISTRY.to_owned(),
            "registry".to_owned(),
            Role::Registry.as_str().to_owned(),
        );
        let grant = Grant {
            role: Role::Registry,
            account_id: REGISTRY,
            capabilities: &[],
            may_send_to: None,
        };
        let own = BrokerUser {
            nkey: identity.nkey().public(),
            permissions: permissions(&grant).unwrap(),
        };
        write_users_file(&users, &[own]).unwrap();
        // A path of an include is relative to the file that includes it; both are in the folder for temporary files.
        let included = PathBuf::from("..")
            .join(folder.path().file_name().unwrap())
            .join("users.conf");
        let pid = folder.path().join("nats.pid");
        let nats = NatsServer::builder()
            .jetstream(true)
            .extra_config(format!(
                "pid_file: {pid:?}\nmax_control_line: 64KB\nsystem_account: SYS\n\
                 accounts {{\n  SYS {{ users: [] }}\n  AGENTNET {{\n    jetstream: enabled\n    include {included:?}\n  }}\n}}\n{config}"
            ))
            .start()
            .await
            .unwrap();
        identity.urls = vec![nats.url_without_token()];
        let file = folder.path().join("registry.json");
        identity.create(&file).unwrap();
        let database = TestDatabase::start().await.unwrap();
        let store = agentnet_store::open(&database.url(), &OpenOptions::default())
            .await
            .unwrap();
        let mut config = RegistryConfig {
            nats_url: format!("identity:{}", file.display()),
            authority: Some(Authority::file(users, pid)),
            ..RegistryConfig::default()
        };
        change(&mut config);
        let registry = Registry::start(config, Arc::clone(&store)).await.unwrap();
        Self {
            registry,
            _store: store,
            nats,
            _database: database,
            folder,
        }
    }

    /// A connection with the registry's own credential.
    pub(crate) async fn as_registry(&self) -> Client {
        let file = self.folder.path().join("registry.json");
        let url = format!("identity:{}", file.display());
        agentnet::connect(&url, "test").await.unwrap()
    }

    /// A member, whose identity is in a file.
    pub(crate) async fn member(&self, name: &str, role: Role) -> Member {
        let urls = vec![self.nats.url_without_token()];
        let role_text = role.as_str().to_owned();
        let mut identity = MemberIdentity::generate(urls, String::new(), name.to_owned(), role_text);
        let (nkey, key) = (identity.nkey().public(), identity.signing_key());
        let member = LocalMember {
            username: name,
            role,
            nkey: &nkey,
            public_key: key.public_text(),
        };
        identity.account_id = self.registry.add_member(member).await.unwrap();
        let file = self.folder.path().join(format!("{name}.json"));
        identity.create(&file).unwrap();
        Member {
            account_id: identity.account_id,
            url: format!("identity:{}", file.display()),
            name: name.to_owned(),
        }
    }

    pub(crate) async fn agent(&self, name: &str) -> Member {
        self.member(name, Role::Agent).await
    }
}

/// A member of a secure network.
pub(crate) struct Member {
    pub(crate) account_id: String,
    pub(crate) url: String,
    pub(crate) name: String,
}

impl Member {
    /// A node, not yet started.
    pub(crate) fn node(&self) -> AgentBuilder {
        AgentNode::builder(&self.name)
            .username(&self.name)
            .nats_url(&self.url)
            .ignore_environment()
    }

    /// A running node.
    pub(crate) async fn start(&self, finish: impl FnOnce(AgentBuilder) -> AgentBuilder) -> AgentNode {
        // Until the server knows the user.
        drop(self.registry().await);
        finish(self.node()).start().await.unwrap()
    }

    pub(crate) async fn registry(&self) -> RegistryClient {
        // The server may not have read the users yet.
        let start = std::time::Instant::now();
        loop {
            match Connection::open(&self.url, "test").await {
                Ok(connection) => return RegistryClient::on(&connection).with_timeout(DEADLINE),
                Err(error) if start.elapsed() > DEADLINE => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// A client without code of ours, and what the server refuses it.
    pub(crate) async fn raw(&self) -> (Client, mpsc::Receiver<String>) {
        let (refused, refusals) = mpsc::channel(64);
        // Until the server knows the user.
        drop(self.registry().await);
        let url = NatsUrl::parse(&self.url).unwrap();
        let options: ConnectOptions = agentnet_nats::options(&url, "raw");
        let client = options
            .event_callback(move |event| {
                if let Event::ServerError(error) = &event {
                    let _ = refused.try_send(error.to_string());
                }
                std::future::ready(())
            })
            .connect(url.servers().to_vec())
            .await
            .unwrap();
        (client, refusals)
    }
}

/// The next refusal of the server.
pub(crate) async fn refusal(refusals: &mut mpsc::Receiver<String>) -> String {
    let refusal = tokio::time::timeout(DEADLINE, refusals.recv()).await;
    refusal.expect("the server refuses nothing").unwrap()
}
