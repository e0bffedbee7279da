//! The log, on stderr: `RUST_LOG`, else `LOG_LEVEL`; by default warnings, and for services what they do.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Starts the log.
pub(crate) fn start(service: bool) {
    let says = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let filter = says("RUST_LOG")
        .or_else(|| says("LOG_LEVEL").as_deref().and_then(level).map(quiet_libraries))
        .unwrap_or_else(|| quiet_libraries(if service { "info" } else { "warn" }));
    let color = io::stderr().is_terminal() && says("NO_COLOR").is_none();
    // Fails only where a log has been started already, which then serves as well.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(filter))
        .with_writer(io::stderr)
        .with_ansi(color)
        .with_target(false)
        .try_init();
}

/// The level that a `LOG_LEVEL` names, in the words of Python's log as well as ours.
fn level(text: &str) -> Option<&'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "trace" | "notset" => Some("trace"),
        "debug" => Some("debug"),
        "info" => Some("info"),
        "warn" | "warning" => Some("warn"),
        "error" | "critical" | "fatal" => Some("error"),
        "off" => Some("off"),
        _ => None,
    }
}

/// Our own crates at this level, the libraries' no louder than warnings; the client library tells of each reconnection
/// attempt, which we tell ourselves.
fn quiet_libraries(level: &str) -> String {
    match level {
        "trace" | "debug" => level.to_owned(),
        "off" => "off".to_owned(),
        level => format!(
            "warn,async_nats=off,agentnet={level},agentnet_registry={level},agentnet_store={level},agentnet_protocol={level}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_in_both_dialects() {
        for (text, expected) in [
            ("INFO", Some("info")),
            ("Warning", Some("warn")),
            (" CRITICAL ", Some("error")),
            ("loud", None),
            ("5", None),
        ] {
            assert_eq!(level(text), expected, "{text}");
        }
    }

    #[test]
    fn filters_can_be_read() {
        for level in ["trace", "debug", "info", "warn", "error", "off"] {
            assert!(EnvFilter::builder().parse(quiet_libraries(level)).is_ok(), "{level}");
        }
    }
}
