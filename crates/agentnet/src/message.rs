//! A message that was received.

use std::ops::Deref;
use std::sync::Arc;

use agentnet_protocol::mailbox::MailboxAck;
use agentnet_protocol::subject::{is_reply_subject, may_reply_to};
use agentnet_protocol::{Envelope, RawJson, Text};
use serde::de::DeserializeOwned;

use crate::mailbox::handling::Handling;
use crate::mailbox::lease::Lease;
use crate::spans::Origin;

/// A message that was received: its [`Envelope`] and where a reply would go. Cloning is cheap.
///
/// ```
/// # fn look(message: agentnet::Message) -> Result<(), serde_json::Error> {
/// println!("{} in {:?}: {:?}", message.kind, message.thread_id, message.text());
/// let order: std::collections::BTreeMap<String, u32> = message.json()?;
/// # drop(order);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Message(Arc<Received>);

#[derive(Debug)]
struct Received {
    envelope: Envelope,
    reply_to: Option<Text>,
    origin: Origin,
    /// Of a message that comes from the mailbox.
    lease: Option<Arc<Lease>>,
    /// Of a message that counts as delivered when it is processed.
    handling: Option<Arc<Handling<Message>>>,
}

impl Deref for Message {
    type Target = Envelope;

    fn deref(&self) -> &Envelope {
        &self.0.envelope
    }
}

impl Message {
    pub(crate) fn new(envelope: Envelope, reply_to: Option<Text>, origin: Origin) -> Self {
        Self::with_lease(envelope, reply_to, origin, None)
    }

    /// A message that may come from the mailbox.
    pub(crate) fn with_lease(
        envelope: Envelope,
        reply_to: Option<Text>,
        origin: Origin,
        lease: Option<Arc<Lease>>,
    ) -> Self {
        let handling = (envelope.mailbox == Some(MailboxAck::Processed)).then(Arc::default);
        Self(Arc::new(Received {
            envelope,
            // The sender chooses the subject, and the reply is published with this node's permissions.
            reply_to: reply_to.filter(|subject| may_reply_to(subject)),
            origin,
            lease,
            handling,
        }))
    }

    /// The lease, if the message comes from the mailbox.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.0.lease.as_deref()
    }

    /// The handling, if the message counts as delivered when it is processed.
    pub(crate) fn handling(&self) -> Option<&Arc<Handling<Message>>> {
        self.0.handling.as_ref()
    }

    /// The span of its sender.
    pub(crate) fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// The envelope of the message.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.0.envelope
    }

    /// The payload's exact JSON text.
    #[must_use]
    pub fn payload(&self) -> &RawJson {
        &self.0.envelope.payload
    }

    /// The payload as a Rust type.
    ///
    /// # Errors
    /// The error of `serde_json`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.payload().deserialize()
    }

    /// The payload's text, if it has one (PROTOCOL.md section 17): a text payload, or the `text` member of an object.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        agentnet_protocol::payload_text::extract_text(&self.payload().view())
    }

    /// Where a reply goes.
    #[must_use]
    pub fn reply_to(&self) -> Option<&str> {
        self.0.reply_to.as_deref()
    }

    /// Whether the sender waits for a reply.
    #[must_use]
    pub fn wants_reply(&self) -> bool {
        self.0.reply_to.is_some()
    }

    /// The error code, if this is an error reply (`kind: "error"`).
    #[must_use]
    pub fn error_code(&self) -> Option<String> {
        error_code_of(&self.0.envelope)
    }
}

impl From<Envelope> for Message {
    /// A message that was stored as its envelope. A reply goes to the member `reply_to`, if that is a reply subject
    /// (PROTOCOL.md section 0.7).
    fn from(envelope: Envelope) -> Self {
        let reply_to = written_reply_subject(&envelope);
        Self::new(envelope, reply_to, Origin::default())
    }
}

/// The JSON member `reply_to`, if it is a reply subject of this network (section 0.7).
pub(crate) fn written_reply_subject(envelope: &Envelope) -> Option<Text> {
    let written = envelope.reply_to.as_ref()?.view().as_str()?;
    is_reply_subject(&written).then(|| Text::from(written.into_owned()))
}

/// The error code of an error reply.
pub(crate) fn error_code_of(envelope: &Envelope) -> Option<String> {
    (*envelope.kind == *agentnet_protocol::envelope::kind::ERROR).then(|| {
        envelope
            .payload
            .view()
            .as_object()?
            .get("error")
            .opt_text()
            .map(std::borrow::Cow::into_owned)
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_was_kept_knows_where_its_reply_goes() {
        for (reply_to, expected) in [
            (r#""_INBOX.a.b""#, Some("_INBOX.a.b")),
            (r#""agentnet.reply.acct_1.x""#, Some("agentnet.reply.acct_1.x")),
            (r#""account.acct_1.inbox""#, None),
            (r#"["_INBOX.a"]"#, None),
            ("null", None),
        ] {
            let envelope = Envelope::decode(format!(r#"{{"message_id":"m","reply_to":{reply_to}}}"#)).unwrap();
            assert_eq!(Message::from(envelope).reply_to(), expected, "{reply_to}");
        }
    }
}
