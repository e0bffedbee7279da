//! The receiver of a message, and how users write it (PROTOCOL.md section 11.2).

use std::fmt;

use crate::json;

/// A routing target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// An account, by its id.
    Account(String),
    /// An account, by a username that has yet to be resolved; as the user wrote it, without its mark.
    Username(String),
    /// One of the agents that offer a capability.
    Capability(String),
}

/// Which call a target was given to: the error text names the way to reach a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `send`
    Send,
    /// `request`
    Request,
}

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Empty, or a capability, where only accounts and usernames are routed.
    #[error(
        "Routing target must be account:<account_id>, acct_..., username:<name>, or @name. Use {}() for capability routing.",
        match .0 { Verb::Send => "send_to_capability", Verb::Request => "request_capability" }
    )]
    NotRoutable(Verb),
    /// Nothing but white space.
    #[error("target is required")]
    Required,
    /// `account:` with nothing behind it.
    #[error("account target cannot be empty")]
    EmptyAccount,
    /// `capability:` with nothing behind it.
    #[error("capability target cannot be empty")]
    EmptyCapability,
    /// `@` with nothing behind it.
    #[error("username target cannot be empty")]
    EmptyUsername,
    /// No target, or several, where each is given by a call of its own.
    #[error("Provide exactly one target: to_account_id, to_username, or to_capability.")]
    ExactlyOne,
}

impl Target {
    /// Reads a target as an agent node's `send` and `request` do: `account:<id>`, `acct_…`, `username:<name>`, `@name`, or a
    /// plain name. Prefixes are read in any case, `acct_` only in lower case.
    ///
    /// # Errors
    /// [`TargetError::NotRoutable`] for an empty target, an empty username and `capability:`.
    pub fn parse_node(text: &str, verb: Verb) -> Result<Self, TargetError> {
        let text = json::trim(text);
        if let Some(id) = after(text, "account:").filter(|id| !id.is_empty()) {
            return Ok(Self::Account(id.to_owned()));
        }
        if text.starts_with("acct_") {
            return Ok(Self::Account(text.to_owned()));
        }
        let name = if after(text, "capability:").is_some() {
            ""
        } else if let Some(name) = after(text, "username:") {
            name.trim_start_matches('@')
        } else {
            json::trim(text.strip_prefix('@').unwrap_or(text))
        };
        if name.is_empty() {
            Err(TargetError::NotRoutable(verb))
        } else {
            Ok(Self::Username(name.to_owned()))
        }
    }

    /// Reads a target as the high-level SDK does: as [`Target::parse_node`], with `capability:<name>` and without
    /// `username:`.
    ///
    /// # Errors
    /// Any [`TargetError`] but [`TargetError::NotRoutable`].
    pub fn parse_sdk(text: &str) -> Result<Self, TargetError> {
        let text = json::trim(text);
        if text.is_empty() {
            return Err(TargetError::Required);
        }
        if let Some(id) = after(text, "account:") {
            return if id.is_empty() {
                Err(TargetError::EmptyAccount)
            } else {
                Ok(Self::Account(id.to_owned()))
            };
        }
        if let Some(name) = after(text, "capability:") {
            let empty = name.is_empty();
            return if empty {
                Err(TargetError::EmptyCapability)
            } else {
                Ok(Self::Capability(name.to_owned()))
            };
        }
        if text.starts_with("acct_") {
            return Ok(Self::Account(text.to_owned()));
        }
        let name = json::trim(text.strip_prefix('@').unwrap_or(text));
        if name.is_empty() {
            Err(TargetError::EmptyUsername)
        } else {
            Ok(Self::Username(name.to_owned()))
        }
    }

    /// Reads a target in all its forms: as [`Target::parse_sdk`], and `username:<name>`, which names a username in all other
    /// calls too.
    ///
    /// # Errors
    /// Any [`TargetError`] but [`TargetError::NotRoutable`].
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        match Self::parse_sdk(text)? {
            Self::Username(name) if after(&name, "username:").is_some() => {
                Self::parse_node(&name, Verb::Send).map_err(|_| TargetError::EmptyUsername)
            }
            target => Ok(target),
        }
    }
}

/// The trimmed text behind a prefix that is read in any case.
fn after<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| json::trim(&text[prefix.len()..]))
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(out, "account:{id}"),
            Self::Username(name) => write!(out, "@{name}"),
            Self::Capability(name) => write!(out, "capability:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_the_call_for_capabilities() {
        let error = |verb| Target::parse_node("capability:chat", verb).unwrap_err().to_string();
        assert!(error(Verb::Send).ends_with("Use send_to_capability() for capability routing."));
        assert!(error(Verb::Request).ends_with("Use request_capability() for capability routing."));
    }

    #[test]
    fn a_mark_without_a_name_is_refused() {
        assert_eq!(
            Target::parse_node(" @ ", Verb::Send),
            Err(TargetError::NotRoutable(Verb::Send))
        );
        assert_eq!(Target::parse_sdk(" @ "), Err(TargetError::EmptyUsername));
    }

    #[test]
    fn a_target_reads_back_from_its_text() {
        for text in ["account:acct_1", "@bob", "capability:chat"] {
            assert_eq!(
                Target::parse_sdk(text).map(|target| target.to_string()),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn targets_are_read_as_people_write_them() {
        let name = |name: &str| Ok(Target::Username(name.to_owned()));
        for (text, expected) in [
            ("bob", name("bob")),
            (" @bob ", name("bob")),
            ("username:bob", name("bob")),
            ("Username: @@bob", name("bob")),
            ("username: ", Err(TargetError::EmptyUsername)),
            ("username:@", Err(TargetError::EmptyUsername)),
            ("acct_1", Ok(Target::Account("acct_1".to_owned()))),
            ("account: x ", Ok(Target::Account("x".to_owned()))),
            ("account:", Err(TargetError::EmptyAccount)),
            ("capability:chat", Ok(Target::Capability("chat".to_owned()))),
            ("", Err(TargetError::Required)),
        ] {
            assert_eq!(Target::parse(text), expected, "{text:?}");
        }
    }
}
