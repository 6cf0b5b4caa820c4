//! Fabric's programs: found, never installed by us.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use datapact_local::program::{find, named, path_folders};
use datapact_local::{NetworkError, Result, process};

/// Names a folder with Fabric's programs.
pub const FABRIC_BIN: &str = "FABRIC_BIN";
const CHAINCODE: &str = "datapact-chaincode";
/// The oldest version that has what is needed: channels without a system channel, Application V2_5.
const VERSION_MIN: (u32, u32) = (2, 5);
/// What Fabric's programs read their settings from, over the files that a network gives them.
const SETTINGS: [&str; 4] = ["CORE_", "ORDERER_", "CONFIGTX_", "FABRIC_"];
/// How long a command that administers a node may take; they wait for a block at most 30 s
/// themselves.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(90);

/// The programs that a network is made of.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Fabric's `peer`: a node, and how it is administered.
    pub peer: PathBuf,
    /// Fabric's `orderer`.
    pub orderer: PathBuf,
    /// Makes a channel's first block.
    pub configtxgen: PathBuf,
    /// Makes keys and certificates.
    pub cryptogen: PathBuf,
    /// Has orderers join a channel.
    pub osnadmin: PathBuf,
    /// Our chaincode.
    pub chaincode: PathBuf,
    /// What `peer` says its version is: major and minor number, if it is a released one.
    pub version: Option<(u32, u32)>,
}

impl Programs {
    /// Finds Fabric's programs in the folder `bin` or its `bin`, or else in that of [`FABRIC_BIN`],
    /// or else in the PATH, and our chaincode: `chaincode`, or beside this program, or in the PATH.
    ///
    /// # Errors
    /// Which program is missing, where it was looked for, and where Fabric's releases are.
    pub async fn find(bin: Option<&Path>, chaincode: Option<&Path>) -> Result<Self> {
        let named =
            std::env::var_os(FABRIC_BIN).filter(|value| !value.is_empty()).map(PathBuf::from);
        let (folders, place) = match (bin, named) {
            (Some(bin), _) => (below(bin), format!("`{}`", bin.display())),
            (None, Some(bin)) => (below(&bin), format!("`{}` ({FABRIC_BIN})", bin.display())),
            (None, None) => (path_folders(), format!("the PATH, and {FABRIC_BIN} is not set")),
        };
        let find = |name: &str| {
            find(&folders, name).ok_or_else(|| {
                NetworkError::new(
                    format!("Fabric's program `{name}` is not in {place}"),
                    "unpack Fabric's release archive for this machine (v3.1.x, or v2.5.x for Raft \
                     only; https://github.com/hyperledger/fabric/releases) and name its folder \
                     with `--fabric-bin DIR` or FABRIC_BIN",
                )
            })
        };
        let peer = find("peer")?;
        let programs = Self {
            version: version(&peer).await?,
            peer,
            orderer: find("orderer")?,
            configtxgen: find("configtxgen")?,
            cryptogen: find("cryptogen")?,
            osnadmin: find("osnadmin")?,
            chaincode: self::chaincode(chaincode)?,
        };
        match programs.version {
            Some(version) if version < VERSION_MIN => Err(NetworkError::new(
                format!("`{}` is from Fabric {}.{}", programs.peer.display(), version.0, version.1),
                "Fabric 2.5 or newer is needed",
            )),
            _ => Ok(programs),
        }
    }
}

/// `program` with none of Fabric's settings from this process's environment.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if SETTINGS.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// What a command says that administers a node.
pub(super) async fn run(command: Command) -> Result<String> {
    process::run(command, COMMAND_TIMEOUT, "see the nodes' logs in the network's folder").await
}

/// An archive has its programs in `bin`; either folder may be named.
fn below(folder: &Path) -> Vec<PathBuf> {
    vec![folder.to_owned(), folder.join("bin")]
}

fn chaincode(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return named(given, "name the chaincode's program");
    }
    let own = std::env::current_exe().ok();
    let mut folders: Vec<PathBuf> =
        own.iter().filter_map(|own| own.parent()).map(Path::to_owned).collect();
    folders.extend(path_folders());
    find(&folders, CHAINCODE).ok_or_else(|| {
        NetworkError::new(
            format!("the program `{CHAINCODE}` is neither beside this one nor in the PATH"),
            "build it with `cargo build --release -p datapact-chaincode`, and put it beside \
             `datapact`",
        )
    })
}

/// The numbers after `Version:`, such as `v3.1.5`; none for a build that has no release's number.
async fn version(peer: &Path) -> Result<Option<(u32, u32)>> {
    let mut command = command(peer);
    command.arg("version");
    let said = run(command).await?;
    let Some(version) = said.lines().find_map(|line| line.trim().strip_prefix("Version:")) else {
        let detail =
            format!("`{}` is not Fabric's program: `peer version` says no version", peer.display());
        return Err(NetworkError::new(
            detail,
            "name the folder of Fabric's programs with `--fabric-bin DIR`",
        ));
    };
    Ok(numbers(version))
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim().trim_start_matches('v').split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn versions_are_read_as_fabric_writes_them() {
        assert_eq!(numbers(" v3.1.5"), Some((3, 1)));
        assert_eq!(numbers("2.5.16"), Some((2, 5)));
        assert_eq!(numbers("latest"), None);
    }

    #[tokio::test]
    async fn what_is_missing_is_said_with_where_it_was_looked_for_and_where_it_is_had() {
        let empty = tempfile::tempdir().unwrap();
        let error = Programs::find(Some(empty.path()), None).await.unwrap_err().to_string();
        assert!(
            error.contains("`peer`") && error.contains(&*empty.path().to_string_lossy()),
            "{error}"
        );
        assert!(error.contains("github.com/hyperledger/fabric/releases"), "{error}");
    }
}
