//! `agentnet agent-status`: whether an agent is online, and what it works on, in the words of the later Python implementation.

use agentnet::RegistryClient;
use agentnet_protocol::json::{ArrayWriter, ObjectWriter};
use agentnet_protocol::rpc::{Profile, ProfileRequest, TaskListRequest, TaskSnapshot};
use agentnet_protocol::task::TaskState;
use clap::Args;

use super::{cells, explained};
use crate::accounts;
use crate::args::CallTimeout;
use crate::connection::connect_registry;
use crate::exit::Exit;
use crate::failures::registry_failure;
use crate::global::Global;
use crate::output::sanitize::clean;
use crate::output::spinner::Spinner;
use crate::output::{Output, Tint};
use crate::signals::StopSignals;

#[derive(Debug, Args)]
pub(crate) struct AgentStatus {
    /// Username, with or without @, or account id
    #[arg(value_name = "AGENT", value_parser = crate::args::not_blank, add = crate::shell_completion::usernames())]
    agent: String,
    /// How many tasks to show of each kind, 1 to 100
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u8).range(1..=100))]
    limit: u8,
    #[command(flatten)]
    timeout: CallTimeout,
}

/// An agent and its tasks.
struct AgentFacts {
    profile: Profile,
    /// Not ended.
    active: Vec<TaskSnapshot>,
    /// The last changed ones.
    recent: Vec<TaskSnapshot>,
}

impl AgentStatus {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let result = self.show(global, output).await;
        explained(global, result).await
    }

    async fn show(self, global: &Global, output: Output) -> Result<(), Exit> {
        let spinner = Spinner::start(output, "waiting for the registry".to_owned());
        let work = async {
            let account_id = accounts::id_of(global, &self.agent).await?;
            let registry = connect_registry(global).await?.with_timeout(self.timeout.duration());
            self.read(&registry, account_id).await
        };
        let status = StopSignals::listen()?.unless(work).await?;
        spinner.end();
        match output.is_json() {
            true => Ok(output.document(&status.document(&self.agent))?),
            false => Ok(output.line(status.text(output))?),
        }
    }

    async fn read(&self, registry: &RegistryClient, account_id: String) -> Result<AgentFacts, Exit> {
        let request = ProfileRequest {
            account_id: Some(account_id.clone()),
            username: None,
        };
        let profile = registry
            .call(&request)
            .await
            .map_err(|error| registry_failure(&error))?
            .profile;
        let list = async |states: Vec<TaskState>| {
            let request = TaskListRequest {
                assignee_account_id: Some(account_id.clone()),
                states,
                limit: usize::from(self.limit),
                ..TaskListRequest::default()
            };
            let reply = registry.call(&request).await;
            reply.map(|reply| reply.tasks).map_err(|error| registry_failure(&error))
        };
        let mut active = list(vec![TaskState::Working]).await?;
        active.extend(list(vec![TaskState::Submitted]).await?);
        active.extend(list(vec![TaskState::InputRequired, TaskState::AuthRequired]).await?);
        active.truncate(usize::from(self.limit));
        let recent = list(Vec::new()).await?;
        Ok(AgentFacts {
            profile,
            active,
            recent,
        })
    }
}

impl AgentFacts {
    /// One sentence, as the later Python implementation puts it.
    fn summary(&self) -> String {
        let who = format!("@{}", clean(&self.profile.username));
        if !self.profile.online {
            return format!("{who} is offline");
        }
        let Some(task) = self.active.iter().find(|task| task.state == "working") else {
            return match self.active.len() {
                0 => format!("{who} is online and idle"),
                1 => format!("{who} is online, 1 task waits"),
                waiting => format!("{who} is online, {waiting} tasks wait"),
            };
        };
        let name = cells::name(task);
        match cells::progress(task) {
            progress if progress.is_empty() => format!("{who} is working on {name}"),
            progress => format!("{who} is working on {name}: {progress}"),
        }
    }

    /// `ok`, `target`, `username`, `account_id`, `online`, `session_count`, `active_tasks`, `recent_tasks`, `summary`.
    fn document(&self, target: &str) -> String {
        let list = |tasks: &[TaskSnapshot]| {
            let mut out = ArrayWriter::new();
            for task in tasks {
                out.raw(&task.encode());
            }
            out.finish()
        };
        ObjectWriter::new()
            .bool("ok", true)
            .text("target", target)
            .text("username", &self.profile.username)
            .text("account_id", &self.profile.account_id)
            .bool("online", self.profile.online)
            .int("session_count", self.profile.online_sessions.len() as u64)
            .raw("active_tasks", &list(&self.active))
            .raw("recent_tasks", &list(&self.recent))
            .text("summary", &self.summary())
            .finish()
    }

    fn text(&self, output: Output) -> String {
        let mut lines = vec![self.summary()];
        let row = |task: &TaskSnapshot| {
            let state = output.tint(cells::state_tint(&task.state), &cells::state(task));
            let parts = [state, cells::name(task), cells::summary(task)];
            let parts = parts.into_iter().filter(|part| !part.is_empty());
            format!("  {}", parts.collect::<Vec<_>>().join("  "))
        };
        lines.extend(self.active.iter().map(row));
        let ended = |task: &&TaskSnapshot| self.active.iter().all(|active| active.task_id != task.task_id);
        let mut ended = self.recent.iter().filter(ended).peekable();
        if ended.peek().is_some() {
            lines.push(output.tint(Tint::Dim, "lately:"));
            lines.extend(ended.map(row));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(online: bool, active: &[(&str, Option<i64>)]) -> AgentFacts {
        let task = |(state, percent): &(&str, Option<i64>)| TaskSnapshot {
            task_id: "task_1".into(),
            title: Some("fix #12".into()),
            state: (*state).to_owned(),
            percent: *percent,
            ..TaskSnapshot::default()
        };
        AgentFacts {
            profile: Profile {
                username: "bob".into(),
                online,
                ..Profile::default()
            },
            active: active.iter().map(task).collect(),
            recent: Vec::new(),
        }
    }

    #[test]
    fn a_sentence_says_what_an_agent_does() {
        for (status, sentence) in [
            (status(false, &[("working", None)]), "@bob is offline"),
            (status(true, &[]), "@bob is online and idle"),
            (status(true, &[("submitted", None)]), "@bob is online, 1 task waits"),
            (status(true, &[("working", None)]), "@bob is working on fix #12"),
            (
                status(true, &[("submitted", None), ("working", Some(40))]),
                "@bob is working on fix #12: 40 %",
            ),
        ] {
            assert_eq!(status.summary(), sentence);
        }
        let document: serde_json::Value =
            serde_json::from_str(&status(true, &[("working", None)]).document("@bob")).unwrap();
        assert_eq!((&document["ok"], &document["target"]), (&true.into(), &"@bob".into()));
        assert_eq!(document["active_tasks"][0]["task_id"], "task_1");
    }
}
