//! One program for all targets: the variable `DATAPACT_FUZZ_TARGET` says which one. `cargo xtask
//! fuzz` builds it with the coverage that libFuzzer follows, and runs it; `CONTRIBUTING.md` says
//! how.
//!
//! A target takes any bytes, and must not panic, hang or use much memory; what it reads it writes
//! back alike.
#![no_main]
#![expect(clippy::panic, reason = "an unknown target is a mistake of the caller")]

mod targets;

use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static TARGET: OnceLock<targets::Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let wanted = std::env::var("DATAPACT_FUZZ_TARGET").unwrap_or_default();
        match targets::ALL.iter().find(|(name, _)| *name == wanted) {
            Some((_, target)) => *target,
            None => panic!("DATAPACT_FUZZ_TARGET is `{wanted}`, which is no target"),
        }
    });
    target(bytes);
});
