//! The clock, as an argument: nothing but [`system_clock`] reads the machine's.

use std::sync::Arc;

use datapact_core::id::Timestamp;

/// A clock: seconds since 1970-01-01T00:00:00Z. Tests bring their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The clock of this machine.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    })
}
