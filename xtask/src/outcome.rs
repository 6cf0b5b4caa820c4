//! What a step of the checks found.

use std::collections::BTreeMap;
use std::env;

/// What a step found wrong, what it could not look at, and how many tests it ran.
#[derive(Default)]
pub(crate) struct Outcome {
    /// What is wrong, one line each.
    pub(crate) findings: Vec<String>,
    /// What could not be checked, and why, one line each.
    pub(crate) unchecked: Vec<String>,
    /// The tests that were run.
    pub(crate) tests: Tests,
}

/// How many tests passed and failed, and which were skipped.
#[derive(Default)]
pub(crate) struct Tests {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// The test, with the program it is part of, by the reason for which it was skipped.
    pub(crate) skipped: BTreeMap<String, Vec<String>>,
}

impl Outcome {
    /// Says that something is not checked. With `CI=true`, where everything must be, it is wrong.
    pub(crate) fn unchecked(what: String) -> Self {
        if is_ci() {
            return Self::from(vec![what]);
        }
        println!("!!!! NOT CHECKED: {what}");
        Self { unchecked: vec![what], ..Self::default() }
    }

    /// Adds what another step found.
    pub(crate) fn add(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.unchecked.extend(other.unchecked);
        self.tests.passed += other.tests.passed;
        self.tests.failed += other.tests.failed;
        for (reason, tests) in other.tests.skipped {
            self.tests.skipped.entry(reason).or_default().extend(tests);
        }
    }
}

impl From<Vec<String>> for Outcome {
    fn from(findings: Vec<String>) -> Self {
        Self { findings, ..Self::default() }
    }
}

impl Tests {
    /// How many were skipped.
    pub(crate) fn skipped_count(&self) -> u64 {
        self.skipped.values().map(|tests| tests.len() as u64).sum()
    }
}

/// Whether this runs for others: then a missing tool is an error.
pub(crate) fn is_ci() -> bool {
    env::var("CI").as_deref() == Ok("true")
}
