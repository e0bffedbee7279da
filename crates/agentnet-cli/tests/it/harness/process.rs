//! Other processes: signals, and whether they run.

use agentnet_testkit::eventually;
use rustix::process::{Pid, Signal, kill_process};

use super::WAIT_TIMEOUT;

/// `kill -SIGNAL pid`.
pub fn send_signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Whether a process is there and not merely unburied.
pub fn is_running(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The state follows the name in parentheses.
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().next());
    !matches!(state, Some("Z" | "X"))
}

/// Waits until a process has gone.
pub async fn gone(pid: i32) {
    let look = async || {
        if is_running(pid) {
            Err(format!("process {pid} still runs"))
        } else {
            Ok(())
        }
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
}
