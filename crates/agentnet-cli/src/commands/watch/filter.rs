//! Which of the messages that pass are shown.

use agentnet_protocol::Envelope;
use clap::Args;

/// All that are given must hold.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Filter {
    /// Only messages from this agent: @name, name or account id
    #[arg(long, value_name = "AGENT", add = crate::live::usernames())]
    from: Option<String>,
    /// Only messages to this agent: @name, name, account id or capability:NAME
    #[arg(long, value_name = "AGENT", add = crate::live::usernames())]
    to: Option<String>,
    /// Only messages of this thread
    #[arg(long, value_name = "ID", add = crate::live::threads())]
    thread: Option<String>,
    /// Only messages of this kind: direct, request, reply, error, stream, ...
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only messages with this text in their payload, in any case
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
}

/// Who sent a message and whom it is for, with names where they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parties {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Filter {
    /// Whether everything is shown.
    pub(crate) fn is_empty(&self) -> bool {
        let none = [&self.from, &self.to, &self.thread, &self.kind, &self.grep];
        none.into_iter().all(Option::is_none)
    }

    /// Whether the message itself may be shown; whom it is from and for is not looked at.
    pub(crate) fn takes(&self, message: &Envelope) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.thread, message.thread_id.as_deref().unwrap_or_default())
            && is(&self.kind, &message.kind)
            && self.grep.as_deref().is_none_or(|text| {
                let payload = message.payload.get().to_lowercase();
                // What is written with escapes is looked for as it reads, too.
                let read = || super::unescaped(&message.payload).to_lowercase();
                let text = text.to_lowercase();
                payload.contains(&text) || read().contains(&text)
            })
    }

    /// Whether sender and receiver are those that are wanted.
    pub(crate) fn takes_parties(&self, message: &Envelope, parties: &Parties) -> bool {
        let from = [
            message.from_account_id.as_deref().unwrap_or_default(),
            &message.from_agent,
        ];
        let to = [message.to_account_id.as_deref().unwrap_or_default(), &message.to_agent];
        is_party(self.from.as_deref(), &parties.from, &from) && is_party(self.to.as_deref(), &parties.to, &to)
    }
}

fn is_party(wanted: Option<&str>, name: &str, others: &[&str]) -> bool {
    let Some(wanted) = wanted.map(str::trim) else {
        return true;
    };
    let bare = |text: &str| text.trim_start_matches('@').to_lowercase();
    bare(wanted) == bare(name) || others.iter().any(|other| !other.is_empty() && *other == wanted)
}

#[cfg(test)]
mod tests {
    use agentnet_protocol::RawJson;

    use super::*;

    fn message() -> Envelope {
        Envelope {
            message_id: "m1".into(),
            from_agent: "agent_a".into(),
            from_account_id: Some("acct_a".into()),
            to_agent: "acct_b".into(),
            to_account_id: Some("acct_b".into()),
            thread_id: Some("ops_1".into()),
            kind: "request".into(),
            payload: RawJson::parse(r#"{"text":"Caf\u00e9 at 8"}"#).unwrap(),
            ..Envelope::default()
        }
    }

    #[test]
    fn all_that_is_given_must_hold() {
        let parties = Parties {
            from: "@alice".into(),
            to: "@bob".into(),
        };
        let some = |text: &str| Some(text.to_owned());
        let none = Filter::default;
        let table = [
            (none(), true),
            (
                Filter {
                    thread: some("ops_1"),
                    ..none()
                },
                true,
            ),
            (
                Filter {
                    thread: some("ops"),
                    ..none()
                },
                false,
            ),
            (
                Filter {
                    kind: some("request"),
                    ..none()
                },
                true,
            ),
            (
                Filter {
                    kind: some("reply"),
                    ..none()
                },
                false,
            ),
            (
                Filter {
                    grep: some("AT 8"),
                    ..none()
                },
                true,
            ),
            (
                Filter {
                    grep: some("café"),
                    ..none()
                },
                true,
            ),
            (
                Filter {
                    grep: some("tea"),
                    ..none()
                },
                false,
            ),
            (
                Filter {
                    from: some("@Alice"),
                    ..none()
                },
                true,
            ),
            (
                Filter {
                    from: some("alice"),
                    ..none()
                },
                true,
            ),
            (
                Filter {
                    from: some("acct_a"),
                    ..none()
                },
                true,
            ),
            (
                Filter {
                    from: some("agent_a"),
                    ..none()
                },
                true,
            ),
            (
                Filter {
                    from: some("@bob"),
                    ..none()
                },
                false,
            ),
            (
                Filter {
                    to: some("bob"),
                    ..none()
                },
                true,
            ),
            (
                Filter {
                    to: some("acct_a"),
                    ..none()
                },
                false,
            ),
            (
                Filter {
                    from: some("alice"),
                    to: some("carol"),
                    ..none()
                },
                false,
            ),
        ];
        for (filter, shown) in table {
            let takes = filter.takes(&message()) && filter.takes_parties(&message(), &parties);
            assert_eq!(takes, shown, "{filter:?}");
        }
        assert!(
            none().is_empty()
                && !Filter {
                    kind: some("x"),
                    ..none()
                }
                .is_empty()
        );
    }

    #[test]
    fn a_capability_is_a_target_too() {
        let message = Envelope {
            to_agent: "capability:chat".into(),
            to_account_id: None,
            ..message()
        };
        let parties = Parties {
            from: "@alice".into(),
            to: "capability:chat".into(),
        };
        let filter = Filter {
            to: Some("capability:chat".into()),
            ..Filter::default()
        };
        assert!(filter.takes_parties(&message, &parties));
    }
}
