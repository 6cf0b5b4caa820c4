//! What looks for weaknesses in the servers' TLS: sslyze from PyPI and testssl.sh from Debian.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::cache::{install, once};
use super::python::{create, pip};
use super::{Environment, cache_folder, find, say};
use crate::tree::root;

/// sslyze's version.
const SSLYZE: &str = "testdata/tls/requirements.txt";
/// Debian's names: testssl.sh, and what it does not start without: hexdump, and a program that asks
/// the DNS.
const TESTSSL: [&str; 3] = ["testssl.sh", "bsdextrautils", "ldnsutils"];
/// Where testssl.sh finds its tables.
const TABLES: &str = "TESTSSL_INSTALL_DIR";

/// Adds both to the environment; the error is what is lacking.
pub(super) fn add(environment: &mut Environment) -> Result<(), String> {
    add_sslyze(environment)?;
    add_testssl(environment)
}

fn add_sslyze(environment: &mut Environment) -> Result<(), String> {
    if find("sslyze").is_some() {
        say("has", "sslyze");
        return Ok(());
    }
    let make = |folder: &Path| {
        let venv = folder.join("venv");
        create(&venv)?;
        install(pip(&venv).args(["-r", SSLYZE]))?;
        // A folder with this program alone: the environment's `python` is not for other tests.
        let programs = folder.join("bin");
        fs::create_dir(&programs)
            .and_then(|()| symlink(venv.join("bin/sslyze"), programs.join("sslyze")))
            .map_err(|e| format!("`{}`: {e}", programs.display()))
    };
    let pins = fs::read_to_string(root().join(SSLYZE)).map_err(|e| format!("`{SSLYZE}`: {e}"))?;
    let folder = cache_folder()
        .and_then(|cache| once(&cache, "sslyze", "sslyze", &pins, make))
        .map_err(|error| format!("sslyze: {error}"))?;
    environment.folders.push(folder.join("bin"));
    Ok(())
}

fn add_testssl(environment: &mut Environment) -> Result<(), String> {
    if find("testssl").is_some() {
        say("has", "testssl.sh");
        return Ok(());
    }
    let folder = cache_folder()
        .and_then(|cache| once(&cache, "testssl", "testssl.sh", &TESTSSL.join(" "), unpack))
        .map_err(|error| format!("testssl.sh: {error}"))?;
    environment.folders.push(folder.join("usr/bin"));
    environment.variables.push((TABLES, folder.join("etc/testssl").into()));
    Ok(())
}

/// Installing a package needs root; unpacking it does not.
fn unpack(folder: &Path) -> Result<(), String> {
    let failed = |e| format!("`{}`: {e}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    let mut download = Command::new("apt-get");
    download.args(["-qq", "download"]).args(TESTSSL).current_dir(folder);
    // A new machine has no lists of packages.
    if install(&mut download).is_err() {
        install(Command::new("apt-get").args(["-qq", "update"]))?;
        install(&mut download)?;
    }
    for entry in fs::read_dir(folder).map_err(failed)?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            install(Command::new("dpkg-deb").arg("-x").arg(&path).arg(folder))?;
        }
    }
    Ok(())
}
