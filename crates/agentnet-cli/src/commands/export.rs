//! `agentnet export`: a whole thread as a document, oldest message first.

mod markdown;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use agentnet::{RegistryClient, RegistryError};
use agentnet_protocol::page_walk::PageWalk;
use agentnet_protocol::rpc::{HistoryMessage, Request as _, ThreadMessagesRequest};
use clap::{Args, Subcommand, ValueEnum};

use super::thread_status::check_thread;
use crate::account_names::AccountNames;
use crate::args::CallTimeout;
use crate::connection::connect_registry;
use crate::exit::{Exit, Failure};
use crate::failures::registry_failure;
use crate::global::Global;
use crate::output::Output;
use crate::output::json::one_line;
use crate::output::relative_time::now;
use crate::output::spinner::Spinner;
use crate::output::table::MESSAGES;
use crate::shell_completion;
use crate::signals::StopSignals;

/// Messages of one page: the registry's maximum.
const PAGE_SIZE: usize = 200;
/// Interval of progress notes.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(subcommand)]
    what: ExportWhat,
}

#[derive(Debug, Subcommand)]
enum ExportWhat {
    /// One thread with all its messages
    Thread(ExportThread),
}

#[derive(Debug, Args)]
struct ExportThread {
    /// Which thread
    #[arg(value_name = "ID", value_parser = crate::args::not_blank, add = shell_completion::threads())]
    thread_id: String,
    /// markdown: to read; jsonl: each message as the registry gives it, one a line; json: the same in one document
    /// [default: markdown, with --json json]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    format: Option<ExportFormat>,
    /// File to write [default: standard output]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    #[command(flatten)]
    timeout: CallTimeout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    Markdown,
    Jsonl,
    Json,
}

impl Export {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let ExportWhat::Thread(thread) = self.what;
        StopSignals::listen()?.unless(thread.export(global, output)).await
    }
}

impl ExportThread {
    /// The requested format.
    fn format(&self, json: bool) -> Result<ExportFormat, Failure> {
        match self.format {
            None if json => Ok(ExportFormat::Json),
            None => Ok(ExportFormat::Markdown),
            Some(format) if !json || format == ExportFormat::Json => Ok(format),
            Some(_) => {
                let both = "--json asks for one JSON document, and --format for something else";
                Err(Failure::refused(both).hint("give one of them"))
            }
        }
    }

    async fn export(self, global: &Global, output: Output) -> Result<(), Exit> {
        let format = self.format(output.is_json())?;
        let spinner = Spinner::start(output, format!("waiting for registry.{}", ThreadMessagesRequest::NAME));
        let registry = connect_registry(global).await?;
        let registry = registry.with_timeout(self.timeout.duration());
        let messages = self.messages(&registry, output, &spinner).await?;
        if messages.is_empty() {
            check_thread(&registry, &self.thread_id).await?;
            let nothing = format!("there are no messages in thread {}", self.thread_id);
            return Err(Failure::refused(nothing)
                .hint("`agentnet threads` shows the threads")
                .with_network()
                .into());
        }
        let encoded = || messages.iter().map(|message| one_line(&message.encode()));
        let text = match format {
            ExportFormat::Jsonl => encoded().map(|message| message + "\n").collect(),
            ExportFormat::Json => {
                let id = serde_json::Value::from(self.thread_id.as_str());
                let messages: Vec<String> = encoded().collect();
                format!("{{\"thread_id\":{id},\"messages\":[{}]}}\n", messages.join(","))
            }
            ExportFormat::Markdown => {
                let mut names = AccountNames::open(registry).await;
                markdown::document(&self.thread_id, &messages, &mut names, now()).await
            }
        };
        if format == ExportFormat::Json && self.out.is_none() {
            return Ok(output.document(&text)?);
        }
        self.write(&text, messages.len(), output)
    }

    /// All messages, oldest first. The registry returns the newest first.
    async fn messages(
        &self,
        registry: &RegistryClient,
        output: Output,
        spinner: &Spinner,
    ) -> Result<Vec<HistoryMessage>, Exit> {
        let mut request = ThreadMessagesRequest {
            thread_id: self.thread_id.clone(),
            limit: PAGE_SIZE,
            cursor: None,
        };
        let mut messages = Vec::new();
        let mut noted_at = Instant::now();
        let mut pages = PageWalk::default();
        loop {
            let page = registry
                .call(&request)
                .await
                .map_err(|error| registry_failure(&error))?;
            spinner.end();
            let next_cursor = pages
                .follow(page.next_cursor, page.messages.len())
                .map_err(|why| registry_failure(&RegistryError::endless::<ThreadMessagesRequest>(why)))?;
            messages.extend(page.messages);
            if noted_at.elapsed() >= PROGRESS_INTERVAL {
                output.note(format!("{} messages so far", messages.len()));
                noted_at = Instant::now();
            }
            match next_cursor {
                Some(cursor) => request.cursor = Some(cursor),
                None => break,
            }
        }
        messages.reverse();
        Ok(messages)
    }

    fn write(&self, text: &str, messages: usize, output: Output) -> Result<(), Exit> {
        let Some(path) = &self.out else {
            return Ok(output.line(text.trim_end())?);
        };
        let written = File::create(path).and_then(|file| {
            let mut file = BufWriter::new(file);
            file.write_all(text.as_bytes())?;
            file.flush()
        });
        written.map_err(|error| {
            Failure::error(format!("cannot write {}: {error}", path.display()))
                .hint("give --out a file in a directory that is there and that you may write to")
        })?;
        let are = if messages == 1 { "is" } else { "are" };
        output.note(format!("{} {are} in {}", MESSAGES.count(messages), path.display()));
        Ok(())
    }
}
