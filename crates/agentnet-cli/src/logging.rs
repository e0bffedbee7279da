//! The log on stderr, filtered by `RUST_LOG` or `LOG_LEVEL`: by default level warn, for services info. Also starts the export
//! of traces if it is configured.

mod line;

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{Directive, FilterExt as _, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use self::line::{BoundedJson, VisibleFields};
use crate::traces::Traces;

/// Target of the spans of messages. They are for traces only: the log is the same with and without traces.
const SPAN_TARGET: &str = "agentnet::spans";
/// Target of notes and failures that are written to the log.
pub(crate) const OUTPUT_TARGET: &str = "agentnet::says";

/// Where log lines go while a line editor uses the terminal.
static LOG_REDIRECT: Mutex<Option<mpsc::Sender<String>>> = Mutex::new(None);

/// Redirects the log to the space above the line editor. Dropping it ends that.
pub(crate) struct LogRedirect(());

impl LogRedirect {
    /// Redirects the log, unless stderr is not a terminal.
    pub(crate) fn start(above: &mpsc::Sender<String>) -> Self {
        if io::stderr().is_terminal() {
            *LOG_REDIRECT.lock() = Some(above.clone());
        }
        Self(())
    }
}

impl Drop for LogRedirect {
    fn drop(&mut self) {
        *LOG_REDIRECT.lock() = None;
    }
}

/// Writes log lines.
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let above = LOG_REDIRECT.lock().clone();
        match above {
            // If the queue is full, the line is dropped.
            Some(above) => drop(above.try_send(String::from_utf8_lossy(line).trim_end().to_owned())),
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line: timestamp (RFC 3339, UTC), level, target, message, and the fields beside them
    Json,
}

/// The running log and traces. Dropping it exports the remaining spans.
pub(crate) struct Logging(#[allow(dead_code, reason = "held for its drop")] Option<Traces>);

/// Starts the log, and the traces if the environment configures them. Traces that cannot be exported are a warning, not an
/// error: platforms set the variables for all programs.
pub(crate) fn start(service: bool, format: LogFormat) -> Logging {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let filter = variable("RUST_LOG")
        .or_else(|| variable("LOG_LEVEL").as_deref().and_then(level).map(quiet_libraries))
        .unwrap_or_else(|| quiet_libraries(if service { "info" } else { "warn" }));
    let (known, unknown): (Vec<&str>, Vec<&str>) = filter
        .split(',')
        .partition(|directive| directive.parse::<Directive>().is_ok());
    let filter = EnvFilter::builder()
        .parse_lossy(format!("{},{OUTPUT_TARGET}=info", known.join(",")))
        .and(
            filter_fn(|metadata| may_be_logged(metadata.is_span(), metadata.target()))
                .with_max_level_hint(LevelFilter::TRACE),
        );
    let color = io::stderr().is_terminal() && variable("NO_COLOR").is_none();
    let lines = lines(format, color, || Lines).with_filter(filter);
    let traces = Traces::start();
    let spans = traces.as_ref().ok().and_then(Option::as_ref).map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target("agentnet", LevelFilter::INFO))
    });
    // Fails only if a log was started before, which then stays in use.
    let _ = Registry::default().with(lines).with(spans).try_init();
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    for directive in unknown.into_iter().filter(|directive| !directive.trim().is_empty()) {
        tracing::warn!(directive, "RUST_LOG: this part is not a valid filter and is ignored");
    }
    match traces {
        Ok(traces) => {
            for warning in traces.iter().flat_map(|traces| &traces.warnings) {
                tracing::warn!("{warning}");
            }
            Logging(traces)
        }
        Err(problem) => {
            tracing::warn!("no traces are exported: {problem}");
            Logging(None)
        }
    }
}

/// The layer that writes log lines.
fn lines<S, W>(format: LogFormat, color: bool, writer: W) -> Box<dyn tracing_subscriber::Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => lines
            .with_ansi(color)
            .with_target(false)
            .fmt_fields(VisibleFields)
            .boxed(),
        LogFormat::Json => lines
            .with_ansi(false)
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .map_event_format(BoundedJson)
            .boxed(),
    }
}

/// Whether a span or an event may be in the log, whatever its filter: all but the spans of messages, and what the MCP library
/// says. It quotes messages of servers, which may hold secrets; the mesh tells the failures of servers itself.
fn may_be_logged(is_span: bool, target: &str) -> bool {
    let is_message_span = is_span && target == SPAN_TARGET;
    let is_of_mcp_library = target == "rmcp" || target.starts_with("rmcp::");
    !is_message_span && !is_of_mcp_library
}

