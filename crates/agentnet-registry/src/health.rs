//! Whether one registry is well: asked by server id, since an RPC is answered by whichever replica gets it.
//!
//! Every registry listens on [`subject`] of its own server id, an addition of PROTOCOL.md section 0.10. The body of the
//! question is ignored; the answer is [`Health`] as JSON. A registry that stops, or has lost its connection to NATS, does
//! not answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_protocol::json::{JsonError, Object, ObjectWriter};
use agentnet_protocol::subject::may_reply_to;
use agentnet_protocol::url::NatsUrl;
use agentnet_store::model::DiskSpace;
use async_nats::client::RequestErrorKind;
use async_nats::{Client, Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::connect::connect;
use crate::context::Context;
use crate::disk;
use crate::error::StartError;
pub use crate::peers::Peer;
use crate::peers::cut;

const PREFIX: &str = "agentnet.registry.health.";
/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions that are answered at the same time; more are left to time out.
const CONCURRENCY: usize = 4;

/// What a registry says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Its name.
    pub server_id: String,
    /// `sqlite` or `postgres`.
    pub store: String,
    /// Why the store cannot be used just now; `None` if it works.
    pub store_problem: Option<String>,
    /// The room on the disk of the database; `None` if it is not known: PostgreSQL, a database in memory, an older version.
    pub disk_space: Option<DiskSpace>,
    /// Whether registrations must be signed (`DEV_AUTH`); `None`: an older version.
    pub requires_signed_identity: Option<bool>,
    /// `jetstream` or `core`.
    pub capture: String,
    /// Captured messages that wait in this registry's memory to be stored.
    pub waiting: i64,
    /// Messages that its connection dropped since it started, because nothing took them in time; an older version says 0.
    pub dropped: i64,
    /// What tells this run of the registry from every other: 16 hexadecimal digits. Empty: an older version.
    pub instance: String,
    /// The id of its database; `None` if it was not read yet, or of an older version.
    pub database: Option<String>,
    /// The other registries that it heard in the last seconds.
    pub registries: Vec<Peer>,
    /// Accounts that hold more than may be stored now, at most 20: the next registration of each is refused until its agent
    /// says less.
    pub oversized: Vec<Oversized>,
}

/// An account that holds more than may be stored now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Oversized {
    /// Its name.
    pub username: String,
    /// What is too large, how large it is, and what is allowed.
    pub problem: String,
}

/// Why nothing is known of a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// The network cannot be reached.
    #[error(transparent)]
    Connect(#[from] StartError),
    /// The network is there, this registry is not.
    #[error("no registry with server id {server_id} is connected to {url}")]
    Absent {
        /// Who was asked for.
        server_id: String,
        /// Where, credentials hidden.
        url: String,
    },
    /// It did not answer in time, or the connection was lost meanwhile.
    #[error("the registry {server_id} did not answer: {reason}")]
    Silent {
        /// Who was asked for.
        server_id: String,
        /// What happened instead.
        reason: String,
    },
    /// What came is no answer of a registry.
    #[error("the registry {server_id} gave an answer that cannot be read: {problem}")]
    Unreadable {
        /// Who was asked for.
        server_id: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Health {
    /// Whether everything works.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.store_problem.is_none()
    }

    /// The others that have this one's name: sessions and metrics of them cannot be told apart.
    pub fn same_server_id(&self) -> impl Iterator<Item = &Peer> {
        self.registries.iter().filter(|peer| peer.server_id == self.server_id)
    }

    /// The others that say that they use another database: each knows only some of the accounts and messages.
    pub fn other_databases(&self) -> impl Iterator<Item = &Peer> {
        let own = self.database.as_ref();
        let differs = move |other: &String| own.is_some_and(|own| own != other);
        self.registries
            .iter()
            .filter(move |peer| !peer.verified && peer.database.as_ref().is_some_and(differs))
    }

    /// As JSON: `server_id`, `healthy`, `store` {`backend`, `problem`, `free_bytes`, `total_bytes`}, `capture` {`mode`, `waiting`, `dropped`}, `instance`,
    /// `database`, `registries` [{`server_id`, `instance`, `database`, `verified`}], `oversized` [{`username`, `problem`}],
    /// `dev_auth`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut store = ObjectWriter::new();
        store
            .text("backend", &self.store)
            .nullable_text("problem", self.store_problem.as_deref());
        if let Some(DiskSpace { free, total }) = self.disk_space {
            let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            store.int("free_bytes", bytes(free)).int("total_bytes", bytes(total));
        }
        let mut capture = ObjectWriter::new();
        capture
            .text("mode", &self.capture)
            .int("waiting", self.waiting)
            .int("dropped", self.dropped);
        let others: Vec<String> = self
            .registries
            .iter()
            .map(|peer| {
                ObjectWriter::new()
                    .text("server_id", &peer.server_id)
                    .text("instance", &peer.instance)
                    .nullable_text("database", peer.database.as_deref())
                    .bool("verified", peer.verified)
                    .finish()
            })
            .collect();
        let oversized: Vec<String> = self
            .oversized
            .iter()
            .map(|account| {
                ObjectWriter::new()
                    .text("username", &account.username)
                    .text("problem", &account.problem)
                    .finish()
            })
            .collect();
        let mut out = ObjectWriter::new();
        out.text("server_id", &self.server_id)
            .bool("healthy", self.is_well())
            .raw("store", &store.finish())
            .raw("capture", &capture.finish())
            .text("instance", &self.instance)
            .nullable_text("database", self.database.as_deref())
            .raw_items("registries", &others.join(","))
            .raw_items("oversized", &oversized.join(","));
        if let Some(required) = self.requires_signed_identity {
            out.bool("dev_auth", required);
        }
        out.finish()
    }

    /// Reads what [`Health::encode`] wrote.
    fn decode(body: &[u8]) -> Result<Self, String> {
        let object = Object::parse_body(body).map_err(|error: JsonError| error.to_string())?;
        let object = object.ok_or("it is no object")?;
        let part = |name: &str| object.get(name).as_object().ok_or(format!("`{name}` is no object"));
        let text = |object: &Object<'_>, name: &str| {
            let text = object.get(name).as_str().map(std::borrow::Cow::into_owned);
            text.ok_or(format!("`{name}` is no text"))
        };
        let (store, capture) = (part("store")?, part("capture")?);
        let count = |name: &str| -> Result<i64, String> {
            let count = capture.get(name).int().map_err(|error| error.to_string())?;
            Ok(count.and_then(|count| i64::try_from(count).ok()).unwrap_or_default())
        };
        Ok(Self {
            server_id: text(&object, "server_id")?,
            store: text(&store, "backend")?,
            store_problem: store.get("problem").opt_text().map(std::borrow::Cow::into_owned),
            disk_space: disk_space(&store),
            requires_signed_identity: match object.get("dev_auth").raw() {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
            capture: text(&capture, "mode")?,
            waiting: count("waiting")?,
            dropped: count("dropped")?,
            // Members that an older version does not have.
            instance: text(&object, "instance").unwrap_or_default(),
            database: text(&object, "database").ok(),
            registries: object
                .get("registries")
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|peer| peer.as_object())
                .map(|peer| {
                    Ok(Peer {
                        server_id: text(&peer, "server_id")?,
                        instance: text(&peer, "instance")?,
                        database: text(&peer, "database").ok(),
                        verified: peer.get("verified").raw() == "true",
                    })
                })
                .collect::<Result<_, String>>()?,
            oversized: object
                .get("oversized")
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|account| account.as_object())
                .map(|account| {
                    Ok(Oversized {
                        username: text(&account, "username")?,
                        problem: text(&account, "problem")?,
                    })
                })
                .collect::<Result<_, String>>()?,
        })
    }
}

