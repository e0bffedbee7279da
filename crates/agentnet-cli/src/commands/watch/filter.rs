//! The filter of the shown messages.

use agentnet_protocol::Envelope;
use clap::Args;

/// A message must match all given conditions.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Filter {
    /// Only messages from this agent: @name, name or account id
    #[arg(long, value_name = "AGENT", value_parser = crate::args::not_blank, add = crate::shell_completion::usernames())]
    from: Option<String>,
    /// Only messages to this agent: @name, name, account id or capability:NAME (which is then listened on)
    #[arg(long, value_name = "AGENT", value_parser = crate::args::not_blank, add = crate::shell_completion::usernames())]
    to: Option<String>,
    /// Only messages of this thread
    #[arg(long, value_name = "ID", value_parser = crate::args::not_blank, add = crate::shell_completion::threads())]
    thread: Option<String>,
    /// Only messages of this kind: direct, request, reply, error, stream, ... (listened for wherever that kind passes)
    #[arg(long, value_name = "KIND", value_parser = crate::args::not_blank)]
    kind: Option<String>,
    /// Only messages with this text in their payload, in any case
    #[arg(long, value_name = "TEXT", value_parser = crate::args::not_empty)]
    grep: Option<String>,
}

/// Sender and receiver of a message, by name if it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parties {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Filter {
    #[cfg(test)]
    pub(super) fn of(to: Option<&str>, kind: Option<&str>) -> Self {
        Self {
            to: to.map(str::to_owned),
            kind: kind.map(str::to_owned),
            ..Self::default()
        }
    }

    /// The wanted kind.
    pub(super) fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// The wanted sender.
    pub(super) fn from(&self) -> Option<&str> {
        self.from.as_deref().map(str::trim)
    }

    /// The wanted receiver.
    pub(super) fn to(&self) -> Option<&str> {
        self.to.as_deref().map(str::trim)
    }

    /// The capability of the wanted receiver.
    pub(super) fn capability(&self) -> Option<&str> {
        capability(self.to()?)
    }

    /// Whether there are no conditions.
    pub(crate) fn is_empty(&self) -> bool {
        let none = [&self.from, &self.to, &self.thread, &self.kind, &self.grep];
        none.into_iter().all(Option::is_none)
    }

    /// Whether the message matches, except for sender and receiver.
    pub(crate) fn takes(&self, message: &Envelope) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.thread, message.thread_id.as_deref().unwrap_or_default())
            && is(&self.kind, &message.kind)
            && self.grep.as_deref().is_none_or(|text| {
                let payload = message.payload.get().to_lowercase();
                // Also searches the text with its escapes resolved.
                let read = || crate::output::json::unescaped(&message.payload).to_lowercase();
                let text = text.to_lowercase();
                payload.contains(&text) || read().contains(&text)
            })
    }

    /// Whether sender and receiver match.
    pub(crate) fn takes_parties(&self, message: &Envelope, parties: &Parties) -> bool {
        let from = [
            message.from_account_id.as_deref().unwrap_or_default(),
            &message.from_agent,
        ];
        let to = [message.to_account_id.as_deref().unwrap_or_default(), &message.to_agent];
        is_party(self.from.as_deref(), &parties.from, &from) && is_party(self.to.as_deref(), &parties.to, &to)
    }

    /// As [`Filter::takes_parties`], for two account ids.
    pub(crate) fn takes_accounts(&self, from: &str, to: &str, parties: &Parties) -> bool {
        is_party(self.from.as_deref(), &parties.from, &[from]) && is_party(self.to.as_deref(), &parties.to, &[to])
    }
}

/// The name after the prefix `capability:`, which is case-insensitive.
fn capability(target: &str) -> Option<&str> {
    let (prefix, name) = target.split_once(':')?;
    prefix.eq_ignore_ascii_case("capability").then_some(name.trim())
}

fn is_party(wanted: Option<&str>, name: &str, others: &[&str]) -> bool {
    let Some(wanted) = wanted.map(str::trim) else {
        return true;
    };
    if let Some(wanted) = capability(wanted) {
        // Case-sensitive, as subjects are.
        return [name]
            .iter()
            .chain(others)
            .any(|other| capability(other) == Some(wanted));
    }
    let bare = |text: &str| text.trim_start_matches('@').to_lowercase();
    bare(wanted) == bare(name) || others.iter().any(|other| !other.is_empty() && *other == wanted)
}

#[cfg(test)]
mod tests;
