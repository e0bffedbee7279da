//! A leased message on its way through the session: who leased it learns how it ends (PROTOCOL.md section 21.4).

use agentnet_protocol::Reject;
use agentnet_protocol::mailbox::{FREE_CODES, MailboxAck};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How the session has dealt with a leased message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeaseEnd {
    /// It is delivered.
    Done,
    /// It is to be delivered again.
    Retry(Reason),
    /// The session will never take it.
    Dead(Reason),
}

/// Why a message is not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    /// The code of section 12, or of the mailbox.
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

impl From<&Reject> for Reason {
    fn from(reject: &Reject) -> Self {
        Self {
            code: reject.code(),
            detail: reject.detail().into_owned(),
        }
    }
}

/// The lease of a message that the session handles. If it is dropped before its end, the message was given up.
#[derive(Debug)]
pub(crate) struct Lease {
    ack: MailboxAck,
    end: Mutex<Option<oneshot::Sender<LeaseEnd>>>,
}

impl Lease {
    /// A lease, and its end.
    pub(crate) fn new(ack: MailboxAck) -> (Self, oneshot::Receiver<LeaseEnd>) {
        let (sender, receiver) = oneshot::channel();
        let end = Mutex::new(Some(sender));
        (Self { ack, end }, receiver)
    }

    /// Whether the message is delivered only when it is processed.
    pub(crate) fn ends_when_processed(&self) -> bool {
        self.ack == MailboxAck::Processed
    }

    /// The session has accepted the message.
    pub(crate) fn accepted(&self) {
        if self.ack == MailboxAck::Accepted {
            self.end(LeaseEnd::Done);
        }
    }

    /// The handler has finished with the message.
    pub(crate) fn processed(&self) {
        self.end(LeaseEnd::Done);
    }

    /// The message was rejected, or its handling failed. A duplicate is delivered: its earlier copy was accepted, or processed where
    /// the message asks for that. Whether it goes back to the mailbox unhandled: then it is not rejected,
    /// and its sender is told nothing.
    pub(crate) fn rejected(&self, reject: &Reject) -> bool {
        let is_unhandled = FREE_CODES.contains(&reject.code());
        let end = match reject {
            Reject::DuplicateMessage | Reject::DuplicateKey => LeaseEnd::Done,
            Reject::HandlerError | Reject::Timeout => LeaseEnd::Retry(reject.into()),
            _ if is_unhandled => LeaseEnd::Retry(reject.into()),
            _ => LeaseEnd::Dead(reject.into()),
        };
        self.end(end) && is_unhandled
    }

    /// The earlier message that this one repeats was not processed: this one goes back to the mailbox.
    pub(crate) fn earlier_failed(&self, repeated: &Reject, failure: &Reject) {
        match repeated {
            // Another message failed, which is no attempt to deliver this one.
            Reject::DuplicateKey => self.rejected(&Reject::Busy),
            _ => self.rejected(failure),
        };
    }

    /// Whether the lease had not ended before.
    fn end(&self, end: LeaseEnd) -> bool {
        let sender = self.end.lock().take();
        sender.is_some_and(|sender| sender.send(end).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(ack: MailboxAck, deal: impl FnOnce(&Lease) -> bool) -> (bool, Option<&'static str>) {
        let (lease, mut end) = Lease::new(ack);
        let returned = deal(&lease);
        drop(lease);
        let end = end.try_recv().ok().map(|end| match end {
            LeaseEnd::Done => "done",
            LeaseEnd::Retry(reason) | LeaseEnd::Dead(reason) if reason.code == "expired" => "dead",
            LeaseEnd::Retry(_) => "retry",
            LeaseEnd::Dead(_) => "dead",
        });
        (returned, end)
    }

    #[test]
    fn a_lease_ends_once_as_the_message_asks() {
        use MailboxAck::{Accepted, Processed};
        let rejected = |reject: Reject| move |lease: &Lease| lease.rejected(&reject);
        let accepted = |lease: &Lease| {
            lease.accepted();
            false
        };
        let processed = |lease: &Lease| {
            lease.accepted();
            lease.processed();
            false
        };
        assert_eq!(ends(Accepted, accepted), (false, Some("done")));
        assert_eq!(ends(Processed, accepted), (false, None), "given up");
        assert_eq!(ends(Processed, processed), (false, Some("done")));
        for ack in [Accepted, Processed] {
            assert_eq!(ends(ack, rejected(Reject::DuplicateMessage)), (false, Some("done")));
            assert_eq!(ends(ack, rejected(Reject::Busy)), (true, Some("retry")));
            assert_eq!(ends(ack, rejected(Reject::Expired)), (false, Some("dead")));
        }
        assert_eq!(ends(Processed, rejected(Reject::HandlerError)), (false, Some("retry")));
        // Accepted, and so delivered: what comes later is told to the sender alone.
        let aborted = |lease: &Lease| {
            lease.accepted();
            lease.rejected(&Reject::ShuttingDown)
        };
        assert_eq!(ends(Accepted, aborted), (false, Some("done")));
        assert_eq!(ends(Processed, aborted), (true, Some("retry")));
    }
}
