//! Ends the commands of a worker that is killed.
//!
//! A process beside the worker, a POSIX shell, reads the groups of the commands that run from a pipe: a line for each change, which
//! names all of them. When the worker has gone, however, the pipe ends: the groups that the last line names get SIGTERM, and SIGKILL
//! after the grace. It is in a group of its own, so that signals of the terminal do not reach it.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::Pid;

const SHELL: &str = "/bin/sh";
/// Its name in lists of processes, and `$1`: the grace in seconds.
const NAME: &str = "agentnet-task-watchdog";
const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups=
while read -r line; do groups=$line; done
for group in $groups; do kill -s TERM -- "-$group"; done
left=$1
while [ -n "$groups" ] && [ "$left" -gt 0 ]; do
    alive=
    for group in $groups; do kill -s 0 -- "-$group" && alive=$alive' '$group; done
    groups=$alive
    [ -n "$groups" ] && sleep 1
    left=$((left - 1))
done
for group in $groups; do kill -s KILL -- "-$group"; done
"#;

/// Knows the groups of the commands that run. The default one does nothing.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    state: Mutex<WatchState>,
}

#[derive(Debug, Default)]
struct WatchState {
    groups: Vec<Pid>,
    /// Absent where there is no shell.
    pipe: Option<ChildStdin>,
    _shell: Option<Child>,
}

impl Watchdog {
    /// Starts the process beside the worker.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn start(grace: Duration) -> io::Result<Self> {
        let grace = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let mut shell = Command::new(SHELL)
            .args(["-c", SCRIPT, NAME, &grace.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir(Path::new("/"))
            .process_group(0)
            .spawn()?;
        let pipe = shell.stdin.take();
        if let Some(pipe) = &pipe {
            // A shell that is stopped must not stop the worker.
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Self {
            state: Mutex::new(WatchState {
                groups: Vec::new(),
                pipe,
                _shell: Some(shell),
            }),
        })
    }

    /// Has a group ended if the worker is killed, until the guard is dropped.
    pub(super) fn watch(self: &Arc<Self>, group: Pid) -> WatchedGroup {
        self.change(|groups| groups.push(group));
        WatchedGroup {
            watchdog: self.clone(),
            group,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Pid>)) {
        let mut state = self.state.lock();
        change(&mut state.groups);
        let numbers: Vec<String> = state.groups.iter().map(ToString::to_string).collect();
        let line = numbers.join(" ") + "\n";
        // Shorter than PIPE_BUF: it is written as a whole or not at all.
        if let Some(Err(error)) = state.pipe.as_mut().map(|pipe| pipe.write_all(line.as_bytes())) {
            tracing::warn!(%error, "commands would outlive this worker if it were killed: {NAME} does not read");
        }
    }
}

/// A group that is ended if the worker is killed.
#[derive(Debug)]
pub(super) struct WatchedGroup {
    watchdog: Arc<Watchdog>,
    group: Pid,
}

impl Drop for WatchedGroup {
    fn drop(&mut self) {
        self.watchdog
            .change(|groups| groups.retain(|group| *group != self.group));
    }
}
