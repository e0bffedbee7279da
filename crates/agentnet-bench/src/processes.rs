//! What a process has used, as Linux tells it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// The time that it has spent on processors, with its children.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Failure> {
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc")? {
        let Some(child) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended meanwhile: then its parent's time, which is read last, holds it.
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
    /// Its own, and those of its children that have ended.
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

/// Processes by what they are.
#[derive(Debug, Default, Clone)]
pub(crate) struct Watched(Vec<(&'static str, u32)>);

impl Watched {
    pub(crate) fn and(mut self, name: &'static str, pid: u32) -> Self {
        self.0.push((name, pid));
        self
    }

    /// What each has spent up to now.
    pub(crate) fn spent(&self) -> Result<Spent, Failure> {
        let each = self.0.iter().map(|(name, pid)| Ok(((*name).to_owned(), cpu(*pid)?)));
        Ok(Spent(each.collect::<Result<_, Failure>>()?))
    }
}

/// Time on processors, by what spent it.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Spent(BTreeMap<String, Duration>);

impl Spent {
    /// What has been spent since.
    pub(crate) fn since(self, before: &Self) -> Self {
        let since = |(name, spent): (String, Duration)| {
            let before = before.0.get(&name).copied().unwrap_or_default();
            (name, spent.saturating_sub(before))
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
