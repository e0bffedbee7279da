//! What a process has used, as Linux tells it.

use std::time::Duration;

use crate::Failure;

/// The time that it has spent on processors.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("a stat without a name")?;
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap_or_default())
        .sum();
    Ok(Duration::from_secs_f64(
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
    ))
}

/// Its resident memory now, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64, Failure> {
    field(pid, "VmRSS:")
}

/// Its resident memory at its largest, in bytes.
pub(crate) fn peak(pid: u32) -> Result<u64, Failure> {
    field(pid, "VmHWM:")
}

fn field(pid: u32, name: &str) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .ok_or("a status without memory")?
        .parse()?;
    Ok(kib * 1024)
}
