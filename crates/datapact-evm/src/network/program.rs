//! The node programs: found, or put once into a cache outside every checkout, from pinned sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::run;
use super::{NetworkError, Result};

const ANVIL_VERSION: &str = "1.7.1";
/// How long an installation or a build may take, on a slow machine with a slow network.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// How often it is looked whether another one is done.
const POLL: Duration = Duration::from_millis(200);
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
    if let Some(found) = find(given, "anvil")? {
        return Ok(found);
    }
    let folder = cache()?.join(format!("anvil-{ANVIL_VERSION}"));
    let _lock = lock(&folder).await?;
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
        return named(given);
    }
    let mut pins = Vec::new();
    for (_, text) in GO_FILES {
        pins.extend_from_slice(text.as_bytes());
    }
    let pins = datapact_core::id::Digest::of(&pins).to_string();
    let folder = cache()?.join(format!("goquorum-{}", pins.get(..16).unwrap_or(&pins)));
    let program = folder.join("geth");
    let _lock = lock(&folder).await?;
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

fn named(path: &Path) -> Result<PathBuf> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    Err(NetworkError::new(
        format!("there is no program `{}`", path.display()),
        "name the program's file",
    ))
}

fn find(given: Option<&Path>, name: &str) -> Result<Option<PathBuf>> {
    if let Some(given) = given {
        return named(given).map(Some);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file()))
}

/// `$XDG_CACHE_HOME/datapact`, or `~/.cache/datapact`.
fn cache() -> Result<PathBuf> {
    let set =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let folder = folder.ok_or_else(|| {
        NetworkError::new(
            "there is no folder for the node programs",
            "set XDG_CACHE_HOME, or name the program",
        )
    })?;
    Ok(folder.join("datapact"))
}

/// One at a time puts something into `folder`; the others wait and find it.
async fn lock(folder: &Path) -> Result<fs::File> {
    fs::create_dir_all(folder).map_err(|e| NetworkError::file(folder, e))?;
    let path = folder.join("lock");
    let file = fs::File::create(&path).map_err(|e| NetworkError::file(&path, e))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
            Err(fs::TryLockError::Error(e)) => return Err(NetworkError::file(&path, e)),
        }
    }
}
