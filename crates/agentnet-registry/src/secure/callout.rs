//! The authority `callout`: servers with a static configuration ask this registry about each client that connects (PROTOCOL.md
//! section 23.8).
//!
//! Several registries share the requests. Each knows which connections it has let in with which rights: when those change before
//! it has heard of it, it ends the connection itself.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_nats::NatsUrl;
use agentnet_protocol::nats_jwt::{AuthorizationRequest, authorization_request, authorization_response};
use agentnet_protocol::permissions::Role;
use agentnet_protocol::subject::REGISTRY_GROUP;
use async_nats::{Client, Message, Subscriber};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::authority::DEFAULT_ACCOUNT;
use super::jwt_issuer::{JwtIssuer, seconds};
use super::sys::{ClientConnection, Sys};
use super::users_file::BrokerUser;
use crate::clock::Now;
use crate::connect;
use crate::error::StartError;

/// Where servers ask.
pub const CALLOUT_SUBJECT: &str = "$SYS.REQ.USER.AUTH";
/// Where a server hears the answers.
pub const CALLOUT_ANSWERS: &str = "$SYS._INBOX.*.*";
/// Requests that are answered at the same time.
const CONCURRENCY: usize = 64;
/// The shortest time between two readings of the members for keys that are not known: anybody can show one.
const MIN_READ_INTERVAL: Duration = Duration::from_millis(200);
/// A connection that was let in with rights of before is found within this time.
const RECENT: Duration = Duration::from_secs(60);
/// Connections that are remembered.
const MAX_RECENT: usize = 10_000;

/// Reads the members again.
pub(crate) type Reread = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Answers the callouts of the servers.
pub(crate) struct Callout {
    issuer: JwtIssuer,
    /// The account of the servers' configuration that members are put into.
    account: String,
    sys: Option<Sys>,
    users: RwLock<HashMap<String, Arc<BrokerUser>>>,
    recent: Mutex<VecDeque<Admitted>>,
    last_read: Mutex<Option<Instant>>,
}

/// A client that was let in.
struct Admitted {
    at: Instant,
    user: Arc<BrokerUser>,
    connection: ClientConnection,
}

impl Callout {
    pub(crate) fn new(issuer: JwtIssuer, account: Option<&str>, sys: Option<Sys>) -> Self {
        if sys.is_none() {
            tracing::warn!("revoked members go on until their credential ends: --sys-creds would cut them off");
        }
        Self {
            issuer,
            account: account.unwrap_or(DEFAULT_ACCOUNT).to_owned(),
            sys,
            users: RwLock::default(),
            recent: Mutex::default(),
            last_read: Mutex::default(),
        }
    }

    pub(crate) fn cuts_off(&self) -> bool {
        self.sys.is_some()
    }

    /// Takes the users for the next clients, and ends connections of the last minute that have other rights, or none any more.
    pub(crate) async fn apply(&self, users: &[BrokerUser]) {
        let users: HashMap<String, Arc<BrokerUser>> = users
            .iter()
            .map(|user| (user.nkey.clone(), Arc::new(user.clone())))
            .collect();
        self.users.write().clone_from(&users);
        let Some(sys) = &self.sys else { return };
        // Who has just enrolled waits for the answer, and can do nothing else.
        let is_as_before = |admitted: &Admitted| {
            admitted.user.role == Role::Join || users.get(&admitted.user.nkey) == Some(&admitted.user)
        };
        let stale: Vec<ClientConnection> = {
            let mut recent = self.recent.lock();
            let stale = recent.iter().filter(|admitted| !is_as_before(admitted));
            let stale = stale.map(|admitted| admitted.connection.clone()).collect();
            recent.retain(|admitted| is_as_before(admitted));
            stale
        };
        for connection in stale {
            sys.kick(&connection).await;
        }
    }

    /// Ends all connections of a member.
    pub(crate) async fn cut_off(&self, account_id: &str) {
        let Some(sys) = &self.sys else { return };
        match sys.connections_of(account_id).await {
            Ok(connections) => {
                for connection in connections {
                    sys.kick(&connection).await;
                }
            }
            Err(error) => tracing::error!(%error, account_id, "the connections of a member may go on"),
        }
    }

