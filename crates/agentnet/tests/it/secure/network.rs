//! A network in secure mode for one test: a real nats-server, our registry as its authority, and members.

mod authorities;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agentnet::protocol::Timestamp;
use agentnet::protocol::invite::Invite;
use agentnet::protocol::permissions::Role;
use agentnet::protocol::rpc::{EnrollRequest, MemberInviteRequest, Request as _, decode_reply};
use agentnet::{AgentBuilder, AgentNode, Connection, RegistryClient};
use agentnet_keys::MemberIdentity;
use agentnet_nats::{MemberLogin, NatsUrl};
use agentnet_registry::{LocalMember, Registry, RegistryConfig, RegistryHandle};
use agentnet_store::{OpenOptions, Store};
use agentnet_testkit::{NatsServer, TestDatabase, eventually};
use async_nats::{Client, ConnectOptions, Event};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// The longest that a test waits for one thing before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A new identity of a registry.
fn registry_identity(account_id: &str) -> MemberIdentity {
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
    /// The settings of another registry on this network.
    pub(crate) second: RegistryConfig,
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

    /// With other settings of the registry too.
    pub(crate) async fn start_configured(config: &str, change: impl FnOnce(&mut RegistryConfig)) -> Self {
        Self::with(Kind::File, config, change).await
    }

    /// With changed settings of the registry, too.
    pub(crate) async fn with(kind: Kind, lines: &str, change: impl FnOnce(&mut RegistryConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut registries = ["acct_registry_one", "acct_registry_two"].map(registry_identity);
        let (server, authority) = authorities::set_up(kind, folder.path(), &registries);
        let nats = NatsServer::builder()
            .jetstream(true)
            .extra_config(format!("{server}{lines}"))
            .start()
            .await
            .unwrap();
        let files = ["registry.json", "second.json"].map(|name| folder.path().join(name));
        for (identity, file) in registries.iter_mut().zip(&files) {
            identity.urls = vec![nats.url_without_token()];
            identity.create(file).unwrap();
        }
        let url = |file: &Path| format!("identity:{}", file.display());
        let database = TestDatabase::start().await.unwrap();
        let store = agentnet_store::open(&database.url(), &OpenOptions::default())
            .await
            .unwrap();
        let mut config = RegistryConfig {
            nats_url: url(&files[0]),
            authority: Some(authority),
            ..RegistryConfig::default()
        };
        change(&mut config);
        let registry = Registry::start(config.clone(), Arc::clone(&store)).await.unwrap();
        Self {
            registry,
            store,
            nats,
            second: RegistryConfig {
                nats_url: url(&files[1]),
                ..config
            },
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
        if let Some(credentials) = self.registry.credentials(&identity.account_id).await.unwrap() {
            (identity.jwt, identity.renewal_jwt) = (Some(credentials.jwt), Some(credentials.renewal_jwt));
        }
        self.keep(name, identity)
    }

    /// A member that joins by an invite, as `agentnet join` does.
    pub(crate) async fn join(&self, operator: &RegistryClient, name: &str) -> Member {
        let request = MemberInviteRequest {
            username: name.to_owned(),
            ..MemberInviteRequest::default()
        };
        let invited = operator.call(&request).await.unwrap();
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let invite = Invite {
            urls: vec![self.nats.url_without_token()],
            ca_pem: None,
            account_id: invited.account_id,
            username: invited.username,
            role: Role::Agent,
            invite_id: invited.invite_id,
            secret: bytes(&invited.secret).try_into().unwrap(),
            join_seed: bytes(&invited.join_seed).try_into().unwrap(),
            join_jwt: invited.join_jwt,
            expires_at: Timestamp::parse(&invited.expires_at).unwrap(),
        };
        let invite = Invite::decode(&invite.encode()).unwrap();
        let mut identity = MemberIdentity::of_invite(&invite);
        let mut login = MemberLogin::of_invite(&invite.invite_id, &invite.join_seed);
        if let Some(jwt) = invite.join_jwt.clone() {
            login = login.with_jwt(jwt);
        }
        let url = NatsUrl::parse(&invite.urls.join(",")).unwrap().with_member(login);
        let client = eventually(DEADLINE, async || {
            agentnet_nats::dial(&url, || agentnet_nats::options(&url, "join")).await
        });
        let subject = format!("registry.enroll.{}", invite.invite_id);
        let body = identity.enrolment(&invite).encode();
        let request = async_nats::Request::new()
            .payload(body.into())
            .timeout(Some(Duration::from_secs(2)));
        let reply = client.await.unwrap().send_request(subject, request).await;
        // The server may have ended the connection before the answer: the invite is used up, and so is its credential.
        if let Ok(reply) = reply {
            let reply = decode_reply::<EnrollRequest>(&reply.payload).unwrap();
            (identity.jwt, identity.renewal_jwt) = (reply.jwt, reply.renewal_jwt);
        }
        self.keep(name, identity)
    }

    fn keep(&self, name: &str, identity: MemberIdentity) -> Member {
        let file = self.folder.path().join(format!("{name}.json"));
        identity.create(&file).unwrap();
        Member {
            account_id: identity.account_id.clone(),
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
        let connection = eventually(DEADLINE, async || Connection::open(&self.url, "test").await);
        RegistryClient::on(&connection.await.unwrap()).with_timeout(DEADLINE)
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
