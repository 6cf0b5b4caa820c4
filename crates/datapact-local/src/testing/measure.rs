//! What processes cost.

/// The processor time that a process has used, in seconds, by Linux's own account; 0 when it is not
/// there.
pub fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // The fields after the command's name, which ends in the last bracket: `utime` and `stime` are
    // the 14th and 15th of all, in hundredths of a second.
    let ticks =
        |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