    /// Connects as this registry, and hears the servers' requests from now on.
    pub(crate) async fn subscribe(url: &NatsUrl) -> Result<(Client, Subscriber), StartError> {
        // A connection of its own: who connects does not wait behind messages.
        let connection = connect::connect(url).await?;
        let requests = connection
            .client
            .queue_subscribe(CALLOUT_SUBJECT, REGISTRY_GROUP.to_owned())
            .await
            .map_err(|error| StartError::Nats(error.to_string()))?;
        connect::flushed(&connection.client).await?;
        Ok((connection.client, requests))
    }

    /// Answers until `stop`.
    pub(crate) async fn run(
        self: Arc<Self>,
        reread: Reread,
        (client, mut requests): (Client, Subscriber),
        stop: CancellationToken,
    ) {
        let room = Arc::new(Semaphore::new(CONCURRENCY));
        while let Some(Some(request)) = stop.run_until_cancelled(requests.next()).await {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let (callout, reread, client) = (Arc::clone(&self), Arc::clone(&reread), client.clone());
            tokio::spawn(async move {
                let _permit = permit;
                callout.answer(&reread, &client, request).await;
            });
        }
    }

    async fn answer(&self, reread: &Reread, client: &Client, request: Message) {
        let Some(reply) = request.reply else { return };
        let Ok(token) = std::str::from_utf8(&request.payload) else {
            return;
        };
        let asked = match authorization_request(token) {
            Ok(asked) => asked,
            // Without an answer the server refuses the client when its time is over.
            Err(error) => return tracing::debug!(%error, "a client does not get in"),
        };
        let admitted = self.admit(reread, &asked).await;
        let outcome = admitted.as_ref().map(|(jwt, _)| jwt.as_str()).map_err(|why| *why);
        let answer = match authorization_response(&asked, outcome, seconds(Now::read().time), self.issuer.key()) {
            Ok(answer) => answer,
            Err(error) => return tracing::error!(%error, "a callout cannot be answered"),
        };
        if let Err(error) = client.publish(reply, answer.into()).await {
            tracing::debug!(%error, "a callout could not be answered");
        }
        if let Ok((_, user)) = admitted {
            self.recheck(user, &asked).await;
        }
    }

    /// The rights of the client may have changed while it was let in.
    async fn recheck(&self, user: Arc<BrokerUser>, asked: &AuthorizationRequest) {
        if user.role != Role::Join
            && self.user(&user.nkey).as_ref() != Some(&user)
            && let Some(sys) = &self.sys
        {
            sys.kick(&connection(asked)).await;
        }
    }

    /// The JWT of a client that is a member.
    async fn admit(
        &self,
        reread: &Reread,
        asked: &AuthorizationRequest,
    ) -> Result<(String, Arc<BrokerUser>), &'static str> {
        if asked.transport != "nats" {
            return Err("members connect by TCP");
        }
        let user = match self.user(&asked.nkey) {
            Some(user) => user,
            None => self.read_again(reread, &asked.nkey).await.ok_or("not a member")?,
        };
        let now = Now::read().time;
        let validity = self.issuer.validity(now, seconds(now));
        let jwt = self.issuer.callout_jwt(&user, &asked.user, &self.account, validity);
        let jwt = jwt.map_err(|error| {
            tracing::error!(%error, "a member does not get in");
            "no credential can be made"
        })?;
        self.remember(Arc::clone(&user), asked);
        Ok((jwt, user))
    }

    fn user(&self, nkey: &str) -> Option<Arc<BrokerUser>> {
        self.users.read().get(nkey).cloned()
    }

    /// A key that is not known may be that of a member which another registry has just let join.
    async fn read_again(&self, reread: &Reread, nkey: &str) -> Option<Arc<BrokerUser>> {
        let is_due = {
            let mut last = self.last_read.lock();
            let is_due = last.is_none_or(|at| at.elapsed() >= MIN_READ_INTERVAL);
            if is_due {
                *last = Some(Instant::now());
            }
            is_due
        };
        if is_due {
            reread().await;
        }
        self.user(nkey)
    }

    fn remember(&self, user: Arc<BrokerUser>, asked: &AuthorizationRequest) {
        let mut recent = self.recent.lock();
        while recent
            .front()
            .is_some_and(|first| first.at.elapsed() > RECENT || recent.len() >= MAX_RECENT)
        {
            recent.pop_front();
        }
        recent.push_back(Admitted {
            at: Instant::now(),
            user,
            connection: connection(asked),
        });
    }
}

fn connection(asked: &AuthorizationRequest) -> ClientConnection {
    ClientConnection {
        server: asked.server.clone(),
        number: asked.connection,
    }
}
