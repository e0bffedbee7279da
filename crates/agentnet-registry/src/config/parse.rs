//! Parses the values of settings. An error is what is wrong with the value.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use agentnet_protocol::env_bool::parse_bool;

/// Units of time, in seconds.
pub(super) const SECOND: f64 = 1.0;
pub(super) const MILLISECOND: f64 = 0.001;
pub(super) const HOUR: f64 = 3600.0;

pub(super) fn text(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

pub(super) fn boolean(value: &str) -> Result<bool, String> {
    parse_bool(value).ok_or_else(|| "expected true or false".to_owned())
}

pub(super) fn choice<T: FromStr<Err: ToString>>(value: &str) -> Result<T, String> {
    value.parse().map_err(|error: T::Err| error.to_string())
}

pub(super) fn number<T: FromStr<Err: ToString>>(value: &str) -> Result<T, String> {
    choice(value).map_err(|error| format!("expected a whole number ({error})"))
}

pub(super) fn float(value: &str) -> Result<f64, String> {
    let number = value.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| "expected a number".to_owned())
}

pub(super) fn address(value: &str) -> Result<SocketAddr, String> {
    let problem = |_| "expected IP:PORT, for instance 127.0.0.1:9464 or [::]:9464".to_owned();
    value.parse().map_err(problem)
}

/// A time in a unit; a negative one counts as zero.
pub(super) fn time(value: &str, unit: f64) -> Result<Duration, String> {
    let number = float(value)?;
    Duration::try_from_secs_f64(number.max(0.0) * unit).map_err(|error| error.to_string())
}
