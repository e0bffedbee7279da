//! Finds the processes that a program has started, also those that are not in its process group any more (`setsid`) and those whose
//! parent has ended. All of them have inherited a variable of its environment.

/// Variable that every process of a run inherits, unless one clears its environment.
const RUN_VARIABLE: &str = "AGENTNET_MESH_RUN";

/// Marks the processes that a program starts, by a variable of their environment.
pub(super) struct RunMark(String);

impl RunMark {
    /// A mark that no other run has.
    pub(super) fn new() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    /// The variable for the environment of the program.
    pub(super) fn variable(&self) -> (&str, &str) {
        (RUN_VARIABLE, &self.0)
    }

    /// Kills all processes with the mark. On other systems than Linux, their environment cannot be read.
    pub(super) fn kill(&self) {
        #[cfg(target_os = "linux")]
        linux::kill_all(format!("{RUN_VARIABLE}={}", self.0).as_bytes());
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    /// How often the processes are searched: one may start another while it is killed.
    const MAX_SEARCHES: usize = 4;

    /// Kills the processes that have this entry in their environment.
    pub(super) fn kill_all(entry: &[u8]) {
        for _ in 0..MAX_SEARCHES {
            if numbers().filter(|number| kill(*number, entry)).count() == 0 {
                return;
            }
        }
    }

    /// The numbers of all processes.
    fn numbers() -> impl Iterator<Item = i32> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes.filter_map(|process| process.file_name().to_str()?.parse().ok())
    }

    /// Kills a process, if it has the entry in its environment.
    fn kill(number: i32, entry: &[u8]) -> bool {
        if !has(number, entry) {
            return false;
        }
        let handle = Pid::from_raw(number).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        // Looks again: the number could belong to another process meanwhile, the handle cannot.
        handle.is_some_and(|handle| has(number, entry) && pidfd_send_signal(handle, Signal::KILL).is_ok())
    }

    /// Whether a process has an entry in its environment. The environment of other users' processes, and of one that has ended,
    /// cannot be read.
    fn has(number: i32, entry: &[u8]) -> bool {
        let environment = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == entry)
    }
}
