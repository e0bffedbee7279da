//! `agentnet metrics`: the registry's metrics.

use agentnet_protocol::rpc::{MetricsReply, MetricsRequest};
use clap::Args;

use crate::args::CallTimeout;
use crate::connection::ask;
use crate::exit::Exit;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::table::{Rows, facts};

#[derive(Debug, Args)]
pub(crate) struct Metrics {
    #[command(flatten)]
    timeout: CallTimeout,
}

impl Metrics {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let Some(reply) = ask(global, output, &self.timeout, &MetricsRequest).await? else {
            return Ok(());
        };
        output.line(summary(&reply, output))?;
        if !reply.latency_ms.is_empty() {
            let mut rows = Rows::new(output, &["Metric", "Count", "p50", "p95", "p99"]);
            for (name, stats) in &reply.latency_ms {
                let milliseconds = [stats.p50, stats.p95, stats.p99].map(|value| format!("{value:.2}"));
                let [p50, p95, p99] = milliseconds;
                rows.push([clean(name).into_owned(), stats.count.to_string(), p50, p95, p99]);
            }
            output.line(format!("\n{}", rows.finish()))?;
        }
        if !reply.handlers.is_empty() {
            let mut rows = Rows::new(output, &["Handler", "Calls", "Errors"]);
            for (name, stats) in &reply.handlers {
                rows.push([
                    clean(name).into_owned(),
                    stats.calls.to_string(),
                    stats.errors.to_string(),
                ]);
            }
            output.line(format!("\n{}", rows.finish()))?;
        }
        Ok(())
    }
}

fn summary(reply: &MetricsReply, output: Output) -> String {
    let queue = &reply.db_write_queue;
    let on_off = |on: bool| if on { "on" } else { "off" };
    let store = match (reply.store_enabled, &reply.store_backend) {
        (true, Some(backend)) => format!("on ({})", clean(backend)),
        (on, _) => on_off(on).to_owned(),
    };
    let mut rows = vec![
        ("Server", clean(&reply.server_id).into_owned()),
        ("Generated", clean(&reply.generated_at).into_owned()),
        ("Window", reply.window_size.to_string()),
        ("Store", store),
        ("DB Queue", on_off(queue.enabled).to_owned()),
        ("Queue Size", queue.size.to_string()),
        ("Queue Max", queue.max.to_string()),
        ("Batch", queue.batch_size.to_string()),
        ("Flush ms", queue.flush_ms.to_string()),
        ("Overflows", queue.overflow_count.to_string()),
    ];
    if let Some(online) = reply.online_sessions {
        rows.push(("Online", online.to_string()));
    }
    if let Some(capture) = &reply.capture {
        rows.push(("Capture", clean(&capture.mode).into_owned()));
        rows.push(("Stored", capture.stored.to_string()));
        rows.push(("Duplicates", capture.duplicates.to_string()));
        rows.push(("Refused", capture.refused.to_string()));
        rows.push(("Ignored", capture.ignored.to_string()));
        rows.push(("Lag", capture.lag.to_string()));
        rows.push(("Recovered", capture.recovered.to_string()));
    }
    facts(output, rows)
}
