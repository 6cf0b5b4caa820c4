//! Figures of the process and of its disk, under the names that Prometheus's own libraries use.
//! Linux tells them in `/proc`; elsewhere they are missing.

use std::fs;
use std::path::Path;

use super::metrics::Reading;

/// What this process uses.
pub(super) fn readings() -> Vec<Reading> {
    let mut readings = Vec::new();
    readings.extend(
        of_stat(&fs::read_to_string("/proc/self/stat").unwrap_or_default()).unwrap_or_default(),
    );
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        readings.push(Reading::count(
            "process_open_fds",
            "Open files and connections",
            open.count() as u64,
        ));
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open_files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    if let Some(max) = open_files.and_then(|rest| rest.split_whitespace().next()?.parse().ok()) {
        readings.push(Reading::count("process_max_fds", "How many files may be open", max));
    }
    readings
}

/// From `/proc/self/stat` (proc(5)), whose second field is a name in parentheses that may hold
/// anything.
fn of_stat(stat: &str) -> Option<Vec<Reading>> {
    let (_, rest) = stat.rsplit_once(')')?;
    // The third field is the first of these.
    let field =
        |number: usize| rest.split_whitespace().nth(number.checked_sub(3)?)?.parse::<u64>().ok();
    let ticks = rustix::param::clock_ticks_per_second();
    let cpu = (field(14)? + field(15)?) as f64 / ticks as f64;
    let memory = field(24)?.saturating_mul(rustix::param::page_size() as u64);
    let mut readings = vec![
        Reading::counter("process_cpu_seconds", "CPU time used", cpu),
        Reading::count("process_threads", "Threads", field(20)?),
        Reading::count("process_virtual_memory_bytes", "Address space used", field(23)?),
        Reading::count("process_resident_memory_bytes", "Memory used", memory),
    ];
    let system = fs::read_to_string("/proc/stat").unwrap_or_default();
    let booted =
        system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
    if let (Some(booted), Some(since)) = (booted, field(22)) {
        let started = booted as f64 + since as f64 / ticks as f64;
        let help = "When the process began, in seconds since 1970";
        readings.push(Reading::gauge("process_start_time_seconds", help, started));
    }
    Some(readings)
}

/// The disk that `folder` is on.
pub(super) fn disk(folder: &Path) -> Vec<Reading> {
    let Ok((free, size)) = space(folder) else { return Vec::new() };
    vec![
        Reading::count("datapact_disk_free_bytes", "Room left on the data folder's disk", free),
        Reading::count("datapact_disk_size_bytes", "The data folder's disk", size),
    ]
}

/// How many bytes the disk of `folder` has free for this user, and how many in all.
///
/// # Errors
/// When the folder is not there or may not be looked at.
pub fn space(folder: &Path) -> std::io::Result<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_programs_name_may_hold_anything() {
        let fields = (4..=52).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        let readings = of_stat(&format!("1 (a) b) (c) S {fields}")).unwrap();
        let text = format!("{readings:?}");
        assert!(text.contains("process_threads") && text.contains("20.0"), "{text}");
        assert!(of_stat("").is_none() && of_stat("1 (a) S 2 3").is_none());
    }

    #[test]
    fn a_disk_has_room() {
        let (free, size) = space(Path::new("/")).unwrap();
        assert!(size > 0 && free <= size);
        assert!(space(Path::new("/nowhere/at/all")).is_err());
    }
}
