//! A server process that cannot outlive the test process: starts, stops, kills and reaps it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::StartError;
use crate::wait::eventually;

/// The unprivileged user that a server runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A running child process. Dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
}

impl ServerProcess {
    /// Starts `command` with its output appended to the file `log`, as `user` if given.
    pub(crate) fn spawn(program: &Path, args: &[String], log: &Path, user: Option<User>) -> io::Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = dying_with_us(program);
        command.args(args);
        redirect(&mut command, output, user)?;
        Ok(Self {
            child: spawn_from_lasting_thread(command)?,
        })
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, once it has ended by itself.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// SIGKILL, then waits for its end, which is immediate.
    pub(crate) fn kill9(&mut self) {
        // Both fail only for a child that has already been reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// [`stop`](Self::stop) for places that cannot await: the caller's thread waits.
    pub(crate) fn stop_blocking(&mut self, signal: Signal, grace: Duration) {
        let end = Instant::now() + grace;
        self.send(signal);
        while Instant::now() < end && matches!(self.ended(), Ok(None)) {
            #[expect(
                clippy::disallowed_methods,
                reason = "for drop, which cannot await; the wait is short and bounded"
            )]
            thread::sleep(Duration::from_millis(5));
        }
        self.kill9();
    }

    /// Sends `signal`, waits up to `grace` for the server to end, then kills it.
    pub(crate) async fn stop(&mut self, signal: Signal, grace: Duration) {
        self.send(signal);
        // In either case the process has ended after the next line.
        let _ = eventually(grace, async || match self.child.try_wait() {
            Ok(None) => Err("still running"),
            Ok(Some(_)) | Err(_) => Ok(()),
        })
        .await;
        self.kill9();
    }

    /// Sends `signal` unless it has ended: a child that was not reaped keeps its id, so it cannot hit another process.
    fn send(&mut self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw)
            && matches!(self.ended(), Ok(None))
        {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Runs the tool `name` of the folder `programs` to its end, with its output in the file `log`. Blocks.
pub(crate) fn run_to_end(
    programs: &Path,
    name: &'static str,
    args: Vec<String>,
    variable: Option<(&str, &str)>,
    log: &Path,
    user: Option<User>,
) -> Result<(), StartError> {
    let output = OpenOptions::new().create(true).write(true).truncate(true).open(log);
    let mut command = Command::new(programs.join(name));
    command.args(args).envs(variable);
    output
        .and_then(|output| redirect(&mut command, output, user))
        .map_err(StartError::io("write a log"))?;
    let status = command.status().map_err(StartError::io(format!("run {name}")))?;
    if status.success() {
        return Ok(());
    }
    Err(StartError::Ended {
        program: name,
        status: status.to_string(),
        log: log_tail(&String::from_utf8_lossy(&fs::read(log).unwrap_or_default())),
    })
}

/// Output of `command` to `log`, no input, as `user`, which the caller's folder may be closed to.
fn redirect(command: &mut Command, log: File, user: Option<User>) -> io::Result<()> {
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .current_dir("/");
    if let Some(user) = user {
        // The standard library also drops root's supplementary groups when it changes the user.
        command.uid(user.uid).gid(user.gid);
    }
    Ok(())
}

/// The last lines of a log, for an error message.
pub(crate) fn log_tail(log: &str) -> String {
    const LINES: usize = 15;
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// A command for `program` that the kernel kills when the thread that starts it ends, where `setpriv` can ask for that.
fn dying_with_us(program: &Path) -> Command {
    static SETPRIV_WORKS: LazyLock<bool> = LazyLock::new(|| {
        let probe = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        probe.is_ok_and(|status| status.success())
    });
    if !*SETPRIV_WORKS {
        return Command::new(program);
    }
    // setpriv replaces itself by the program: the child's process id is the server's.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

type SpawnJob = (Command, Sender<io::Result<Child>>);

/// Starts the command from a thread that lives as long as this process.
///
/// The parent-death signal is bound to the *thread* that forked. Test threads and runtime workers end while a server
/// that is shared between tests must go on.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: LazyLock<io::Result<Sender<SpawnJob>>> = LazyLock::new(|| {
        let (jobs, inbox) = channel::<SpawnJob>();
        thread::Builder::new()
            .name("testkit-spawner".to_owned())
            .spawn(move || {
                for (mut command, answer) in inbox {
                    // If the caller's thread has ended, no receiver is left, and the child is dropped and so killed.
                    if let Err(unclaimed) = answer.send(command.spawn())
                        && let Ok(mut child) = unclaimed.0
                    {
                        let _ = child.kill();
                        let _ = child.wait();
                    }
                }
            })?;
        Ok(jobs)
    });
    let jobs = SPAWNER
        .as_ref()
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (answer, spawned) = channel();
    jobs.send((command, answer))
        .map_err(|_| io::Error::other("the spawner thread has ended"))?;
    spawned
        .recv()
        .map_err(|_| io::Error::other("the spawner thread has ended"))?
}
