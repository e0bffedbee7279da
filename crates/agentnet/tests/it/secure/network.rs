//! A network in secure mode for one test: a real nats-server, our registry as its authority, and members.

mod authorities;

use std::sync::Arc;
use std::time::Duration;

use agentnet::protocol::permissions::Role;
use agentnet::{AgentBuilder, AgentNode, Connection, RegistryClient};
use agentnet_keys::MemberIdentity;
use agentnet_nats::NatsUrl;
use agentnet_registry::{LocalMember, Registry, RegistryConfig, RegistryHandle};
use agentnet_store::{OpenOptions, Store};
use agentnet_testkit::{NatsServer, TestDatabase};
use async_nats::{Client, ConnectOptions, Event};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// The longest that a test waits for one thing before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

const REGISTRY: &str = "acct_registry_one";

/// A new identity of a registry.
pub(crate) fn registry_identity(account_id: &str) -> MemberIdentity {
    MemberIdentity::generate(
        Vec::new(),
        account_id.to_owned(),
        "registry".to_owned(),
        Role::Registry.as_str().to_owned(),
    )
}

/// What tells nats-server who may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Jwt,
    /// Without the system account: revoked members go on until their credential ends.
    JwtAlone,
    Callout,
    CalloutAlone,
}

pub(crate) struct SecureNetwork {
    pub(crate) registry: RegistryHandle,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) nats: NatsServer,
    pub(crate) config: RegistryConfig,
    _database: TestDatabase,
    pub(crate) folder: TempDir,
}

impl SecureNetwork {
    pub(crate) async fn start() -> Self {
        Self::of(Kind::File).await
    }

    pub(crate) async fn of(kind: Kind) -> Self {
        Self::with(kind, "", |_| {}).await
    }

    /// With further lines in the configuration of nats-server.
    pub(crate) async fn start_with(config: &str) -> Self {
        Self::with(Kind::File, config, |_| {}).await
    }

    /// With changed settings of the registry, too.
    pub(crate) async fn with(kind: Kind, lines: &str, change: impl FnOnce(&mut RegistryConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut identity = registry_identity(REGISTRY);
        let (server, authority) = authorities::set_up(kind, folder.path(), &identity);
        let nats = NatsServer::builder()
            .jetstream(true)
            .extra_config(format!("{server}{lines}"))
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
            authority: Some(authority),
            ..RegistryConfig::default()
        };
        change(&mut config);
        let registry = Registry::start(config.clone(), Arc::clone(&store)).await.unwrap();
        Self {
            registry,
            store,
            nats,
            config,
            _database: database,
            folder,
        }
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
        if let Some(credentials) = self.registry.credentials(&identity.account_id).await.unwrap() {
            (identity.jwt, identity.renewal_jwt) = (Some(credentials.jwt), Some(credentials.renewal_jwt));
        }
        let file = self.folder.path().join(format!("{name}.json"));
        identity.create(&file).unwrap();
        Member {
            account_id: identity.account_id.clone(),
            url: format!("identity:{}", file.display()),
            name: name.to_owned(),
            identity,
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
    pub(crate) identity: MemberIdentity,
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
