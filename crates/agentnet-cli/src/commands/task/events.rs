//! `agentnet task events`: what happened to a task, in order.

use agentnet::RegistryClient;
use agentnet_protocol::rpc::{TaskEvent, TaskEventsRequest};
use clap::Args;

use super::cells::event_line;
use super::event_log::EventLog;
use crate::account_names::AccountNames;
use crate::args::CallTimeout;
use crate::connection::{ask, connect_registry};
use crate::exit::Exit;
use crate::failures::task::named;
use crate::global::Global;
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

/// The largest page of the registry.
const MAX_PAGE: usize = 200;

#[derive(Debug, Args)]
pub(super) struct Events {
    /// The task
    #[arg(value_name = "ID", value_parser = crate::args::not_blank, add = crate::shell_completion::tasks(&[]))]
    task_id: String,
    /// Go on until the task has ended
    #[arg(long)]
    follow: bool,
    /// Only events behind this number
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(i64).range(0..))]
    after: i64,
    #[command(flatten)]
    timeout: CallTimeout,
}

impl Events {
    pub(super) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        if self.follow {
            let mut signals = StopSignals::listen()?;
            return signals.unless(self.follow(global, output)).await;
        }
        let task_id = self.task_id.trim().to_owned();
        let mut request = TaskEventsRequest {
            task_id: task_id.clone(),
            after: self.after,
            limit: MAX_PAGE,
            wait_ms: 0,
        };
        let registry = connect_registry(global).await?;
        let mut names = None;
        loop {
            // With --json, the unchanged reply of one page.
            let page = match ask(global, output, &self.timeout, &request).await {
                Err(Exit::Failed(failure)) => return Err(named(failure, &task_id).into()),
                page => page?,
            };
            let Some(page) = page else { return Ok(()) };
            let names = match &mut names {
                Some(names) => names,
                None => names.insert(AccountNames::open(registry.clone()).await),
            };
            print(&page.events, names, output).await?;
            let last = page.events.last().map_or(page.last, |event| event.seq);
            if last >= page.last || last <= request.after {
                return Ok(());
            }
            request.after = last;
        }
    }

    async fn follow(&self, global: &Global, output: Output) -> Result<(), Exit> {
        let registry: RegistryClient = connect_registry(global).await?;
        let task_id = self.task_id.trim();
        // Tells first whether there is such a task.
        let known = agentnet_protocol::rpc::TaskStatusRequest {
            task_id: task_id.to_owned(),
        };
        let known = registry
            .clone()
            .with_timeout(self.timeout.duration())
            .call(&known)
            .await;
        known.map_err(|error| named(crate::failures::registry_failure(&error), task_id))?;
        let mut names = AccountNames::open(registry.clone()).await;
        let mut log = EventLog::new(&registry, task_id, self.after);
        while let Some(events) = log.next(output).await? {
            print(&events, &mut names, output).await?;
        }
        Ok(())
    }
}

/// Prints events: a line each, or with `--json` a document each.
pub(super) async fn print(events: &[TaskEvent], names: &mut AccountNames, output: Output) -> Result<(), Exit> {
    for event in events {
        if output.is_json() {
            output.document_line(&event.encode())?;
            continue;
        }
        let by = match event.from_account_id.as_deref() {
            Some(id) => Some(names.display(Some(id), "").await),
            None => None,
        };
        let at = output.tint(Tint::Dim, &output.stamp(&event.at));
        let seq = output.tint(Tint::Dim, &format!("{:>3}", event.seq));
        output.line(format!("{seq}  {at}  {}", event_line(event, by.as_deref(), output)))?;
    }
    Ok(())
}