/// The level for a value of `LOG_LEVEL`, which may be a name of Python's logging.
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

/// The filter for a level: this project's crates at the level, libraries at warn at most. async-nats is off: it logs each
/// reconnection attempt, which this project logs too.
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
    use agentnet_protocol::preview::visible::Visibility;

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

    /// The log output in this format.
    fn logged(format: LogFormat, color: bool, log: impl FnOnce()) -> String {
        let (mut reader, writer) = io::pipe().unwrap();
        let writer = std::sync::Mutex::new(writer);
        let subscriber = Registry::default().with(lines(format, color, writer));
        tracing::subscriber::with_default(subscriber, log);
        let mut text = String::new();
        io::Read::read_to_string(&mut reader, &mut text).unwrap();
        text
    }

    /// An id that forges a line, clears the screen and hides the rest.
    const FORGED: &str = "m1\n2026-01-01T00:00:00Z ERROR all is lost\u{1b}[2J\u{9b}2J\u{202e}\u{200b}\r";
    const ESCAPED: &str = r"m1\n2026-01-01T00:00:00Z ERROR all is lost\u{1b}[2J\u{9b}2J\u{202e}\u{200b}\r";

    #[test]
    fn a_line_of_the_log_is_one_whoever_chose_its_values() {
        let error = io::Error::other(FORGED);
        let log = || {
            tracing::warn!(id = %FORGED, "refused");
            tracing::warn!(id = FORGED, "refused");
            tracing::warn!(id = ?FORGED, "refused");
            tracing::warn!(id = &error as &dyn std::error::Error, "refused");
            tracing::warn!("{FORGED}");
            tracing::warn!(message = FORGED, number = 5, plain = %"a b");
            tracing::warn_span!("span", id = %FORGED).in_scope(|| tracing::warn!("inside"));
        };
        let text = logged(LogFormat::Text, false, log);
        let lines: Vec<&str> = text.lines().map(|line| line.split_once("WARN ").unwrap().1).collect();
        let expected = [
            format!("refused id={ESCAPED}"),
            format!("refused id=\"{ESCAPED}\""),
            format!("refused id=\"{ESCAPED}\""),
            format!("refused id={ESCAPED}"),
            ESCAPED.to_owned(),
            format!("{ESCAPED} number=5 plain=a b"),
            format!("span{{id={ESCAPED}}}: inside"),
        ];
        assert_eq!(lines, expected);
        let text = logged(LogFormat::Json, false, log);
        assert_eq!(text.lines().count(), expected.len(), "{text}");
        assert!(
            !text.contains(|c: char| c != '\n' && !Visibility::default().shows(c)),
            "{text:?}"
        );
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["id"], FORGED);
    }

    #[test]
    fn the_log_keeps_its_own_colours() {
        let text = logged(LogFormat::Text, true, || tracing::warn!(id = %"\u{1b}[31m", "refused"));
        let line = "\u{1b}[33m WARN\u{1b}[0m refused \u{1b}[3mid\u{1b}[0m\u{1b}[2m=\u{1b}[0m\\u{1b}[31m\n";
        assert!(text.ends_with(line), "{text:?}");
    }

    #[test]
    fn a_line_of_the_log_is_bounded() {
        let name = "n".repeat(900_000);
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(
                format,
                false,
                || tracing::warn!(%name, other = name, code = 7, "{name}"),
            );
            assert!(text.len() < 3 * 2048 + 200, "{} bytes", text.len());
            assert!(text.contains("n…") && text.contains("code"), "{text}");
        }
    }

    #[test]
    fn the_mcp_library_and_spans_of_messages_are_not_logged() {
        for (is_span, target, expected) in [
            (false, "agentnet_mesh::host", true),
            (false, SPAN_TARGET, true),
            (true, SPAN_TARGET, false),
            (false, "rmcp", false),
            (false, "rmcp::service::client", false),
            (true, "rmcp::service", false),
            (false, "rmcp_server", true),
        ] {
            assert_eq!(may_be_logged(is_span, target), expected, "{target}");
        }
    }

    #[test]
    fn filters_can_be_read() {
        for level in ["trace", "debug", "info", "warn", "error", "off"] {
            assert!(EnvFilter::builder().parse(quiet_libraries(level)).is_ok(), "{level}");
        }
    }
}
