//! The keys under which a receiver counts a sender's messages (PROTOCOL.md section 12, check 8) and remembers its idempotency
//! keys (check 10).

use crate::envelope::Envelope;
use crate::json;

/// The members of an envelope that name its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderFields<'a> {
    /// `from_account_id`
    pub account_id: Option<&'a str>,
    /// `from_session_tag`
    pub session_tag: Option<&'a str>,
    /// `from_agent`
    pub agent: Option<&'a str>,
}

impl<'a> From<&'a Envelope> for SenderFields<'a> {
    fn from(envelope: &'a Envelope) -> Self {
        Self {
            account_id: envelope.from_account_id.as_deref(),
            session_tag: envelope.from_session_tag.as_deref(),
            agent: Some(&envelope.from_agent),
        }
    }
}

impl<'a> SenderFields<'a> {
    /// The key of the sender's rate bucket: the first that is not empty of session tag, account id, agent, `unknown`;
    /// untrimmed.
    #[must_use]
    pub fn bucket_key(&self) -> &'a str {
        let known = [self.session_tag, self.account_id, self.agent];
        known
            .into_iter()
            .flatten()
            .find(|text| !text.is_empty())
            .unwrap_or("unknown")
    }

    /// The first that is not blank of account id, session tag, agent; trimmed, or empty when there is none.
    fn name(&self) -> &'a str {
        let known = [self.account_id, self.session_tag, self.agent];
        known
            .into_iter()
            .flatten()
            .map(json::trim)
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    }
}

/// What a receiver remembers of an idempotency key, `<sender>|<receiver>|<key>`; `None` where the key is absent or blank.
/// The receiver is its account id, or its agent id while that is absent or blank.
#[must_use]
pub fn idempotency_scope(
    key: Option<&str>,
    sender: &SenderFields<'_>,
    receiver_account_id: Option<&str>,
    receiver_agent_id: &str,
) -> Option<String> {
    let key = json::trim(key?);
    let account = receiver_account_id.map(json::trim).filter(|id| !id.is_empty());
    let receiver = account.unwrap_or_else(|| json::trim(receiver_agent_id));
    (!key.is_empty()).then(|| format!("{}|{receiver}|{key}", sender.name()))
}
