//! Joining again when the NATS client has ended for good.
//!
//! The client reconnects for ever. But there are messages that it cannot parse and that end it, and every client that may
//! publish can send one. A node that has a connection of its own then closes, and starts again.

use std::pin::Pin;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{AgentNode, Shared};
use crate::connect::reconnect_delay;
use crate::error::StartError;
use crate::session::Session;

/// Watches over a session's client until the session ends.
// Not `async fn`: a start watches, and what watches starts.
pub(super) fn watch(node: Weak<Shared>, session: &Session) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let (ended, client_ended) = (
        session.ended.clone(),
        session.publisher.connections.client_ended.clone(),
    );
    Box::pin(async move {
        tokio::select! {
            biased;
            // The client ends with its session, too.
            () = ended.cancelled() => return,
            () = client_ended.cancelled() => {}
        }
        let Some(shared) = node.upgrade().map(AgentNode::from_shared) else {
            return;
        };
        if shared.has_shared_connection() {
            tracing::error!(
                "the NATS client ended over a message that it could not read; the node needs a new connection"
            );
            return;
        }
        tracing::error!("the NATS client ended over a message that it could not read; joining the network again");
        shared.close_session().await;
        drop(shared);
        for attempt in 1.. {
            let Some(node) = node.upgrade().map(AgentNode::from_shared) else {
                return;
            };
            match node.start_again().await {
                Ok(()) | Err(StartError::Running) => return,
                Err(error) if attempt == 1 => {
                    tracing::warn!(%error, "the network cannot be joined again yet; trying on")
                }
                Err(error) => tracing::debug!(%error, attempt, "the network cannot be joined again yet"),
            }
            drop(node);
            tokio::time::sleep(rejoin_delay(attempt)).await;
        }
    })
}

fn rejoin_delay(attempt: usize) -> Duration {
    reconnect_delay(attempt, rand::random_range(0.5..=1.0))
}

impl AgentNode {
    /// As [`AgentNode::start`], for a node that has been started and was not closed since; nothing happens to others.
    async fn start_again(&self) -> Result<(), StartError> {
        let _changing = self.shared.changing.lock().await;
        match self.session() {
            Ok(_) => Err(StartError::Running),
            Err(_) if self.shared.started.load(Ordering::Acquire) => self.open_session().await,
            Err(_) => Ok(()),
        }
    }

    /// Whether its connection belongs to others too.
    fn has_shared_connection(&self) -> bool {
        self.shared.config.connection.is_some()
    }

    /// Closes the node for the time being.
    async fn close_session(&self) {
        let _changing = self.shared.changing.lock().await;
        self.end_session().await;
    }
}
