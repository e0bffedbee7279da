//! Argument types and value parsers that several commands share.

use std::str::FromStr;
use std::time::Duration;

use agentnet_protocol::rpc::ThreadLimits;
use agentnet_protocol::username::{UnusableName, usable};
use clap::Args;

use crate::exit::Failure;
use crate::output::Output;

/// A positive number of seconds, fractions allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seconds(Duration);

impl Seconds {
    /// A day: longer waits are typing errors.
    const MAX: f64 = 86_400.0;

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
        if seconds > 0.0 && seconds <= Self::MAX {
            return Ok(Self(Duration::from_secs_f64(seconds).max(Duration::from_millis(1))));
        }
        Err(format!("it must be more than 0 and at most {}", Self::MAX))
    }
}

/// How long a message waits in a mailbox: a number with a unit (`90s`, `30m`, `12h`, `7d`, `2w`), or of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime(Duration);

impl Lifetime {
    /// A year: more is a typing error. Registries keep messages for a shorter time.
    const MAX_SECONDS: u64 = 366 * 86_400;

    pub(crate) fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (number, unit) = match text.char_indices().next_back() {
            Some((at, unit)) if unit.is_ascii_alphabetic() => (&text[..at], unit.to_ascii_lowercase()),
            _ => (text, 's'),
        };
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return Err("the unit is s, m, h, d or w, as in 12h".to_owned()),
        };
        let number: u64 = number
            .trim_end()
            .parse()
            .map_err(|_| "it is a whole number with a unit, like 90s, 30m, 12h or 7d".to_owned())?;
        match number.checked_mul(seconds) {
            Some(seconds @ 1..=Self::MAX_SECONDS) => Ok(Self(Duration::from_secs(seconds))),
            _ => Err("it must be at least 1s and at most 366d".to_owned()),
        }
    }
}

/// Timeout of a registry call by default, in seconds.
const DEFAULT_CALL_TIMEOUT: &str = "2.0";

/// Timeout of a registry call.
#[derive(Debug, Args)]
pub(crate) struct CallTimeout {
    /// How long to wait for the registry, in seconds
    #[arg(long, value_name = "SECONDS", default_value = DEFAULT_CALL_TIMEOUT)]
    timeout: Seconds,
}

impl Default for CallTimeout {
    fn default() -> Self {
        Self {
            timeout: Seconds(Duration::from_secs(2)),
        }
    }
}

impl CallTimeout {
    pub(crate) fn duration(&self) -> Duration {
        self.timeout.duration()
    }
}

/// Token limits, reported beside a thread's counters.
#[derive(Debug, Args)]
pub(crate) struct ThreadLimitArgs {
    /// Soft limit to report, in tokens [default: the registry's]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(i64).range(1..))]
    soft_limit_tokens: Option<i64>,
    /// Hard limit to report, in tokens [default: the registry's]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(i64).range(1..))]
    hard_limit_tokens: Option<i64>,
}

impl ThreadLimitArgs {
    pub(crate) fn limits(&self) -> ThreadLimits {
        ThreadLimits {
            soft: self.soft_limit_tokens,
            hard: self.hard_limit_tokens,
        }
    }
}

/// Parses a `--limit`: at least 1.
pub(crate) fn page_limit(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(limit) => Ok(limit),
        Err(_) => Err("it must be a whole number, at least 1".to_owned()),
    }
}

/// The limit, cut to the largest page of the registry; a note on stderr says so.
pub(crate) fn capped_limit(limit: usize, max: usize, output: Output) -> usize {
    if limit > max {
        output.note(format!(
            "note: a page holds at most {max}; the rest follows with --cursor"
        ));
    }
    limit.min(max)
}

/// Parses an id or name. A blank one is refused: it is most likely a script's unset variable.
pub(crate) fn not_blank(text: &str) -> Result<String, String> {
    match text.trim().trim_start_matches('@') {
        "" => Err("it is empty".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// Parses a text to search for, which may be white space.
pub(crate) fn not_empty(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it is empty".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// The argument without white space around it; `None` if it is absent or blank.
pub(crate) fn trimmed(text: Option<&String>) -> Option<String> {
    text.map(|text| text.trim())
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// A valid username, without its `@`.
///
/// # Errors
/// The registry would change the name.
pub(crate) fn checked_username(name: &str) -> Result<String, Failure> {
    let unusable = |error: UnusableName| {
        Failure::refused(error.to_string())
            .with_code("username_invalid")
            .hint("`agentnet search` shows every username")
    };
    let name = name.trim().trim_start_matches('@');
    usable(name).map(|_| name.to_owned()).map_err(unusable)
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
    fn the_default_timeout_is_that_of_the_flag() {
        let flag: Seconds = DEFAULT_CALL_TIMEOUT.parse().unwrap();
        assert_eq!(CallTimeout::default().duration(), flag.duration());
    }

    #[test]
    fn a_lifetime_has_a_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("90", 90),
            (" 30M ", 1_800),
            ("12h", 43_200),
            ("7d", 604_800),
            ("2 w", 1_209_600),
            ("366d", 31_622_400),
        ] {
            let lifetime: Lifetime = text.parse().unwrap();
            assert_eq!(lifetime.duration(), Duration::from_secs(seconds), "{text}");
        }
        for text in [
            "",
            "d",
            "0s",
            "-1d",
            "1.5h",
            "7x",
            "367d",
            "99999999999999999999d",
            "soon",
            "7日",
        ] {
            assert!(text.parse::<Lifetime>().is_err(), "{text}");
        }
    }

    #[test]
    fn limits_start_at_one() {
        assert_eq!(page_limit("1"), Ok(1));
        for text in ["0", "-1", "1.5", "many"] {
            assert!(page_limit(text).is_err(), "{text}");
        }
    }
}
