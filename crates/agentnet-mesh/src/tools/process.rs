//! Child processes in a process group of their own, so that what they start ends with them, also what leaves the group.

mod descendants;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use self::descendants::RunMark;

/// A child process with its process group. Dropping it kills the group, and what the child has started outside of it.
pub(super) struct ProcessGroup {
    child: Child,
    /// The group, until the child has ended: later its number could belong to another.
    group: Option<Pid>,
    mark: RunMark,
}

impl ProcessGroup {
    /// Starts a program without a shell: environment cleared but for `env` and the mark of its descendants, input as given, output
    /// piped.
    pub(super) fn spawn(
        argv: &[String],
        directory: &Path,
        env: impl IntoIterator<Item = (String, String)>,
        stdin: Stdio,
    ) -> io::Result<Self> {
        let program = argv.first().ok_or_else(|| io::Error::other("no program is named"))?;
        let mark = RunMark::new();
        let (mark_name, mark_value) = mark.variable();
        let mut command = Command::new(find_program(program, directory)?);
        command
            .arg0(program)
            .args(&argv[1..])
            .current_dir(directory)
            .env_clear()
            .envs(env)
            .env(mark_name, mark_value)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self { child, group, mark })
    }

    /// Standard input, once.
    pub(super) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Standard output, once.
    pub(super) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Standard error, once.
    pub(super) fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Waits for the end of the child; then kills what it has started.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.kill();
        self.group = None;
        Ok(status)
    }

    /// Asks the group to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills the group, and what has left it.
    pub(super) fn kill(&self) {
        if self.group.is_some() {
            self.signal(Signal::KILL);
            self.mark.kill();
        }
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
        // The child was not waited for, so the number is still its own; tokio reaps it.
        self.kill();
    }
}

/// The file of a program: a path as it is, from `directory` if it is relative, or the first match in `PATH`.
pub(super) fn find_program(program: &str, directory: &Path) -> io::Result<PathBuf> {
    if program.contains('/') {
        return std::path::absolute(directory.join(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|file| is_executable(file))
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("the program {program:?} is not in PATH"),
            )
        })
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
