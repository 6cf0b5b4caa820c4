//! The node programs: found, or put once into a cache outside every checkout, from pinned sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use datapact_local::process::run;
use datapact_local::program::{cache, find, named, path_folders};
use datapact_local::{NetworkError, Result};

/// How to go on when the named program is not there.
const NAMED_HINT: &str = "name the program's file";
const ANVIL_VERSION: &str = "1.7.1";
/// How long an installation or a build may take, on a slow machine with a slow network.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// What is built, and the checksums of all that goes into it.
const GO_FILES: [(&str, &str); 3] = [
    ("go.mod", include_str!("../../../../tools/goquorum/go.mod")),
    ("go.sum", include_str!("../../../../tools/goquorum/go.sum")),
    ("tools.go", include_str!("../../../../tools/goquorum/tools.go")),
];

/// Anvil: `given`, or in the PATH, or in the cache, where npm installs the pinned version if there
/// is none.
///
/// # Errors
/// When it cannot be found or installed.
pub async fn anvil(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return named(given, NAMED_HINT);
    }
    if let Some(found) = find(&path_folders(), "anvil") {
        return Ok(found);
    }
    let (folder, _lock) = cache(&format!("anvil-{ANVIL_VERSION}")).await?;
    if let Some(found) = installed_anvil(&folder) {
        return Ok(found);
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"])
        .arg(&folder)
        .arg(format!("@foundry-rs/anvil@{ANVIL_VERSION}"));
    let hint =
        "install Foundry, so that `anvil` is in the PATH, or Node with npm, or name the program";
    run(npm, TIMEOUT, hint).await?;
    installed_anvil(&folder).ok_or_else(|| {
        NetworkError::new(
            "npm has no `anvil` for this machine",
            "install Foundry, or name the program",
        )
    })
}

/// The program lies in the package of the platform; the other package's script only looks for it.
fn installed_anvil(folder: &Path) -> Option<PathBuf> {
    let packages = fs::read_dir(folder.join("node_modules/@foundry-rs")).ok()?;
    let program = |package: fs::DirEntry| package.path().join("bin/anvil");
    packages
        .filter_map(std::result::Result::ok)
        .filter(|package| package.file_name() != "anvil")
        .map(program)
        .find(|path| path.is_file())
}

/// GoQuorum's geth: `given`, or in the cache, where it is built through the Go module proxy if
/// there is none. A `geth` in the PATH is Ethereum's more often than GoQuorum's, so it is not
/// taken.
///
/// # Errors
/// When it cannot be found or built.
pub async fn geth(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return named(given, NAMED_HINT);
    }
    let mut pins = Vec::new();
    for (_, text) in GO_FILES {
        pins.extend_from_slice(text.as_bytes());
    }
    let pins = datapact_core::id::Digest::of(&pins).to_string();
    let folder = format!("goquorum-{}", pins.get(..16).unwrap_or(&pins));
    let (folder, _lock) = cache(&folder).await?;
    let program = folder.join("geth");
    if program.is_file() {
        return Ok(program);
    }
    for (name, text) in GO_FILES {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|e| NetworkError::file(&path, e))?;
    }
    let partial = folder.join("geth.new");
    let mut go = Command::new("go");
    go.current_dir(&folder)
        .env("CGO_ENABLED", "1")
        .env("GOFLAGS", "-mod=readonly")
        .args(["build", "-trimpath", "-ldflags=-checklinkname=0 -s -w", "-o"])
        .arg(&partial)
        .arg("github.com/ethereum/go-ethereum/cmd/geth");
    let hint =
        "install Go 1.23 or newer and a C compiler, or name GoQuorum's program with `--geth FILE`";
    run(go, TIMEOUT, hint).await?;
    fs::rename(&partial, &program).map_err(|e| NetworkError::file(&program, e))?;
    Ok(program)
}
