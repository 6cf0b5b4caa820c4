//! `cargo xtask fuzz`: coverage-guided fuzzing of every reader of foreign bytes (`fuzz/`).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::tree::root;

/// Options of `rustc` that let libFuzzer see which code an input reaches. They work on stable Rust:
/// no sanitizer is used, since our code has no `unsafe` for one to watch.
const COVERAGE: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];
/// Set when this program is called in place of `rustc`.
const WRAPPER: &str = "DATAPACT_FUZZ_WRAPPER";
/// Seconds for each target when none are given.
const SECONDS: u64 = 60;
const LENGTH_MAX: u64 = 64 * 1024;
const MEMORY_MB: u64 = 1024;
/// Seconds after which an input counts as one that hangs.
const TIMEOUT: u64 = 10;

/// Fuzzes `target`, or all in turn, for `seconds` each; returns what is wrong, one line each.
pub(crate) fn run(target: Option<&str>, seconds: Option<u64>) -> Vec<String> {
    try_run(target, seconds.unwrap_or(SECONDS)).unwrap_or_else(|error| vec![error])
}

fn try_run(wanted: Option<&str>, seconds: u64) -> Result<Vec<String>, String> {
    let program = build()?;
    let corpus = root().join("fuzz/corpus");
    let mut targets = Vec::new();
    for entry in fs::read_dir(&corpus).map_err(|e| format!("`{}`: {e}", corpus.display()))? {
        let name = entry.map_err(|e| e.to_string())?.file_name();
        targets.push(name.to_string_lossy().into_owned());
    }
    targets.sort_unstable();
    if let Some(wanted) = wanted {
        targets.retain(|target| target == wanted);
        if targets.is_empty() {
            return Err(format!("there is no folder `{wanted}` in `{}`", corpus.display()));
        }
    }
    let mut findings = Vec::new();
    for target in &targets {
        findings.extend(fuzz(&program, target, &corpus.join(target), seconds)?);
    }
    Ok(findings)
}

/// Builds the program and returns its path. Cargo gives the project's own crates, and no others, to
/// this program instead of `rustc`, which compiles them with coverage; so everything else is built
/// once for tests and fuzzing.
fn build() -> Result<PathBuf, String> {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let own =
        env::current_exe().map_err(|e| format!("this program does not know its own path: {e}"))?;
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "-p", "datapact-fuzz"])
        .env("RUSTC_WORKSPACE_WRAPPER", own)
        .env(WRAPPER, "1")
        .current_dir(root())
        .status()
        .map_err(|e| format!("cannot run cargo: {e}"))?;
    if !status.success() {
        return Err(format!("the fuzzing program was not built: {status}"));
    }
    Ok(target.join("debug/datapact-fuzz"))
}

/// Compiles with coverage what cargo asks for, if cargo has started this program as `rustc`.
pub(crate) fn stand_in(arguments: &[String]) -> Option<ExitCode> {
    env::var_os(WRAPPER)?;
    let (rustc, arguments) = arguments.split_first()?;
    let is_ours = arguments.iter().any(|argument| argument.starts_with("datapact_"));
    let coverage: &[&str] = if is_ours { &COVERAGE } else { &[] };
    let status = Command::new(rustc).args(arguments).args(coverage).status();
    Some(if status.is_ok_and(|status| status.success()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// New inputs go to the target directory, where the next run finds them; those that fail stay
/// there, too.
fn fuzz(program: &Path, target: &str, seeds: &Path, seconds: u64) -> Result<Vec<String>, String> {
    let found = program.with_file_name("fuzz-corpus").join(target);
    let failed = program.with_file_name("fuzz-failed").join(target);
    for folder in [&found, &failed] {
        fs::create_dir_all(folder).map_err(|e| format!("`{}`: {e}", folder.display()))?;
    }
    let mut command = Command::new(program);
    command.env("DATAPACT_FUZZ_TARGET", target).stdin(Stdio::null()).current_dir(root());
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={LENGTH_MAX}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MB}")).arg(format!("-timeout={TIMEOUT}"));
    command
        .arg(format!("-artifact_prefix={}/", failed.display()))
        .args(["-verbosity=0", "-print_final_stats=1"]);
    command.arg(&found).arg(seeds);
    if target == "package" {
        command.arg(root().join("testdata/package"));
    }
    let output =
        command.output().map_err(|e| format!("cannot run `{}`: {e}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let units = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units: "));
    println!("{target}: {} inputs in {seconds} s", units.unwrap_or("no").trim());
    if output.status.success() && units.is_some() {
        return Ok(Vec::new());
    }
    eprintln!("{said}");
    Ok(vec![format!("{target}: {}; the input is in `{}`", output.status, failed.display())])
}