/// The members of `store` that only some have.
fn disk_space(store: &Object<'_>) -> Option<DiskSpace> {
    let bytes = |name: &str| u64::try_from(store.get(name).int().ok()??).ok();
    Some(DiskSpace {
        free: bytes("free_bytes")?,
        total: bytes("total_bytes")?,
    })
}

/// The subject that the registry of this name answers on. Bytes that could change a subject's shape stand as `=` and two
/// hexadecimal digits.
#[must_use]
pub fn subject(server_id: &str) -> String {
    server_id.bytes().fold(PREFIX.to_owned(), |mut subject, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => subject.push(char::from(byte)),
            _ => subject.push_str(&format!("={byte:02x}")),
        }
        subject
    })
}

/// Asks the registry of this name how it is, over a connection of its own. Takes at most about `deadline`.
///
/// Of two registries with one name, which must not be, the quicker one answers.
///
/// # Errors
/// [`HealthError`]: the server cannot be reached, the registry is not there or does not answer.
pub async fn ask(nats_url: &str, server_id: &str, deadline: Duration) -> Result<Health, HealthError> {
    let url = NatsUrl::parse(nats_url).map_err(StartError::from)?;
    let silent = |reason: String| HealthError::Silent {
        server_id: server_id.to_owned(),
        reason,
    };
    let question = async {
        let connection = connect(&url).await?;
        let answer = connection.client.request(subject(server_id), Bytes::new()).await;
        answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => HealthError::Absent {
                server_id: server_id.to_owned(),
                url: url.redacted(),
            },
            _ => silent(error.to_string()),
        })
    };
    match timeout(deadline, question).await {
        Ok(answer) => Health::decode(&answer?.payload).map_err(|problem| HealthError::Unreadable {
            server_id: server_id.to_owned(),
            problem,
        }),
        Err(_) => Err(silent(format!(
            "nothing came from {} within {deadline:?}",
            url.redacted()
        ))),
    }
}

/// Hears questions from now on.
pub(crate) async fn subscribe(client: &Client, server_id: &str) -> Result<Subscriber, StartError> {
    let subscribed = client.subscribe(subject(server_id)).await;
    subscribed.map_err(|error| StartError::Nats(error.to_string()))
}

