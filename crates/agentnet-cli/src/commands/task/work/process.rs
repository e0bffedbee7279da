//! A command in a process group of its own, so that what it starts ends with it.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::watchdog::{Watchdog, WatchedGroup};

/// A program and its arguments.
#[derive(Debug, Clone)]
pub(super) struct CommandLine {
    program: PathBuf,
    name: OsString,
    arguments: Vec<OsString>,
}

impl CommandLine {
    /// Finds the program.
    ///
    /// # Errors
    /// There is no such program, or it cannot be executed.
    pub(super) fn find(words: &[OsString]) -> io::Result<Self> {
        let (name, arguments) = words
            .split_first()
            .ok_or_else(|| io::Error::other("no command is named"))?;
        Ok(Self {
            program: find_program(Path::new(name))?,
            name: name.clone(),
            arguments: arguments.to_vec(),
        })
    }
}

/// The file of a program: a path as it is, or the first match in `PATH`.
fn find_program(name: &Path) -> io::Result<PathBuf> {
    let not_executable = |file: &Path| {
        io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is no program that may be executed", file.display()),
        )
    };
    if name.components().count() > 1 {
        let file = std::path::absolute(name)?;
        std::fs::metadata(&file)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
        return if is_executable(&file) {
            Ok(file)
        } else {
            Err(not_executable(&file))
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("there is no program {} in PATH", name.display()),
            )
        })
}

fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The pipes of a child process.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// A child process with its process group. Dropping it kills the group.
pub(super) struct ProcessGroup {
    child: Child,
    /// Until the child is reaped: later its number could belong to another group.
    group: Option<Pid>,
    /// As long as `group`.
    watched: Option<WatchedGroup>,
}

impl ProcessGroup {
    /// Starts a command without a shell, which the watchdog ends if this process is killed.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn spawn(
        command: &CommandLine,
        variables: &[(&str, String)],
        watchdog: &Arc<Watchdog>,
    ) -> io::Result<(Self, Pipes)> {
        let mut child = Command::new(&command.program)
            .arg0(&command.name)
            .args(&command.arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let watched = group.map(|group| watchdog.watch(group));
        let process = Self { child, group, watched };
        match (stdin, stdout, stderr) {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok((process, Pipes { stdin, stdout, stderr })),
            _ => Err(io::Error::other("the pipes of the command are missing")),
        }
    }

    /// Waits until the child has ended. It is not reaped yet, so the number of its group is still its own.
    pub(super) async fn ended(&self) {
        let Some(id) = self.group else { return };
        let waiting = tokio::task::spawn_blocking(move || {
            while matches!(
                waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT),
                Err(Errno::INTR)
            ) {}
        });
        // Fails only when the runtime ends.
        let _ = waiting.await;
    }

    /// Kills what is left of the group, and reaps the child, which has ended.
    pub(super) async fn reap(mut self) -> io::Result<ExitStatus> {
        self.kill();
        self.group = None;
        self.watched = None;
        self.child.wait().await
    }

    /// Ends the group: asks it to, and kills what is left after the grace or when the child has ended.
    pub(super) async fn stop(self, grace: Duration) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(grace, self.ended()).await.is_err() {
            self.kill();
            self.ended().await;
        }
        // Its exit status says nothing.
        let _ = self.reap().await;
    }

    fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // Fails if no process of the group is left.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // The child was not reaped, so the number is still its own; tokio reaps it.
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_before_the_first_task() {
        let find = |name: &str| CommandLine::find(&[OsString::from(name)]);
        assert!(find("sh").is_ok());
        assert!(find("/bin/sh").is_ok());
        assert!(CommandLine::find(&[]).is_err());
        for (name, told) in [
            ("no-such-program-anywhere", "in PATH"),
            ("/no/such/program", "/no/such/program"),
            ("/etc/passwd", "no program that may be executed"),
            ("/", "no program"),
        ] {
            let error = find(name).unwrap_err().to_string();
            assert!(error.contains(told), "{name}: {error}");
        }
    }
}
