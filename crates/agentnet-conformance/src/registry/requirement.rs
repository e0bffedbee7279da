//! What a conversation needs that a registry may lack: an addition such as the mailbox.

use serde::Deserialize;
use serde_json::Value;

/// Member `requires` of a step file: the conversation needs an answer to this request; else none of its steps is run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Requirement {
    /// Subject of the request that is sent before the conversation.
    pub(super) subject: String,
    /// Body of that request.
    pub(super) request: Value,
    /// The code of the error of a registry in which the addition is switched off.
    disabled: String,
    /// The addition, for the reason of the steps that are not run.
    what: String,
}

impl Requirement {
    /// Why the conversation cannot be tested; `None` if the registry has the addition. The answer is the reply's body, or the
    /// reason why there is none.
    pub(super) fn unmet(&self, answer: Result<Vec<u8>, String>) -> Option<String> {
        let why = match answer {
            Ok(body) => {
                let reply: Value = serde_json::from_slice(&body).unwrap_or_default();
                let error = reply["error"].as_str()?;
                let code = error.split_once(": ").map_or(error, |(code, _)| code);
                (code == self.disabled).then(|| error.to_owned())?
            }
            Err(why) => why,
        };
        Some(format!("the registry has no {}: {why}", self.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_or_disabled_addition_is_a_reason() {
        let requirement = Requirement {
            subject: "registry.mailbox_put".to_owned(),
            request: serde_json::json!({"envelope": {}}),
            disabled: "mailbox_disabled".to_owned(),
            what: "mailbox".to_owned(),
        };
        let unmet = |body: &str| requirement.unmet(Ok(body.as_bytes().to_vec()));
        assert_eq!(
            unmet(r#"{"error":"mailbox_not_storable: the message has no message_id"}"#),
            None
        );
        // The steps show what is wrong with these.
        assert_eq!(unmet(r#"{"error":"mailbox_failed: the database is locked"}"#), None);
        assert_eq!(unmet("no JSON"), None);
        assert_eq!(
            unmet(r#"{"error":"mailbox_disabled: set AGENTNET_MAILBOX=true"}"#).as_deref(),
            Some("the registry has no mailbox: mailbox_disabled: set AGENTNET_MAILBOX=true")
        );
        assert_eq!(
            requirement.unmet(Err("there is no subscription".to_owned())).as_deref(),
            Some("the registry has no mailbox: there is no subscription")
        );
    }
}
