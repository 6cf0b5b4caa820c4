//! Processor time and memory of processes, as Linux tells it under `/proc`.

use std::time::Duration;

use crate::{Failure, Result};

/// The servers' processes and this one, by name.
pub(crate) struct Processes(Vec<(String, String)>);

/// Processor time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage(pub(crate) Duration);

impl Processes {
    /// From `NAME=PID`; this process is added.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self> {
        let pair = |argument: &&str| {
            let (name, pid) = argument.split_once('=').ok_or("processes are given as NAME=PID")?;
            Ok((name.to_owned(), pid.to_owned()))
        };
        let mut processes = arguments.iter().map(pair).collect::<Result<Vec<_>>>()?;
        processes.push(("load".to_owned(), "self".to_owned()));
        Ok(Self(processes))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The processor time that each has had so far, the kernel's for it included.
    pub(crate) fn usage(&self) -> Result<Vec<Usage>> {
        let tick = 1.0 / rustix::param::clock_ticks_per_second() as f64;
        let of = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // Behind the program's name, which may hold anything.
            let fields = stat.rsplit_once(')').ok_or("no state of a process")?.1;
            let field =
                |at| fields.split_whitespace().nth(at).and_then(|ticks| ticks.parse::<u64>().ok());
            let ticks = field(11).zip(field(12)).ok_or("no times of a process")?;
            Ok(Usage(Duration::from_secs_f64((ticks.0 + ticks.1) as f64 * tick)))
        };
        self.0.iter().map(|(_, pid)| of(pid)).collect()
    }

    /// The processor time since `before`.
    pub(crate) fn since(&self, before: &[Usage]) -> Result<Vec<Usage>> {
        let now = self.usage()?;
        Ok(now
            .iter()
            .zip(before)
            .map(|(now, before)| Usage(now.0.saturating_sub(before.0)))
            .collect())
    }

    /// The bytes of each that are in memory.
    pub(crate) fn resident(&self) -> Result<Vec<(&str, u64)>> {
        let of = |pid: &str| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            Ok::<_, Failure>(kib.ok_or("no memory of a process")? * 1024)
        };
        self.0.iter().map(|(name, pid)| Ok((name.as_str(), of(pid)?))).collect()
    }
}
