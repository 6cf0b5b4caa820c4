//! What the checks need beside Rust: found on this machine, or made in a cache outside the
//! checkout.
//!
//! Nothing needs root. What is found and made, and what will be skipped, is said before any step
//! runs.

mod cache;
mod postgres;
mod python;
mod testssl;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::succeeds;
use crate::outcome::is_ci;

pub(crate) use cache::folder as cache_folder;

/// Names a Python that has the modules of `testdata/requirements.txt`.
const PYTHON: &str = "DATAPACT_PYTHON";
/// Names a folder with PostgreSQL's server programs.
const POSTGRES: &str = "DATAPACT_POSTGRES";
/// Names a folder with Fabric's programs.
const FABRIC: &str = "FABRIC_BIN";

/// sslyze's version.
const SSLYZE: &str = "testdata/tls/requirements.txt";
/// aics-witness's version.
const WITNESS: &str = "testdata/witness/requirements.txt";

/// Programs of the machine: the name, what it is part of, and what is skipped without it.
const PROGRAMS: [(&str, &str, &str); 6] = [
    ("git", "git", "tidy and conformance"),
    ("cc", "a C compiler", "nothing: the build fails"),
    ("python3", "Python 3", "what checks formats from outside; contracts"),
    ("node", "Node", "ethers.js; contracts"),
    ("npm", "npm", "an Ethereum development node, ethers.js; contracts"),
    ("go", "Go", "GoQuorum; the log's audit by another implementation"),
];

/// What the steps need, as they find it: variables for the programs that they start.
#[derive(Default)]
pub(crate) struct Environment {
    /// Before the PATH.
    folders: Vec<PathBuf>,
    variables: Vec<(&'static str, OsString)>,
    has_postgres: bool,
}

impl Environment {
    /// Finds or makes everything, and says so. Errors, one line each, are what `CI=true` needs and
    /// cannot have; elsewhere it is only told, and the steps skip what needs it.
    pub(crate) fn prepare() -> Result<Self, Vec<String>> {
        eprintln!("== setup");
        let mut this = Self::default();
        let mut lacking = Vec::new();
        this.look_for_programs(&mut lacking);
        let made = [
            add_rust_components(),
            python::add(&mut this),
            postgres::add(&mut this),
            python::add_alone(&mut this, "sslyze", SSLYZE, &[]),
            // It asks for a newer Python than Debian 12 has, and runs on this one.
            python::add_alone(&mut this, "aics-witness", WITNESS, &["--ignore-requires-python"]),
            testssl::add(&mut this),
        ];
        lacking.extend(made.into_iter().filter_map(Result::err));
        look_for_fabric();
        eprintln!("       what npm and Go install for single steps is made when first needed");
        for what in &lacking {
            eprintln!("!!!! lacks {what}");
        }
        if lacking.is_empty() || !is_ci() { Ok(this) } else { Err(lacking) }
    }

    fn look_for_programs(&mut self, lacking: &mut Vec<String>) {
        let mut has = Vec::new();
        for (program, name, skipped) in PROGRAMS {
            if find(program).is_some() {
                has.push(name);
            } else {
                lacking.push(format!("{name} (`{program}`); skipped without it: {skipped}"));
            }
        }
        say("has", &has.join(", "));
    }

    /// For the programs that a step starts.
    pub(crate) fn variables(&self) -> Vec<(&'static str, OsString)> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = self.folders.iter().cloned().chain(env::split_paths(&path));
        // A folder whose name contains a colon cannot be put into the PATH.
        let path = env::join_paths(folders).unwrap_or(path);
        let mut variables = self.variables.clone();
        variables.push(("PATH", path));
        variables
    }

    /// Whether tests can start PostgreSQL and an S3 server.
    pub(crate) fn has_remote_stores(&self) -> bool {
        let made = self.folders.iter().any(|folder| folder.join("rclone").is_file());
        self.has_postgres && (made || find("rclone").is_some())
    }

    /// Prints the variables as a shell's exports, for tests that are run without `cargo xtask`.
    pub(crate) fn print(&self) {
        for (name, value) in self.variables() {
            println!("export {name}='{}'", value.to_string_lossy().replace('\'', "'\\''"));
        }
    }
}

/// rustfmt and clippy, which rustup adds where they are missing.
fn add_rust_components() -> Result<(), String> {
    let has = |name: &str| succeeds(Command::new("cargo").args([name, "--version"]));
    if has("fmt") && has("clippy") {
        say("has", "rustfmt, clippy");
        return Ok(());
    }
    say("makes", "rustfmt and clippy, by rustup");
    if succeeds(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"])) {
        return Ok(());
    }
    Err("rustfmt or clippy, and rustup cannot add them".to_owned())
}

/// Fabric's programs come from its releases alone, which package registries do not have.
fn look_for_fabric() {
    let named = env::var_os(FABRIC).map(PathBuf::from).filter(|folder| {
        folder.join("peer").is_file() || folder.join("bin").join("peer").is_file()
    });
    if let Some(peer) = named.or_else(|| find("peer")) {
        return say("has", &format!("Hyperledger Fabric: {}", peer.display()));
    }
    say(
        "!!!!",
        &format!("skips all tests on Hyperledger Fabric: no `peer` in {FABRIC} or the PATH"),
    );
}

/// A program in the PATH.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn say(what: &str, of_what: &str) {
    eprintln!("{what:<6} {of_what}");
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    Path::new("/proc/self").metadata().is_ok_and(|process| process.uid() == 0)
}
