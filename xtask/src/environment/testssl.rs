//! testssl.sh, which looks for weaknesses in the servers' TLS: the machine's own, or what Debian's
//! packages hold.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::cache::{install, once};
use super::{Environment, cache_folder, find, say};

/// Debian's names: testssl.sh, and what it does not start without: hexdump, and a program that asks
/// the DNS.
const PACKAGES: [&str; 3] = ["testssl.sh", "bsdextrautils", "ldnsutils"];
/// Where it finds its tables.
const TABLES: &str = "TESTSSL_INSTALL_DIR";

/// Adds it to the environment; the error is what is lacking.
pub(super) fn add(environment: &mut Environment) -> Result<(), String> {
    if find("testssl").is_some() {
        say("has", "testssl.sh");
        return Ok(());
    }
    let folder = cache_folder()
        .and_then(|cache| once(&cache, "testssl", "testssl.sh", &PACKAGES.join(" "), unpack))
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
    download.args(["-qq", "download"]).args(PACKAGES).current_dir(folder);
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
