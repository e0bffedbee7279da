//! What a session subscribes to besides its inbox: receipts from its start on (PROTOCOL.md section 14), and replies from its
//! first request on, because many agents only answer.

use std::sync::Arc;

use agentnet_protocol::subject;
use async_nats::{Client, Subscriber};
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::OnceCell;
use tokio_util::future::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::deliver::{self, Delivery};
use crate::error::{SendError, StartError};
use crate::publisher::Publisher;
use crate::reply_mux::{self, ReplyMux};

/// The subscriptions of a session, and the tasks that serve it until it ends.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    pub(crate) tasks: TaskTracker,
    session_ended: CancellationToken,
    has_replies: OnceCell<()>,
}

impl Subscriptions {
    pub(crate) fn new(session_ended: CancellationToken) -> Self {
        Self {
            tasks: TaskTracker::new(),
            session_ended,
            has_replies: OnceCell::new(),
        }
    }

    /// Runs a task until the session ends.
    pub(crate) fn serve(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn(&self.tasks, task);
    }

    /// Runs a task of this tracker, until the session ends at the latest.
    pub(crate) fn spawn(&self, tracker: &TaskTracker, task: impl Future<Output = ()> + Send + 'static) {
        // No async block or function around it: that would reserve memory for the task twice.
        let task = task.with_cancellation_token_owned(self.session_ended.clone());
        tracker.spawn(task.map(drop));
    }

    /// Waits until all tasks of the session have ended.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Subscribes to receipts.
    pub(crate) async fn receive_receipts(
        &self,
        publisher: &Publisher,
        delivery: &Arc<Delivery>,
        account_id: &str,
    ) -> Result<(), StartError> {
        let subject = publisher.issuer.subscribe_subject(subject::receipts(account_id));
        let receipts = subscribe(publisher, subject).await?;
        self.serve(deliver::receive_receipts(delivery.clone(), receipts));
        if publisher.issuer.account_id().is_some() {
            let events = subscribe(publisher, subject::credential_events(account_id)).await?;
            self.serve(connect_again(publisher.client.clone(), events));
        }
        Ok(())
    }

    /// Subscribes to replies. What is published afterwards takes the same way to the server, so that no reply comes too early.
    pub(crate) async fn receive_replies(
        &self,
        publisher: &Publisher,
        replies: &Arc<ReplyMux>,
    ) -> Result<(), SendError> {
        if self.has_replies.initialized() {
            return Ok(());
        }
        let begin = async || {
            let subscription = subscribe(publisher, replies.wildcard()).await?;
            self.serve(reply_mux::receive_replies(replies.clone(), subscription));
            Ok::<_, StartError>(())
        };
        let begun = Box::pin(self.has_replies.get_or_try_init(begin)).await;
        begun.copied().map_err(|error| SendError::Connection(error.to_string()))
    }
}

async fn subscribe(publisher: &Publisher, subject: String) -> Result<async_nats::Subscriber, StartError> {
    let subscription = publisher.subscribe(subject.clone()).await;
    subscription.map_err(|error| StartError::Subscribe {
        subject,
        why: error.to_string(),
    })
}

/// Connects again whenever the account has got more rights, which count from then on (PROTOCOL.md section 23.8).
async fn connect_again(client: Client, mut events: Subscriber) {
    while events.next().await.is_some() {
        // Several grants at once need one connection.
        while events.next().now_or_never().flatten().is_some() {}
        tracing::info!("the rights of this account have changed; connecting again");
        if let Err(error) = client.force_reconnect().await {
            tracing::debug!(%error, "the client has ended");
        }
    }
}