/// Answers until `stop`.
pub(crate) async fn run(ctx: Arc<Context>, mut questions: Subscriber, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONCURRENCY));
    while let Some(Some(question)) = stop.run_until_cancelled(questions.next()).await {
        // Without one, or with one that nobody may be answered on, there is nothing to do.
        let Some(reply_to) = question.reply.filter(|subject| may_reply_to(subject)) else {
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            continue;
        };
        let asked = Arc::clone(&ctx);
        ctx.tasks.spawn(async move {
            let _permit = permit;
            answer(&asked, reply_to).await;
        });
    }
}

/// Why the store cannot be used just now; `None` if it works.
pub(crate) async fn store_problem(ctx: &Context) -> Option<String> {
    match timeout(PATIENCE, ctx.database.is_well()).await {
        Ok(outcome) => outcome.err(),
        Err(_) => Some(format!("the database did not answer within {PATIENCE:?}")),
    }
}

/// What is known without asking the store.
pub(crate) fn around(ctx: &Context) -> Health {
    Health {
        server_id: ctx.config.server_id.clone(),
        store: ctx.store.backend().to_owned(),
        store_problem: None,
        disk_space: ctx.disk.space(),
        requires_signed_identity: Some(ctx.config.dev_auth),
        capture: ctx.capture.mode.to_string(),
        waiting: i64::try_from(ctx.capture.queue.len()).unwrap_or(i64::MAX),
        dropped: i64::try_from(ctx.dropped()).unwrap_or(i64::MAX),
        instance: ctx.peers.instance(),
        database: ctx.peers.database().map(str::to_owned),
        registries: ctx.peers.heard(Instant::now()),
        oversized: ctx
            .oversized
            .named()
            .iter()
            .map(|account| Oversized {
                username: cut(&account.username),
                problem: account.exceeded.to_string(),
            })
            .collect(),
    }
}

async fn answer(ctx: &Arc<Context>, reply_to: Subject) {
    disk::look(Arc::clone(ctx)).await;
    let health = Health {
        store_problem: store_problem(ctx).await,
        ..around(ctx)
    };
    if let Err(error) = ctx.client.publish(reply_to, health.encode().into()).await {
        tracing::debug!(%error, "a health reply could not be sent");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_subject_of_its_own_of_four_tokens() {
        let names = [
            "registry", "Registry", "a-1_b", "a.b", "a=2eb", "a b", ">", "*", "", "é", "\n",
        ];
        let subjects: std::collections::HashSet<_> = names.iter().map(|name| subject(name)).collect();
        assert_eq!(subjects.len(), names.len());
        assert_eq!(subject("a-1_b"), "agentnet.registry.health.a-1_b");
        assert_eq!(subject("a.b"), "agentnet.registry.health.a=2eb");
        for subject in subjects {
            assert_eq!(subject.split('.').count(), 4, "{subject}");
            assert!(
                !subject.contains([' ', '*', '>', '\n']) && subject.is_ascii(),
                "{subject}"
            );
        }
    }

    fn peer(server_id: &str, database: Option<&str>, verified: bool) -> Peer {
        Peer {
            server_id: server_id.to_owned(),
            instance: format!("of {server_id}"),
            database: database.map(str::to_owned),
            verified,
        }
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let well = Health {
            server_id: "registry \"1\"".to_owned(),
            store: "postgres".to_owned(),
            store_problem: None,
            disk_space: Some(DiskSpace { free: 5, total: 7 }),
            requires_signed_identity: Some(true),
            capture: "jetstream".to_owned(),
            waiting: 7,
            dropped: 3,
            instance: "0000000000000001".to_owned(),
            database: Some("db".to_owned()),
            registries: vec![
                peer("registry \"1\"", Some("db"), true),
                peer("b", Some("other"), false),
                peer("c", None, false),
            ],
            oversized: vec![Oversized {
                username: "alice".to_owned(),
                problem: "name has 257 bytes; at most 256 are allowed".to_owned(),
            }],
        };
        let names = |peers: Vec<&Peer>| peers.iter().map(|peer| peer.server_id.clone()).collect::<Vec<_>>();
        assert_eq!(names(well.same_server_id().collect()), ["registry \"1\""]);
        assert_eq!(names(well.other_databases().collect()), ["b"]);
        assert_eq!(Health::decode(well.encode().as_bytes()), Ok(well.clone()));
        assert!(well.encode().contains("\"healthy\":true"), "{}", well.encode());
        let ill = Health {
            store_problem: Some("gone".to_owned()),
            disk_space: None,
            requires_signed_identity: None,
            ..well
        };
        assert_eq!(Health::decode(ill.encode().as_bytes()), Ok(ill.clone()));
        assert!(ill.encode().contains("\"healthy\":false"), "{}", ill.encode());
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for (body, problem) in [
            ("", "no object"),
            ("[]", "no object"),
            ("{", ""),
            (r#"{"server_id":"r"}"#, "store"),
            (r#"{"server_id":"r","store":{"backend":"sqlite"},"capture":{}}"#, "mode"),
            (
                r#"{"server_id":1,"store":{"backend":"sqlite"},"capture":{"mode":"core"}}"#,
                "server_id",
            ),
        ] {
            let error = Health::decode(body.as_bytes()).unwrap_err();
            assert!(error.contains(problem), "{body}: {error}");
        }
    }
}
