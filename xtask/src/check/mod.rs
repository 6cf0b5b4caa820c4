//! The steps of `cargo xtask check`.

mod deny;
mod test;

use std::time::Instant;

use crate::cargo::{cargo, run as run_command};
use crate::environment::Environment;
use crate::outcome::Outcome;
use crate::tree::{TextFile, root, text_files};
use crate::{conformance, contracts, fuzz, readme, tidy};

/// A check by its name.
type Step = (&'static str, fn(&Environment) -> Outcome);

/// All steps, the cheapest first.
pub(crate) const ALL: [Step; 10] = [
    // Cargo.lock is as the manifests want it, and every dependency is here.
    ("lock", |environment| cargo_step(environment, &["fetch", "--locked", "--quiet"], &[])),
    ("fmt", |environment| cargo_step(environment, &["fmt", "--all", "--check"], &[])),
    ("tidy", |_| on_files(|files| tidy::check(&root(), files))),
    ("conformance", |_| on_files(|files| conformance::check(&root(), files))),
    ("deny", deny::run),
    ("contracts", |_| contracts::run()),
    ("clippy", |environment| {
        let targets = ["--workspace", "--all-features", "--all-targets"];
        let arguments = [&["clippy"], &targets[..], &["--", "-D", "warnings"]].concat();
        cargo_step(environment, &arguments, &[])
    }),
    ("doc", |environment| {
        let arguments = ["doc", "--workspace", "--no-deps", "--all-features"];
        cargo_step(environment, &arguments, &[("RUSTDOCFLAGS", "-D warnings")])
    }),
    ("test", test::run),
    // A short form; `cargo xtask fuzz TARGET SECONDS` is the long one.
    ("fuzz", |_| fuzz::run(None, Some(3)).into()),
];

/// The steps that need what [`Environment::prepare`] finds or makes.
pub(crate) const NEEDS_SETUP: [&str; 2] = ["deny", "test"];

/// The README's commands.
pub(crate) const README: Step = ("readme", |_| readme::run().into());

/// Runs the steps, all of them even if one fails, and sums up in the last lines. The very last is
/// `N passed, N failed, N skipped` if there were tests. Returns whether all is well.
pub(crate) fn run(steps: &[Step], environment: &Environment) -> bool {
    let mut total = Outcome::default();
    let mut failed = Vec::new();
    for (name, step) in steps {
        println!("== {name}");
        let started = Instant::now();
        let outcome = step(environment);
        for finding in &outcome.findings {
            println!("{name}: {finding}");
        }
        let verdict = match (outcome.findings.is_empty(), outcome.unchecked.is_empty()) {
            (true, true) => "ok",
            (true, false) => "NOT CHECKED, or not all of it",
            (false, _) => "FAILED",
        };
        println!("== {name}: {verdict}, {} s", started.elapsed().as_secs());
        if !outcome.findings.is_empty() {
            failed.push(*name);
        }
        total.add(outcome);
    }
    sum_up(&total, &failed, steps.len());
    failed.is_empty()
}

fn sum_up(total: &Outcome, failed: &[&str], steps: usize) {
    println!();
    for what in &total.unchecked {
        println!("not checked: {what}");
    }
    for (reason, tests) in &total.tests.skipped {
        println!("skipped: {reason}");
        for test in tests {
            println!("  {test}");
        }
    }
    match failed {
        [] if steps > 1 => println!("{steps} steps passed"),
        [] => {}
        failed => println!("failed: {}", failed.join(", ")),
    }
    let tests = &total.tests;
    if tests.passed + tests.failed > 0 {
        let skipped = tests.skipped_count();
        println!("{} passed, {} failed, {skipped} skipped", tests.passed, tests.failed);
    }
}

fn on_files(check: impl Fn(&[TextFile]) -> Vec<String>) -> Outcome {
    match text_files(&root()) {
        Ok(files) => check(&files).into(),
        Err(error) => vec![error].into(),
    }
}

fn cargo_step(
    environment: &Environment,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Outcome {
    let mut command = cargo(environment);
    run_command(command.args(arguments).envs(variables.iter().copied())).into()
}
