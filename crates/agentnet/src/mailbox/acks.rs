//! Acknowledgements of leased messages: those that come while a request is on its way go out together in the next one.

use std::time::Duration;

use agentnet_nats::Backoff;
use agentnet_protocol::mailbox::MAX_LEASE_MESSAGES;
use agentnet_protocol::rpc::MailboxAckItem;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::owner::{LEASE_TIME, MailboxOwner};

/// The shortest and the longest pause before acknowledgements that no registry has taken are sent again.
const RETRY_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
/// How long acknowledgements are sent on while the node leaves.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// What the task is told that sends acknowledgements.
#[derive(Debug)]
pub(super) enum AckCommand {
    /// A lease has ended.
    End(MailboxAckItem),
    /// Say so when all that ended before is acknowledged.
    Flush(oneshot::Sender<()>),
}

/// Sends acknowledgements until all senders of commands are gone.
pub(super) async fn send_acks(
    owner: &MailboxOwner,
    mut commands: mpsc::Receiver<AckCommand>,
    leaving: &CancellationToken,
) {
    let mut received = Vec::new();
    while commands.recv_many(&mut received, MAX_LEASE_MESSAGES).await > 0 {
        let (mut acks, mut flushed) = (Vec::new(), Vec::new());
        for command in received.drain(..) {
            match command {
                AckCommand::End(ack) => acks.push(ack),
                AckCommand::Flush(done) => flushed.push(done),
            }
        }
        if !acks.is_empty() {
            send_in_time(owner, acks, leaving).await;
        }
        for done in flushed {
            let _ = done.send(());
        }
    }
}

/// Waits until all leases that have ended are acknowledged: while a message is leased, the registry gives no later one of its
/// sender.
pub(super) async fn flush(acks: &mpsc::Sender<AckCommand>) {
    let (done, flushed) = oneshot::channel();
    if acks.send(AckCommand::Flush(done)).await.is_ok() {
        let _ = flushed.await;
    }
}

async fn send_in_time(owner: &MailboxOwner, acks: Vec<MailboxAckItem>, leaving: &CancellationToken) {
    let count = acks.len();
    tokio::select! {
        biased;
        () = send(owner, acks) => return,
        // The leases are over by then: the messages are delivered again.
        () = tokio::time::sleep(LEASE_TIME) => {}
        () = left(leaving, LEAVE_TIMEOUT) => {}
    }
    tracing::warn!(
        count,
        "messages of the mailbox could not be acknowledged: they are delivered again"
    );
}

async fn send(owner: &MailboxOwner, acks: Vec<MailboxAckItem>) {
    let mut backoff = RETRY_BACKOFF;
    loop {
        match owner.acknowledge(acks.clone()).await {
            Ok(reply) => {
                if !reply.lost.is_empty() {
                    // Also where an acknowledgement was taken twice.
                    let lost = reply.lost.len();
                    tracing::debug!(lost, "some leases of mailbox messages were over");
                }
                return;
            }
            Err(error) => tracing::debug!(%error, "acknowledgements of mailbox messages are sent again"),
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

/// Returns so long after the node has begun to leave.
pub(super) async fn left(leaving: &CancellationToken, grace: Duration) {
    leaving.cancelled().await;
    tokio::time::sleep(grace).await;
}
