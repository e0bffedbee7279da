//! Worker processes: this program again, started as `agentnet-bench worker JSON`. A [`Worker`] is the parent's handle, a
//! [`WorkerIo`] the child's end.
//!
//! 1. The parent starts a [`Worker`] with a [`WorkerTask`], written as JSON on the command line.
//! 2. The child sets itself up and writes one line of JSON to stdout: it is ready.
//! 3. For each line of JSON on its stdin, the child runs the command and writes the reply as one line.
//! 4. The child stops at the end of its stdin, so no child outlives the parent.

use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin, Stdout};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::Failure;
use crate::runtime_flavor::RuntimeFlavor;

/// The longest time without a reply before the benchmark fails.
const REPLY_TIMEOUT: Duration = Duration::from_secs(600);

/// What a worker process does. Its fields are its parameters.
pub(crate) trait WorkerTask: Serialize + DeserializeOwned {
    /// Identifies the task on the command line.
    const NAME: &'static str;

    /// Runs in the child until there are no more commands.
    async fn run(self, io: &mut WorkerIo) -> Result<(), Failure>;
}

/// The argument of `agentnet-bench worker`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerSpec {
    /// [`WorkerTask::NAME`].
    pub(crate) task: String,
    flavor: RuntimeFlavor,
    parameters: Value,
}

impl WorkerSpec {
    /// Runs the task, in the child.
    pub(crate) fn run<T: WorkerTask>(self) -> Result<(), Failure> {
        let task: T = serde_json::from_value(self.parameters)?;
        let runtime = self.flavor.runtime()?;
        let result = runtime.block_on(async {
            let mut io = WorkerIo {
                commands: BufReader::new(tokio::io::stdin()).lines(),
                replies: tokio::io::stdout(),
            };
            task.run(&mut io).await
        });
        runtime.shutdown_background();
        result
    }
}

/// A running worker process.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    commands: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts the process and waits until it is ready.
    pub(crate) async fn start<T: WorkerTask>(task: T, flavor: RuntimeFlavor) -> Result<Self, Failure> {
        let spec = WorkerSpec {
            task: T::NAME.to_owned(),
            flavor,
            parameters: serde_json::to_value(task)?,
        };
        let mut child = Command::new(std::env::current_exe()?)
            .args(["worker", &serde_json::to_string(&spec)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let commands = child.stdin.take().ok_or("a worker process without stdin")?;
        let replies = child.stdout.take().ok_or("a worker process without stdout")?;
        let mut worker = Self {
            child,
            commands,
            replies: BufReader::new(replies).lines(),
        };
        let () = worker.reply().await?;
        Ok(worker)
    }

    /// Sends a command and returns the reply.
    pub(crate) async fn ask<R: DeserializeOwned>(&mut self, command: &impl Serialize) -> Result<R, Failure> {
        self.commands.write_all(&json_line(command)?).await?;
        self.reply().await
    }

    async fn reply<R: DeserializeOwned>(&mut self) -> Result<R, Failure> {
        let line = timeout(REPLY_TIMEOUT, self.replies.next_line())
            .await
            .map_err(|_| "a worker process does not reply")??;
        let line = line.ok_or("a worker process ended: its error is above")?;
        Ok(serde_json::from_str(&line)?)
    }

    pub(crate) fn pid(&self) -> Result<u32, Failure> {
        Ok(self.child.id().ok_or("the worker process has ended")?)
    }

    /// Closes the process's stdin and waits until it ends.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        let Self {
            mut child, commands, ..
        } = self;
        drop(commands);
        timeout(REPLY_TIMEOUT, child.wait())
            .await
            .map_err(|_| "a worker process does not end")??;
        Ok(())
    }
}

/// A worker's end of the pipes to its parent.
#[derive(Debug)]
pub(crate) struct WorkerIo {
    commands: Lines<BufReader<Stdin>>,
    replies: Stdout,
}

impl WorkerIo {
    /// Tells the parent that the set-up is done.
    pub(crate) async fn ready(&mut self) -> Result<(), Failure> {
        self.reply(&()).await
    }

    /// The parent's next command; `None` when the worker is to stop.
    pub(crate) async fn next_command<C: DeserializeOwned>(&mut self) -> Result<Option<C>, Failure> {
        match self.commands.next_line().await? {
            Some(line) => Ok(Some(serde_json::from_str(&line)?)),
            None => Ok(None),
        }
    }

    pub(crate) async fn reply(&mut self, reply: &impl Serialize) -> Result<(), Failure> {
        self.replies.write_all(&json_line(reply)?).await?;
        Ok(self.replies.flush().await?)
    }
}

fn json_line(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}
