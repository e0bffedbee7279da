//! The parts of a benchmark that run as processes of their own: this program again, as `agentnet-bench role JSON`.
//!
//! 1. The parent starts a [`Player`] with a [`Role`], written as JSON on its command line.
//! 2. The child sets itself up and writes one line of JSON on stdout: it is ready.
//! 3. For each line of JSON that the parent writes to its stdin, the child does what it asks and answers with a line.
//! 4. At the end of its stdin it stops. So nobody is left when the parent dies.

use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin, Stdout};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::{Failure, agents, caller, footprint, hello, ingest, raw};

/// No benchmark's part is silent for longer.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a process of a benchmark plays.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Answers raw pings.
    RawResponder(raw::Responder),
    /// Sends raw pings.
    RawSender(raw::Sender),
    /// An agent that takes messages in.
    AgentReceiver(agents::Receiver),
    /// An agent that sends messages.
    AgentSender(agents::Sender),
    /// Calls the registry.
    Caller(caller::Caller),
    /// Says hello for many sessions.
    HelloSayer(hello::HelloSayer),
    /// Publishes messages at full speed.
    Publisher(ingest::Publisher),
    /// Agents that do nothing.
    IdleAgents(footprint::IdleAgents),
}

/// Which of tokio's schedulers a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Flavour {
    CurrentThread,
    MultiThread,
}

impl Flavour {
    pub(crate) const BOTH: [Self; 2] = [Self::CurrentThread, Self::MultiThread];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CurrentThread => "current_thread",
            Self::MultiThread => "multi_thread",
        }
    }

    pub(crate) fn runtime(self) -> Result<Runtime, Failure> {
        let mut builder = match self {
            Self::CurrentThread => Builder::new_current_thread(),
            Self::MultiThread => Builder::new_multi_thread(),
        };
        Ok(builder.enable_all().build()?)
    }
}

/// A role and the scheduler to play it on.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    flavour: Flavour,
    role: Role,
}

/// A process that plays a role.
#[derive(Debug)]
pub(crate) struct Player {
    child: Child,
    cues: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Player {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(role: Role, flavour: Flavour) -> Result<Self, Failure> {
        let part = serde_json::to_string(&Part { flavour, role })?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["role", &part])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let cues = child.stdin.take().ok_or("a process without stdin")?;
        let answers = child.stdout.take().ok_or("a process without stdout")?;
        let mut player = Self {
            child,
            cues,
            answers: BufReader::new(answers).lines(),
        };
        let () = player.answer().await?;
        Ok(player)
    }

    /// Gives it something to do, and returns its answer.
    pub(crate) async fn ask<A: DeserializeOwned>(&mut self, cue: &impl Serialize) -> Result<A, Failure> {
        let mut line = serde_json::to_vec(cue)?;
        line.push(b'\n');
        self.cues.write_all(&line).await?;
        self.answer().await
    }

    async fn answer<A: DeserializeOwned>(&mut self) -> Result<A, Failure> {
        let line = timeout(PATIENCE, self.answers.next_line())
            .await
            .map_err(|_| "a process of the benchmark says nothing")??;
        let line = line.ok_or("a process of the benchmark ended: its last words are above")?;
        Ok(serde_json::from_str(&line)?)
    }

    pub(crate) fn pid(&self) -> Result<u32, Failure> {
        Ok(self.child.id().ok_or("the process has ended")?)
    }

    /// Lets it end.
    pub(crate) async fn dismiss(self) -> Result<(), Failure> {
        let Self { mut child, cues, .. } = self;
        drop(cues);
        timeout(PATIENCE, child.wait())
            .await
            .map_err(|_| "a process of the benchmark does not end")??;
        Ok(())
    }
}

/// A child's side of the conversation.
#[derive(Debug)]
pub(crate) struct Stage {
    cues: Lines<BufReader<Stdin>>,
    out: Stdout,
}

impl Stage {
    /// Says that the setting up is done.
    pub(crate) async fn ready(&mut self) -> Result<(), Failure> {
        self.answer(&()).await
    }

    /// What to do next; `None` is the end.
    pub(crate) async fn next<C: DeserializeOwned>(&mut self) -> Result<Option<C>, Failure> {
        match self.cues.next_line().await? {
            Some(line) => Ok(Some(serde_json::from_str(&line)?)),
            None => Ok(None),
        }
    }

    pub(crate) async fn answer(&mut self, answer: &impl Serialize) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(answer)?;
        line.push(b'\n');
        self.out.write_all(&line).await?;
        Ok(self.out.flush().await?)
    }
}

/// Plays a part, in the child.
pub(crate) fn play(part: &str) -> Result<(), Failure> {
    let Part { flavour, role } = serde_json::from_str(part)?;
    let runtime = flavour.runtime()?;
    let ended = runtime.block_on(async {
        let mut stage = Stage {
            cues: BufReader::new(tokio::io::stdin()).lines(),
            out: tokio::io::stdout(),
        };
        match role {
            Role::RawResponder(role) => role.play(&mut stage).await,
            Role::RawSender(role) => role.play(&mut stage).await,
            Role::AgentReceiver(role) => role.play(&mut stage).await,
            Role::AgentSender(role) => role.play(&mut stage).await,
            Role::Caller(role) => role.play(&mut stage).await,
            Role::HelloSayer(role) => role.play(&mut stage).await,
            Role::Publisher(role) => role.play(&mut stage).await,
            Role::IdleAgents(role) => role.play(&mut stage).await,
        }
    });
    runtime.shutdown_background();
    ended
}
