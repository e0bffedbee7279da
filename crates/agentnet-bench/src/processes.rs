//! CPU time and memory of processes, from `/proc`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// The CPU time of a process and its children.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Failure> {
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc")? {
        let Some(child) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // The child may have ended meanwhile: then its time is part of its parent's, which is read last.
        if let Ok(stat) = Stat::of(child)
            && stat.parent == pid
        {
            ticks += stat.ticks;
        }
    }
    ticks += Stat::of(pid)?.ticks;
    let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    Ok(Duration::from_secs_f64(seconds))
}

struct Stat {
    parent: u32,
    /// Ticks of the process and of its children that have ended.
    ticks: u64,
}

impl Stat {
    fn of(pid: u32) -> Result<Self, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, fields) = stat.rsplit_once(')').ok_or("a stat without a name")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = fields.get(11..15).ok_or("a stat without times")?;
        Ok(Self {
            parent: fields[1].parse()?,
            ticks: ticks.iter().map(|ticks| ticks.parse::<u64>().unwrap_or_default()).sum(),
        })
    }
}

/// Named processes whose CPU time is measured.
#[derive(Debug, Default, Clone)]
pub(crate) struct WatchedProcesses(Vec<(&'static str, u32)>);

impl WatchedProcesses {
    pub(crate) fn and(mut self, name: &'static str, pid: u32) -> Self {
        self.0.push((name, pid));
        self
    }

    /// The CPU time of each process until now.
    pub(crate) fn cpu_usage(&self) -> Result<CpuUsage, Failure> {
        let each = self.0.iter().map(|(name, pid)| Ok(((*name).to_owned(), cpu(*pid)?)));
        Ok(CpuUsage(each.collect::<Result<_, Failure>>()?))
    }
}

/// CPU time by process name.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct CpuUsage(BTreeMap<String, Duration>);

impl CpuUsage {
    /// The difference to an earlier value.
    pub(crate) fn since(self, before: &Self) -> Self {
        let since = |(name, total): (String, Duration)| {
            let before = before.0.get(&name).copied().unwrap_or_default();
            (name, total.saturating_sub(before))
        };
        Self(self.0.into_iter().map(since).collect())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn of(&self, name: &str) -> Option<Duration> {
        self.0.get(name).copied()
    }
}

/// The resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64, Failure> {
    field(pid, "VmRSS:")
}

/// The peak resident memory of a process, in bytes.
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
