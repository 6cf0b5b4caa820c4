//! The contract in Solidity: whether the committed artifacts are what the sources compile to, and
//! what the checkers find.
//!
//! All tools come from npm and PyPI at pinned versions into a cache outside the checkout, and work
//! there on a copy.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment::cache_folder;
use crate::outcome::{Outcome, is_ci};
use crate::tree::root;

/// What is compiled and committed.
const ARTIFACTS: [&str; 2] = ["DatapactRegistry.json", "DatapactShare.json"];
/// What the checkers need of `contracts/`.
const COPIED: [&str; 8] = [
    "build.js",
    "foundry.toml",
    "package-lock.json",
    "package.json",
    "requirements.txt",
    "slither.config.json",
    "solc.js",
    "solc.json",
];

/// Checks the contract.
pub(crate) fn run() -> Outcome {
    let missing: Vec<&str> =
        ["npm", "node", "python3"].into_iter().filter(|tool| !starts(tool)).collect();
    if missing.is_empty() {
        return checked().err().unwrap_or_default().into();
    }
    let missing = missing.join(", ");
    Outcome::unchecked(format!("missing: {missing}; install Node with npm, and Python 3 with venv"))
}

fn starts(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn checked() -> Result<(), Vec<String>> {
    let contracts = root().join("contracts");
    let one = |error: String| vec![error];
    let content = content(&contracts).map_err(one)?;
    let cache = cache().map_err(one)?;
    // One at a time: the work directory is the machine's, not the checkout's. Closing the file
    // unlocks it.
    let lock = fs::File::create(cache.join("lock")).and_then(|file| file.lock().map(|()| file));
    let _lock = lock.map_err(|e| one(format!("cannot lock `{}`: {e}", cache.display())))?;
    let stamp = cache.join("checked");
    // Outside CI, unchanged contracts are not checked again.
    let same = fs::read_to_string(&stamp).is_ok_and(|checked| checked == content);
    if same && !is_ci() {
        println!("contracts/ has not changed since it was last checked");
        return Ok(());
    }
    let work = workplace(&contracts, &cache).map_err(one)?;
    compiled_as_committed(&contracts, &work)?;
    tools(&work)?;
    fs::write(&stamp, content).map_err(|e| one(format!("`{}`: {e}", stamp.display())))
}

/// Where tools and copies lie.
fn cache() -> Result<PathBuf, String> {
    let cache = cache_folder()?.join("contracts");
    fs::create_dir_all(&cache).map_err(|e| format!("`{}`: {e}", cache.display()))?;
    Ok(cache)
}

/// A digest of all that this step reads.
fn content(contracts: &Path) -> Result<String, String> {
    let mut hasher = DefaultHasher::new();
    let mut names: Vec<PathBuf> = COPIED.iter().map(|name| contracts.join(name)).collect();
    for folder in ["src", "test", "artifacts"] {
        names.extend(files(&contracts.join(folder))?);
    }
    for name in names {
        name.hash(&mut hasher);
        fs::read(&name).map_err(|e| format!("`{}`: {e}", name.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let wrong = |e| format!("`{}`: {e}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        names.push(entry.map_err(wrong)?.path());
    }
    names.sort();
    Ok(names)
}

/// A directory with a copy of `contracts/`, npm's packages and Python's.
fn workplace(contracts: &Path, cache: &Path) -> Result<PathBuf, String> {
    let work = cache.join("work");
    // Slither reads whatever was ever built, and would look up its lines in today's sources.
    for folder in ["src", "test", "out", "cache"] {
        let old = work.join(folder);
        if old.exists() {
            fs::remove_dir_all(&old).map_err(|e| format!("`{}`: {e}", old.display()))?;
        }
    }
    for folder in ["src", "test"] {
        let to = work.join(folder);
        fs::create_dir_all(&to).map_err(|e| format!("`{}`: {e}", to.display()))?;
        for file in files(&contracts.join(folder))? {
            copy(&file, &to)?;
        }
    }
    for name in COPIED {
        copy(&contracts.join(name), &work)?;
    }
    let lock =
        format!("{}{}", read(&work.join("package.json"))?, read(&work.join("package-lock.json"))?);
    // The programs come in packages of their own, so that no package's script need run.
    let npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    once(&work, "npm", &lock, &[&npm])?;
    let pip = [
        "venv/bin/pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        "requirements.txt",
    ];
    let venv = ["python3", "-m", "venv", "--clear", "venv"];
    once(&work, "venv", &read(&work.join("requirements.txt"))?, &[&venv, &pip])?;
    Ok(work)
}

fn copy(file: &Path, to: &Path) -> Result<(), String> {
    let to = to.join(file.file_name().unwrap_or_default());
    fs::copy(file, &to).map(|_| ()).map_err(|e| format!("`{}`: {e}", file.display()))
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|e| format!("`{}`: {e}", file.display()))
}

/// Runs the commands unless they were run to their end for the same `pins`.
fn once(work: &Path, name: &str, pins: &str, commands: &[&[&str]]) -> Result<(), String> {
    let stamp = work.join(format!("{name}.complete"));
    if fs::read_to_string(&stamp).is_ok_and(|done| done == pins) {
        return Ok(());
    }
    for command in commands {
        start(work, command)?;
    }
    fs::write(&stamp, pins).map_err(|e| format!("`{}`: {e}", stamp.display()))
}

/// The same bytes on every machine.
fn compiled_as_committed(contracts: &Path, work: &Path) -> Result<(), Vec<String>> {
    start(work, &["node", "build.js", "node_modules", "rebuilt"]).map_err(|e| vec![e])?;
    let differing = ARTIFACTS.iter().filter(|name| {
        let committed = fs::read(contracts.join("artifacts").join(name)).ok();
        committed.is_none() || committed != fs::read(work.join("rebuilt").join(name)).ok()
    });
    let findings: Vec<String> = differing
        .map(|name| {
            let modules = work.join("node_modules");
            let again =
                format!("node contracts/build.js {} contracts/artifacts", modules.display());
            format!("contracts/artifacts/{name} is not what contracts/src compiles to: `{again}`")
        })
        .collect();
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

/// Fuzzing and invariants, static analysis, and proofs of the counting and version rules.
fn tools(work: &Path) -> Result<(), Vec<String>> {
    let commands: [&[&str]; 4] = [
        &["forge", "build", "--quiet"],
        &["forge", "test"],
        &["slither", ".", "--ignore-compile"],
        &["halmos", "--contract", "Symbolic"],
    ];
    let findings: Vec<String> =
        commands.iter().filter_map(|command| start(work, command).err()).collect();
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

/// Runs a tool in the work directory; its output is shown only if it fails.
fn start(work: &Path, command: &[&str]) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("no command")?;
    let line = command.join(" ");
    let output = Command::new(find(work, program))
        .args(arguments)
        .current_dir(work)
        .env("PATH", path(work))
        .env("NO_COLOR", "1")
        .output()
        .map_err(|e| format!("cannot run `{line}`: {e}"))?;
    if output.status.success() {
        println!("{line}: ok");
        return Ok(());
    }
    print!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Err(format!("`{line}`: {}", output.status))
}

/// Our own programs come before those of the machine.
fn programs(work: &Path) -> Vec<PathBuf> {
    let forge = work.join("node_modules").join("@foundry-rs");
    let mut places: Vec<PathBuf> =
        files(&forge).unwrap_or_default().into_iter().map(|package| package.join("bin")).collect();
    places.push(work.join("venv").join("bin"));
    places
}

fn path(work: &Path) -> std::ffi::OsString {
    let machine = env::var_os("PATH").unwrap_or_default();
    env::join_paths(programs(work).into_iter().chain(env::split_paths(&machine))).unwrap_or(machine)
}

fn find(work: &Path, program: &str) -> PathBuf {
    if program.contains('/') {
        return work.join(program);
    }
    let ours =
        programs(work).into_iter().map(|place| place.join(program)).find(|path| path.is_file());
    ours.unwrap_or_else(|| program.into())
}
