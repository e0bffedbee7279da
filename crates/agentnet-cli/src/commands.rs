//! The commands, one a file, and the arguments that several of them share.

pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod conformance;
pub(crate) mod doctor;
pub(crate) mod echo;
pub(crate) mod export;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod message;
pub(crate) mod message_search;
pub(crate) mod metrics;
pub(crate) mod profile;
pub(crate) mod registry;
pub(crate) mod registry_health;
pub(crate) mod registry_settings;
pub(crate) mod request;
pub(crate) mod search;
pub(crate) mod send;
pub(crate) mod sender;
pub(crate) mod signing;
pub(crate) mod thread_messages;
pub(crate) mod thread_status;
pub(crate) mod threads;
pub(crate) mod top;
pub(crate) mod up;
pub(crate) mod watch;

use std::str::FromStr;
use std::time::Duration;

use agentnet_protocol::rpc::ThreadLimits;
use clap::Args;

use crate::output::Output;
use crate::output::table::Noun;

const AGENTS: Noun = Noun("agent", "agents");
pub(crate) const MESSAGES: Noun = Noun("message", "messages");

/// A positive number of seconds, fractions allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seconds(Duration);

impl Seconds {
    /// A day: longer waits are typing errors.
    const LONGEST: f64 = 86_400.0;

    pub(crate) fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds: f64 = text
            .trim()
            .parse()
            .map_err(|_| "it is not a number of seconds".to_owned())?;
        if seconds > 0.0 && seconds <= Self::LONGEST {
            return Ok(Self(Duration::from_secs_f64(seconds).max(Duration::from_millis(1))));
        }
        Err(format!("it must be more than 0 and at most {}", Self::LONGEST))
    }
}

/// Token limits that stand beside a thread's counters.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Soft limit to report, in tokens [default: the registry's]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(i64).range(1..))]
    soft_limit_tokens: Option<i64>,
    /// Hard limit to report, in tokens [default: the registry's]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(i64).range(1..))]
    hard_limit_tokens: Option<i64>,
}

impl LimitArgs {
    fn limits(&self) -> ThreadLimits {
        ThreadLimits {
            soft: self.soft_limit_tokens,
            hard: self.hard_limit_tokens,
        }
    }
}

/// Reads a `--limit`: at least 1.
fn limit(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(limit) => Ok(limit),
        Err(_) => Err("it must be a whole number, at least 1".to_owned()),
    }
}

/// The limit, or the most that a page holds, with a note.
fn at_most(limit: usize, most: usize, output: Output) -> usize {
    if limit > most {
        output.note(format!(
            "note: a page holds at most {most}; the rest follows with --cursor"
        ));
    }
    limit.min(most)
}

/// Reads an id, a name or whatever else cannot be blank: that is a variable of a script that was never set.
pub(crate) fn not_blank(text: &str) -> Result<String, String> {
    match text.trim().trim_start_matches('@') {
        "" => Err("it is empty".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// Reads a text to look for, which may be white space.
pub(crate) fn not_empty(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it is empty".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// An absent or blank argument is none.
pub(crate) fn given(text: Option<&String>) -> Option<String> {
    text.map(|text| text.trim())
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!("2.0".parse::<Seconds>().unwrap().duration(), Duration::from_secs(2));
        assert_eq!(
            "0.25".parse::<Seconds>().unwrap().duration(),
            Duration::from_millis(250)
        );
        for text in ["0", "-1", "nan", "inf", "1e9", "soon", ""] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
    }

    #[test]
    fn limits_start_at_one() {
        assert_eq!(limit("1"), Ok(1));
        for text in ["0", "-1", "1.5", "many"] {
            assert!(limit(text).is_err(), "{text}");
        }
    }
}
