//! All tests, counted; a test that could not run is counted as skipped.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;

use crate::cargo::{cargo, run as run_command, run_reading};
use crate::environment::Environment;
use crate::outcome::{Outcome, Tests};

/// Names the file to which `datapact-test-tools` appends the tests that it skips.
const SKIPPED: &str = "DATAPACT_SKIPPED";
/// The end-to-end tests that are run again on PostgreSQL and S3.
const ON_REMOTE_STORES: [&str; 4] = ["sharing", "concurrency", "crash", "hostile"];

/// Everything is built once, also the examples that some tests start; then unit tests run before
/// those that start servers. The same packages are chosen every time, so that nothing is built
/// twice; and all go on after a failure.
pub(crate) fn run(environment: &Environment) -> Outcome {
    let mut build = cargo(environment);
    let built = run_command(build.args(["test", "--workspace", "--all-features", "--no-run"]));
    if !built.is_empty() {
        return built.into();
    }
    // The fuzzing program is no test, and would be run as one.
    let kinds: [&[&str]; 3] =
        [&["--exclude", "datapact-fuzz", "--lib", "--bins"], &["--test", "*"], &["--doc"]];
    let mut outcome = Outcome::default();
    for kind in kinds {
        outcome.add(run_tests(environment, kind, &[]));
    }
    outcome.add(on_remote_stores(environment));
    outcome
}

/// The end-to-end tests once more, on PostgreSQL and S3 instead of files.
fn on_remote_stores(environment: &Environment) -> Outcome {
    if !environment.has_remote_stores() {
        let reason = "PostgreSQL or rclone is missing";
        let tests = ON_REMOTE_STORES.map(|name| format!("datapact/{name} on PostgreSQL and S3"));
        let mut outcome = Outcome::unchecked(format!("{}: {reason}", tests.join(", ")));
        outcome.tests.skipped.insert(reason.to_owned(), tests.to_vec());
        return outcome;
    }
    let chosen: Vec<&str> = ON_REMOTE_STORES.iter().flat_map(|name| ["--test", name]).collect();
    run_tests(environment, &chosen, &[("DATAPACT_TEST_STORES", "remote")])
}

/// Runs tests and counts them.
fn run_tests(environment: &Environment, chosen: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let list = env::temp_dir().join(format!("datapact-skipped-{}", std::process::id()));
    let mut command = cargo(environment);
    command
        .args(["test", "--workspace", "--all-features", "--no-fail-fast"])
        .args(chosen)
        .envs(variables.iter().copied())
        .env(SKIPPED, &list);
    let mut tests = Tests::default();
    let findings = run_reading(&mut command, |line| count(line, &mut tests));
    let text = fs::read_to_string(&list).unwrap_or_default();
    let _ = fs::remove_file(&list); // it is absent if no test was skipped
    skipped(&text, &mut tests);
    Outcome { findings, tests, ..Outcome::default() }
}

/// Adds the numbers of a line such as `test result: ok. 12 passed; 0 failed; 0 ignored; ...`.
fn count(line: &str, tests: &mut Tests) {
    let Some(rest) = line.strip_prefix("test result: ") else { return };
    let words: Vec<&str> = rest.split_whitespace().collect();
    for pair in words.windows(2) {
        let [number, what] = *pair else { continue };
        let number: u64 = number.parse().unwrap_or_default();
        match what.trim_end_matches(';') {
            "passed" => tests.passed += number,
            "failed" => tests.failed += number,
            _ => {}
        }
    }
}

/// Takes the tests that say they were skipped out of those that passed. A test that says so twice
/// is one test; the same test in another process is another.
fn skipped(list: &str, tests: &mut Tests) {
    let mut seen = BTreeSet::new();
    for line in list.lines() {
        let fields: Vec<&str> = line.splitn(4, '\t').collect();
        let [process, program, test, reason] = *fields.as_slice() else { continue };
        if seen.insert((process, program, test)) {
            let program = Path::new(program).display();
            tests.skipped.entry(reason.to_owned()).or_default().push(format!("{program}: {test}"));
            tests.passed = tests.passed.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed() {
        let mut tests = Tests::default();
        let rest = "0 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        count(&format!("test result: ok. 12 passed; 0 failed; {rest}"), &mut tests);
        count(&format!("test result: FAILED. 3 passed; 2 failed; {rest}"), &mut tests);
        count("12 passed; nothing of a harness", &mut tests);
        assert_eq!((tests.passed, tests.failed), (15, 2));
    }

    #[test]
    fn a_skipped_test_is_not_counted_as_passed() {
        let mut tests = Tests { passed: 5, ..Tests::default() };
        let list =
            "7\tstores\ta\tno Go\n7\tstores\ta\tno Go\n8\tstores\ta\tno Go\n7\taudit\tb\tno npm\n";
        skipped(list, &mut tests);
        assert_eq!((tests.passed, tests.skipped_count()), (2, 3));
        assert_eq!(tests.skipped.keys().collect::<Vec<_>>(), ["no Go", "no npm"]);
    }
}
