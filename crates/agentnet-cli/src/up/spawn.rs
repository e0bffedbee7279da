//! Child processes that end with this process, even if it is killed with SIGKILL.
//!
//! On Linux the kernel kills the child when its parent ends. The parent is the *thread* that forked, so one thread forks all
//! children and lives as long as its [`Spawner`]. On other systems a shell waits for the end of a pipe that only this process
//! holds open, and then kills the child.

use std::io;
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

type Job = (Command, oneshot::Sender<io::Result<Child>>);

/// Starts child processes on a separate thread.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    jobs: mpsc::Sender<Job>,
}

impl Spawner {
    /// Starts the thread. Children die when the last clone of the spawner is dropped.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, mut inbox) = mpsc::channel::<Job>(1);
        let runtime = Handle::current();
        thread::Builder::new()
            .name("agentnet-spawner".to_owned())
            .spawn(move || {
                let _context = runtime.enter();
                while let Some((mut command, answer)) = inbox.blocking_recv() {
                    // Dropping a child that was not received kills it.
                    let _ = answer.send(command.spawn());
                }
            })?;
        Ok(Self { jobs })
    }

    /// Starts the command in its own process group: this process handles Ctrl-C.
    pub(crate) async fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let ended = || io::Error::other("the spawner thread has ended");
        command.process_group(0).kill_on_drop(true);
        #[cfg(target_os = "linux")]
        die_with_parent(&mut command);
        let (answer, child) = oneshot::channel();
        self.jobs.send((command, answer)).await.map_err(|_| ended())?;
        let child = child.await.map_err(|_| ended())??;
        #[cfg(not(target_os = "linux"))]
        // Stays open until this process ends.
        std::mem::forget(guard_by_pipe(&child)?);
        Ok(child)
    }
}

/// Sets the parent-death signal: the kernel kills the child when the thread that forks it ends.
#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "the parent-death signal can only be set between fork and exec"
)]
fn die_with_parent(command: &mut Command) {
    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    let set = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // If the parent ended before the signal was set, the child has another parent now.
        if getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::BrokenPipe))
        }
    };
    // SAFETY: between fork and exec the closure only makes system calls; it does not allocate, lock or panic.
    unsafe { command.pre_exec(set) };
}

/// Starts a shell that kills the child when the pipe whose write end is returned closes.
#[cfg(any(test, not(target_os = "linux")))]
fn guard_by_pipe(child: &Child) -> io::Result<Option<std::process::ChildStdin>> {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    let Some(pid) = child.id() else { return Ok(None) };
    let script = "cat >/dev/null 2>&1; kill -9 \"$1\" 2>/dev/null";
    let mut guard = Command::new("/bin/sh")
        .args(["-c", script, "agentnet-guard", &pid.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    Ok(guard.stdin.take())
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;
    use std::time::Duration;

    use super::*;

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("600").stdin(Stdio::null());
        command
    }

    #[tokio::test]
    async fn a_child_lives_while_its_spawner_does() {
        let spawner = Spawner::start().unwrap();
        let mut child = spawner.spawn(sleeper()).await.unwrap();
        assert!(child.try_wait().unwrap().is_none());
        drop(spawner);
        if cfg!(target_os = "linux") {
            let status = tokio::time::timeout(Duration::from_secs(10), child.wait())
                .await
                .unwrap()
                .unwrap();
            assert!(!status.success());
        }
    }

    #[tokio::test]
    async fn the_guard_kills_when_its_pipe_closes() {
        let mut child = sleeper().kill_on_drop(true).spawn().unwrap();
        let pipe = guard_by_pipe(&child).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        drop(pipe);
        let status = tokio::time::timeout(Duration::from_secs(10), child.wait())
            .await
            .unwrap()
            .unwrap();
        assert!(!status.success());
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_told() {
        let spawner = Spawner::start().unwrap();
        let error = spawner.spawn(Command::new("/nowhere/at/all")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
