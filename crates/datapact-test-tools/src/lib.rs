//! The programs that tests need and this workspace does not build: found, or the test is skipped by
//! name and reason.
//!
//! A test that lacks a program calls [`skip`], or gets `None` from one of the finders, which have
//! called it, and returns. `cargo test` counts such a test as passed; `cargo xtask check` reads the
//! file named by [`SKIPPED`] and counts it as skipped. With `CI=true` a missing program fails the
//! test: there everything is to be checked.
//!
//! The standard library alone is used, so that every crate's tests can depend on this one.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// Names the file to which skipped tests are appended, one a line:
/// `PROCESS<TAB>PROGRAM<TAB>TEST<TAB>REASON`. Set by `cargo xtask`.
pub const SKIPPED: &str = "DATAPACT_SKIPPED";
/// Names a folder with PostgreSQL's server programs, before the machine's own. Set by `cargo
/// xtask` where the machine has none.
pub const POSTGRES: &str = "DATAPACT_POSTGRES";
/// Names a Python that has the modules of `testdata/requirements.txt`; the programs beside it are
/// used, too. Set by `cargo xtask`.
pub const PYTHON: &str = "DATAPACT_PYTHON";

/// Says that the current test cannot run, or not all of it, for want of what `reason` names.
///
/// The test is known by its thread's name, so this is called on the thread that the test started
/// on.
///
/// # Panics
/// With `CI=true`.
pub fn skip(reason: &str) {
    assert!(env::var("CI").as_deref() != Ok("true"), "{reason}");
    skip_everywhere(reason);
}

/// Like [`skip`], also with `CI=true`: for programs that CI's machines cannot install, which are
/// Fabric's alone.
pub fn skip_everywhere(reason: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    let reason = reason.replace(['\t', '\n', '\r'], " ");
    // Not by `eprintln!`, which the tests' harness hides when a test passes.
    let _ = writeln!(std::io::stderr(), "!!!! skipped {test}: {reason}");
    let Some(path) = env::var_os(SKIPPED) else { return };
    let program = env::current_exe().unwrap_or_default();
    // Cargo appends a hash to the program's name.
    let program = program.file_stem().map(OsStr::to_string_lossy).unwrap_or_default();
    let program = program.rsplit_once('-').map_or(&*program, |(name, _)| name);
    let line = format!("{}\t{program}\t{test}\t{reason}\n", std::process::id());
    // One write of a short line is not mixed with that of another process.
    let written = fs::File::options()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    // A skipped test that is not counted would look like one that passed.
    assert!(written.is_ok(), "cannot write `{}`", Path::new(&path).display());
}

/// The program `name`, beside the Python of [`PYTHON`] or in the PATH. The test is skipped without
/// it; `source` says how to install it.
pub fn program(name: &str, source: &str) -> Option<PathBuf> {
    let python = env::var_os(PYTHON).map(PathBuf::from);
    let beside = python.as_deref().and_then(Path::parent).map(Path::to_owned);
    let found = beside
        .into_iter()
        .chain(path())
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    if found.is_none() {
        skip(&format!("`{name}` is missing: {source}"));
    }
    found
}

/// A Python that can import `modules`, separated by commas: that of [`PYTHON`], or `python3`. The
/// test is skipped without it.
pub fn python(modules: &str) -> Option<PathBuf> {
    let python = env::var_os(PYTHON).map_or_else(|| "python3".into(), PathBuf::from);
    let imports = Command::new(&python)
        .args(["-c", &format!("import {modules}")])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success());
    if imports {
        return Some(python);
    }
    skip(&format!(
        "`{}` lacks {modules}: run `cargo xtask test`, or pip install -r testdata/requirements.txt",
        python.display()
    ));
    None
}

/// The folder of PostgreSQL's server programs: [`POSTGRES`], or the newest version that Debian has
/// installed, or what is in the PATH. The test is skipped without them.
pub fn postgres() -> Option<PathBuf> {
    let found = postgres_folders().into_iter().find(|folder| is_postgres(folder));
    if found.is_none() {
        skip("PostgreSQL is missing: run `cargo xtask test`, or install Debian's `postgresql`");
    }
    found
}

fn postgres_folders() -> Vec<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    folders.sort();
    let named = env::var_os(POSTGRES).map(PathBuf::from);
    named.into_iter().chain(folders.into_iter().rev()).chain(path()).collect()
}

fn is_postgres(folder: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres", "psql"].iter().all(|name| folder.join(name).is_file())
}

fn path() -> Vec<PathBuf> {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_path() {
        let shell = program("sh", "it is everywhere").expect("there is a shell");
        assert!(shell.ends_with("sh") && shell.is_absolute());
    }
}
