//! `cargo xtask soak [--minutes N]`: hostile clients against real servers, and an honest user who
//! is served all the while. The checks run the same test for some seconds.

use std::process::Command;

use crate::cargo;
use crate::tree::root;

/// How long the attack lasts if not told otherwise: what is leaked shows in an hour.
const MINUTES: u64 = 60;
const MINUTES_MAX: u64 = 24 * 60;

/// Runs the attack; what is wrong, if anything.
pub(crate) fn run(arguments: &[&str]) -> Vec<String> {
    let minutes = match arguments {
        [] => Some(MINUTES),
        ["--minutes", minutes] => minutes.parse().ok().filter(|n| (1..=MINUTES_MAX).contains(n)),
        _ => None,
    };
    let Some(minutes) = minutes else {
        return vec!["soak: `--minutes` takes a number from 1 to 1440".to_owned()];
    };
    let mut test = Command::new("cargo");
    test.current_dir(root())
        .env("DATAPACT_STORM", (60 * minutes).to_string())
        .args(["test", "-p", "datapact", "--test", "load_limits"])
        .args(["a_thousand_hostile_clients", "--", "--nocapture"]);
    cargo::run(&mut test)
}
