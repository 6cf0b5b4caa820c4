//! The command line as users and operators type it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub(crate) fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datapact"));
    command.args(arguments).current_dir(dir).env_clear().env("DATAPACT_HOME", dir.join("home"));
    command
}

pub(crate) fn run(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, arguments).stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs, expects success, and returns standard output.
pub(crate) fn ok(dir: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = run(dir, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    output.stdout
}

/// The same with `--json`, as one object a line.
pub(crate) fn lines(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let stdout = ok(dir, &[arguments, &["--json"]].concat());
    text(&stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn one(dir: &Path, arguments: &[&str]) -> Value {
    let mut lines = lines(dir, arguments);
    assert_eq!(lines.len(), 1, "{arguments:?}: {lines:?}");
    lines.remove(0)
}

/// Runs with `--json`, expects the exit code, and returns the problem.
pub(crate) fn refused(dir: &Path, arguments: &[&str], code: i32) -> Value {
    let output = run(dir, &[arguments, &["--json"]].concat());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert_eq!(text(&output.stdout), "");
    let problem: Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
    assert_eq!(problem["exit"], code);
    problem
}
