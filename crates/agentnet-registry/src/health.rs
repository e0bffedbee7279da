//! The health of one registry, asked by server id: an RPC would be answered by any replica.
//!
//! Every registry subscribes to [`subject`] of its server id, an addition of PROTOCOL.md section 0.10. The body of the
//! question is ignored; the answer is [`Health`] as JSON. A registry that stops, or has lost its connection to NATS, does
//! not answer.

mod reply;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use agentnet_nats::{Issuer, NatsUrl};
use agentnet_protocol::subject::{may_reply_to, may_reply_to_issuer, registry_inbox_prefix, split_issuer};
use async_nats::client::RequestErrorKind;
use async_nats::{Client, Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::reply::{Health, Oversized};
use crate::connect::connect;
use crate::context::Context;
use crate::error::StartError;
pub use crate::peers::Peer;
use crate::peers::cut;
use crate::secure::{Authority, broker};
use crate::tasks::Phase;

const PREFIX: &str = "agentnet.registry.health.";
/// How long the database may take to answer.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);
/// Questions that are answered at the same time; further ones time out.
const CONCURRENCY: usize = 4;

/// Why the health of a registry is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// The network cannot be reached.
    #[error(transparent)]
    Connect(#[from] StartError),
    /// The network can be reached, but this registry is not connected to it.
    #[error("no registry with server id {server_id} is connected to {url}")]
    Absent {
        /// The server id that was asked for.
        server_id: String,
        /// The server's address, credentials hidden.
        url: String,
    },
    /// It did not answer in time, or the connection was lost meanwhile.
    #[error("the registry {server_id} did not answer: {reason}")]
    Silent {
        /// The server id that was asked for.
        server_id: String,
        /// What happened instead.
        reason: String,
    },
    /// The answer is not one of a registry.
    #[error("the registry {server_id} gave an answer that cannot be read: {problem}")]
    Unreadable {
        /// The server id that was asked for.
        server_id: String,
        /// What is wrong with the answer.
        problem: String,
    },
}

/// The subject that the registry with this server id answers on. Bytes that could change the structure of a subject are written
/// as `=` and two hexadecimal digits.
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

/// Asks a registry for its health, over a connection of its own. Takes at most about `deadline`.
///
/// Two registries should not have one server id; if they do, the quicker one answers.
///
/// # Errors
/// [`HealthError`]: the server cannot be reached, the registry is not connected or does not answer.
pub async fn ask(nats_url: &str, server_id: &str, deadline: Duration) -> Result<Health, HealthError> {
    ask_as_registry(nats_url, None, server_id, deadline).await
}

/// As [`ask`], with the credential of the registry itself, where its authority makes it.
///
/// # Errors
/// [`HealthError`]
pub async fn ask_as_registry(
    nats_url: &str,
    authority: Option<&Authority>,
    server_id: &str,
    deadline: Duration,
) -> Result<Health, HealthError> {
    let url = NatsUrl::parse(nats_url).map_err(StartError::from)?;
    let url = broker::with_own_credential(authority, url)?;
    let silent = |reason: String| HealthError::Silent {
        server_id: server_id.to_owned(),
        reason,
    };
    let question = async {
        let connection = connect(&url).await?;
        let subject = connection.issuer.publish_subject(subject(server_id));
        let answer = connection.client.request(subject, Bytes::new()).await;
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

/// Receives questions from now on.
pub(crate) async fn subscribe(client: &Client, issuer: &Issuer, server_id: &str) -> Result<Subscriber, StartError> {
    let subscribed = client.subscribe(issuer.subscribe_subject(subject(server_id))).await;
    subscribed.map_err(|error| StartError::Nats(error.to_string()))
}

/// Answers until `stop`.
pub(crate) async fn run(ctx: Arc<Context>, mut questions: Subscriber, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONCURRENCY));
    while let Some(Some(question)) = stop.run_until_cancelled(questions.next()).await {
        // A question without a reply subject, or with one that replies must not go to, is ignored.
        let may_answer = |reply: &Subject| match ctx.issuer.account_id() {
            None => may_reply_to(reply),
            Some(own) => {
                split_issuer(&question.subject).is_some_and(|(_, caller)| may_answer_caller(reply, caller, own))
            }
        };
        let Some(reply_to) = question.reply.filter(may_answer) else {
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            continue;
        };
        let asked = Arc::clone(&ctx);
        ctx.tasks.spawn(Phase::Requests, async move {
            let _permit = permit;
            answer(&asked, reply_to).await;
        });
    }
}

/// Whether the answer to a caller may go to this reply subject in secure mode: below the inboxes of the caller. Those of a
/// registry, which asks about itself, have a prefix of their own.
fn may_answer_caller(reply: &str, caller: &str, own: &str) -> bool {
    let inboxes = format!("{}.", registry_inbox_prefix(own));
    may_reply_to_issuer(reply, caller) || caller == own && reply.starts_with(&inboxes) && may_reply_to(reply)
}

/// Why the store cannot be used just now; `None` if it works.
pub(crate) async fn store_problem(ctx: &Context) -> Option<String> {
    match timeout(DATABASE_TIMEOUT, ctx.database.check_health()).await {
        Ok(outcome) => outcome.err(),
        Err(_) => Some(format!("the database did not answer within {DATABASE_TIMEOUT:?}")),
    }
}

/// The health without the state of the store.
pub(crate) fn without_store(ctx: &Context) -> Health {
    Health {
        server_id: ctx.config.server_id.clone(),
        store: ctx.store.backend().to_owned(),
        store_problem: None,
        disk_space: ctx.disk.space(),
        requires_signed_identity: Some(ctx.config.dev_auth),
        capture: ctx.capture.mode.to_string(),
        waiting: i64::try_from(ctx.capture.queue.len()).unwrap_or(i64::MAX),
        dropped: i64::try_from(ctx.dropped()).unwrap_or(i64::MAX),
        is_paused: ctx.metrics.is_paused.load(Ordering::Relaxed),
        instance: ctx.peers.instance_text(),
        database: ctx.peers.database().map(str::to_owned),
        registries: ctx.peers.heard(Instant::now()),
        oversized: ctx
            .oversized
            .listed()
            .iter()
            .map(|account| Oversized {
                username: cut(&account.username),
                problem: account.exceeded.to_string(),
            })
            .collect(),
    }
}

async fn answer(ctx: &Arc<Context>, reply_to: Subject) {
    ctx.disk.check(ctx.store.as_ref()).await;
    let health = Health {
        store_problem: store_problem(ctx).await,
        ..without_store(ctx)
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
}
