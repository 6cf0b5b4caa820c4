//! Secrets in memory: kept out of core dumps, out of reach of other processes of the same user, and
//! out of swap.

use std::fs;
use std::io;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// The number of the capability to lock memory beyond the limit (capabilities(7)).
const CAP_IPC_LOCK: u32 = 14;

/// Forbids core dumps, and with them that other processes of this user trace this one and read its
/// memory (prctl(2), `PR_SET_DUMPABLE`).
///
/// # Errors
/// The system's; a dump might be written then.
pub(crate) fn forbid_dumps() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // A service manager may have set it already, and forbid to set it.
    if getrlimit(Resource::Core).current != Some(0) {
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    }
    Ok(())
}

/// Locks what this process has and will have in memory, each page once it is used: keys are in
/// buffers of TLS, HTTP and the database, too, so not only their own pages count.
///
/// # Errors
/// Why not. Memory beyond a limit could not be had any more once it is locked, so none is locked
/// where there is one.
pub(crate) fn lock() -> Result<(), String> {
    let limit = getrlimit(Resource::Memlock);
    if !may_lock_all() {
        if let Some(maximum) = limit.maximum {
            return Err(format!(
                "this process may lock only {maximum} bytes (RLIMIT_MEMLOCK); let the service \
                 manager set no limit (systemd: `LimitMEMLOCK=infinity`)"
            ));
        }
        if limit.current.is_some() {
            let raised = Rlimit { current: None, maximum: None };
            setrlimit(Resource::Memlock, raised).map_err(|error| error.to_string())?;
        }
    }
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(flags).map_err(|error| error.to_string())
}

/// Whether no limit counts for this process.
fn may_lock_all() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    effective.is_some_and(|set| set >> CAP_IPC_LOCK & 1 == 1)
}
