//! Putting a message into the mailbox of its receiver: after it was published, or behind others without being published (PROTOCOL.md
//! section 21.2, steps 3 and 4).

use std::time::Duration;

use agentnet_protocol::mailbox::code;
use agentnet_protocol::rpc::{MailboxPutReply, MailboxPutRequest};
use agentnet_protocol::{RawJson, Receipt};
use tokio::sync::mpsc;

use super::signals::{Signal, next_signal, shortened};
use super::{Attempt, Kept, Step};
use crate::connect::NO_CONNECTION;
use crate::mailbox::codes::{DEAD, not_kept};
use crate::mailbox::lines::Place;
use crate::mailbox::outbox::LINE_TIMEOUT;
use crate::registry::error::RegistryError;
use crate::send::error::SendError;

/// The reason why a message is put that is not published before.
const EARLIER_WAIT: &str = "earlier messages wait for the receiver";

impl Attempt<'_> {
    /// Puts the message into the mailbox. A receipt that comes meanwhile wins.
    pub(super) async fn put(&mut self, why: &str) -> Result<Step, SendError> {
        let step = self.put_in_line(why).await;
        if !matches!(step, Ok(Step::WhileQueued(_))) {
            self.release();
        }
        step
    }

    async fn put_in_line(&mut self, why: &str) -> Result<Step, SendError> {
        self.connected().await?;
        let request = self.put_request(false)?;
        let (registry, receipts, processing) = (&self.registry, &mut self.receipts, self.message.processing);
        let place = self.place.as_deref();
        let call = async {
            first(place).await;
            registry.call(&request).await
        };
        tokio::select! {
            biased;
            step = late_receipt(receipts, processing) => step,
            reply = call => match reply {
                Ok(reply) => self.is_put(&reply, why),
                Err(error) => Err(not_kept(error, why, self.message.message_id)),
            },
        }
    }

    /// Puts the message behind earlier ones that may wait; to be published where none does.
    pub(super) async fn put_behind_others(&mut self) -> Result<Step, SendError> {
        first(self.place.as_deref()).await;
        if !self.outbox.receivers.contains(self.message.account_id) {
            // The one before was delivered.
            return Ok(Step::Publish);
        }
        self.connected().await?;
        let request = self.put_request(true)?;
        let error = match self.call_in_line(request).await? {
            Ok(reply) if reply.state == "live" => {
                self.outbox.receivers.remove(self.message.account_id);
                return Ok(Step::Publish);
            }
            Ok(reply) => return self.is_put(&reply, EARLIER_WAIT),
            Err(error) => error,
        };
        let error = not_kept(error, EARLIER_WAIT, self.message.message_id);
        match &error {
            // No more messages are kept for the receiver: what is sent now can only be published, before what may wait.
            SendError::Mailbox { code, .. }
                if [code::DISABLED, code::REFUSED, code::UNKNOWN_ACCOUNT].contains(&code.as_str()) =>
            {
                self.outbox.receivers.remove(self.message.account_id);
                Ok(Step::Publish)
            }
            _ => Err(error),
        }
    }

    /// Puts the message in a task of its own: if the send is dropped meanwhile, the next message waits nevertheless, so that it
    /// cannot come to another registry before.
    async fn call_in_line(
        &mut self,
        request: MailboxPutRequest,
    ) -> Result<Result<MailboxPutReply, RegistryError>, SendError> {
        let (registry, call, place) = (self.registry.clone(), self.call.take(), self.place.clone());
        let put = tokio::spawn(async move {
            let reply = registry.call(&request).await;
            drop(place);
            let may_be_published = match &reply {
                Ok(reply) => reply.state == "live",
                Err(error) => matches!(error, RegistryError::Refused(_)),
            };
            (reply, call.filter(|_| may_be_published))
        });
        let (reply, call) = put.await.map_err(|_| SendError::NotRunning)?;
        self.call = call;
        Ok(reply)
    }

    /// While there is no connection nothing is put: what the client buffers would go out after the sender has been told of a
    /// failure.
    pub(super) async fn connected(&self) -> Result<(), SendError> {
        let connected = self.delivery.publisher.connected();
        let waited = tokio::time::timeout(self.message.wait, connected).await;
        waited.map_err(|_| SendError::Connection(NO_CONNECTION.to_owned()))
    }

    fn put_request(&self, direct: bool) -> Result<MailboxPutRequest, SendError> {
        let invalid = |why: &dyn std::fmt::Display| SendError::Payload(why.to_string());
        let text = String::from_utf8(self.message.body.to_vec()).map_err(|why| invalid(&why))?;
        let envelope = RawJson::parse(text).map_err(|why| invalid(&why))?;
        Ok(MailboxPutRequest { envelope, direct })
    }

    fn is_put(&self, reply: &MailboxPutReply, why: &str) -> Result<Step, SendError> {
        let failed = |code: &str, detail: String| SendError::Mailbox {
            code: code.to_owned(),
            detail,
            message_id: self.message.message_id.to_string(),
        };
        match reply.state.as_str() {
            "queued" => Ok(Step::WhileQueued(match &reply.expires_at {
                Some(expires_at) => format!("{why}; the message is kept until {}", shortened(expires_at)),
                None => format!("{why}; the message is kept"),
            })),
            "delivered" => Ok(Step::Done(Kept::Delivered)),
            "dead" => Err(failed(
                DEAD,
                "the mailbox has given up a message with this id; `agentnet mailbox` shows why".to_owned(),
            )),
            state => Err(failed(
                code::FAILED,
                format!(
                    "{why}, and the registry says of the message only {:?}",
                    shortened(state)
                ),
            )),
        }
    }
}

/// Waits until all earlier messages to the account are put, or need not be. One of which nothing is known for long does not hold up
/// the others.
async fn first(place: Option<&Place>) {
    if let Some(place) = place {
        let _ = tokio::time::timeout(LINE_TIMEOUT, place.first()).await;
    }
}

/// A receipt that comes while the message is put: only one that ends the put counts.
async fn late_receipt(
    receipts: &mut mpsc::Receiver<Box<Receipt>>,
    processing: Option<Duration>,
) -> Result<Step, SendError> {
    loop {
        match (next_signal(receipts).await?, processing) {
            (Signal::Accepted, Some(timeout)) => return Ok(Step::UntilProcessed(timeout)),
            (Signal::Accepted | Signal::Duplicate(_), None) | (Signal::Processed, _) => {
                return Ok(Step::Done(Kept::Delivered));
            }
            (Signal::Queued(detail), _) => return Ok(Step::WhileQueued(detail)),
            (Signal::Failed(error), _) => return Err(error),
            (Signal::Duplicate(_) | Signal::Returned(_) | Signal::Ignored, _) => {}
        }
    }
}
