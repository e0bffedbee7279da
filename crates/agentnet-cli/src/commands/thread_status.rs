//! `agentnet thread-status`: one thread's counters.

use agentnet::RegistryClient;
use agentnet_protocol::limits::MAX_PARTICIPANTS;
use agentnet_protocol::rpc::{ThreadLimits, ThreadStatusRequest};
use clap::Args;

use super::threads::participants;
use crate::account_names::PageNames;
use crate::args::{CallTimeout, ThreadLimitArgs};
use crate::connection::{ask, connect_registry};
use crate::exit::{Exit, Failure};
use crate::failures::registry_failure;
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::table::facts;

#[derive(Debug, Args)]
pub(crate) struct ThreadStatus {
    /// Which thread
    #[arg(long, value_name = "ID", value_parser = crate::args::not_blank, add = crate::shell_completion::threads())]
    thread_id: String,
    #[command(flatten)]
    limits: ThreadLimitArgs,
    #[command(flatten)]
    timeout: CallTimeout,
}

/// The failure for a thread that does not exist.
fn no_thread(failure: Failure, thread_id: &str) -> Failure {
    let thread = clean(thread_id);
    failure.hint(format!(
        "there is no thread {thread:?}: `agentnet threads` shows those there are"
    ))
}

/// Checks that the thread exists.
pub(super) async fn check_thread(registry: &RegistryClient, thread_id: &str) -> Result<(), Failure> {
    let request = ThreadStatusRequest {
        thread_id: thread_id.to_owned(),
        limits: ThreadLimits::default(),
    };
    match registry.call(&request).await {
        Ok(_) => Ok(()),
        Err(error) => match registry_failure(&error) {
            failure if failure.has_text("not_found") => Err(no_thread(failure, thread_id)),
            failure => Err(failure),
        },
    }
}

impl ThreadStatus {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let request = ThreadStatusRequest {
            thread_id: self.thread_id,
            limits: self.limits.limits(),
        };
        let reply = match ask(global, output, &self.timeout, &request).await {
            Err(Exit::Failed(failure)) if failure.has_text("not_found") => {
                return Err(no_thread(failure, &request.thread_id).into());
            }
            reply => reply?,
        };
        let Some(reply) = reply else { return Ok(()) };
        let thread = &reply.thread;
        let mut rows = vec![
            ("Thread", clean(&thread.thread_id).into_owned()),
            ("Status", clean(&thread.status).into_owned()),
            (
                "Messages",
                format!("{} ({} pending)", thread.message_count, thread.pending_messages),
            ),
            ("Bytes", thread.byte_count.to_string()),
            ("Tokens~", thread.approx_tokens.to_string()),
            (
                "Soft/Hard",
                format!("{}/{}", reply.soft_limit_tokens, reply.hard_limit_tokens),
            ),
            ("Checkpoint", thread.latest_checkpoint_end.to_string()),
            ("Last Msg At", output.moment(thread.last_message_at.as_deref())),
        ];
        if !thread.participants.is_empty() {
            let accounts = thread.participants.iter().map(String::as_str);
            // Without a connection, ids are shown.
            let names = match connect_registry(global).await {
                Ok(registry) => PageNames::look_up(&registry, accounts, output).await,
                Err(_) => PageNames::empty(output),
            };
            let mut named = participants(&thread.participants, &names, output);
            if reply.participants_full {
                named.push_str(&format!(
                    " (at most {MAX_PARTICIPANTS} are recorded: others may take part)"
                ));
            }
            rows.push(("Participants", named));
        }
        Ok(output.line(facts(output, rows))?)
    }
}
