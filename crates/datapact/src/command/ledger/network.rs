//! Networks on one machine as ledgers (features `evm` and `fabric`), and the contract on any chain
//! (`evm`).

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::context::Context;
use crate::failure::{Failure, Result};

/// Where a network is kept when nothing else is said.
pub(super) const DIR: &str = "datapact-ledger";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum NetworkKind {
    /// One Ethereum development node without consensus (anvil)
    Devnode,
    /// GoQuorum validators that agree by QBFT
    Quorum,
    /// Hyperledger Fabric: management's organisation and the key server's, a peer each
    Fabric,
}

/// Which network, and where.
#[derive(Debug, Args)]
pub(super) struct Up {
    /// What kind of network
    kind: NetworkKind,
    /// `quorum`: how many validators agree; with 4, one may fail
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 4,
        value_parser = clap::value_parser!(u8).range(1..=16)
    )]
    validators: u8,
    #[command(flatten)]
    fabric: super::fabric::Options,
    /// The network's folder; one that is there is started again with its state
    #[arg(long, value_name = "DIR", default_value = DIR)]
    pub(super) dir: PathBuf,
    /// Anvil's program; found in the PATH, or installed once by npm into the user's cache
    #[arg(long, value_name = "FILE")]
    anvil: Option<PathBuf>,
    /// GoQuorum's program; built once through the Go module proxy into the user's cache
    #[arg(long, value_name = "FILE")]
    geth: Option<PathBuf>,
}

/// Where the contract goes, and who submits.
#[derive(Debug, Args)]
pub(super) struct Deploy {
    /// A node of the chain; more than one, where there are more
    #[arg(long = "endpoint", value_name = "URL", required = true)]
    endpoints: Vec<String>,
    /// The chain's id
    #[arg(long, value_name = "NUMBER")]
    chain_id: u64,
    /// What a unit of gas costs, in wei
    #[arg(long, value_name = "WEI", default_value_t = 0)]
    gas_price: u64,
    /// How many blocks must follow one before it is final; 0 where finality is immediate (QBFT)
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    confirmations: u64,
    /// How far apart blocks are, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..=60)
    )]
    block_seconds: u64,
    /// The account that may replace the submitter; the submitter itself if not given
    #[arg(long, value_name = "ADDRESS")]
    owner: Option<String>,
    /// The submitter's key file (Web3 Secret Storage); a fresh one beside the output if not given
    #[arg(long, value_name = "FILE", requires = "signer_passphrase_file")]
    key_file: Option<PathBuf>,
    /// The file with the key file's passphrase
    #[arg(long, value_name = "FILE", requires = "key_file")]
    signer_passphrase_file: Option<PathBuf>,
    /// The `ledger.toml` to write; must not exist
    #[arg(short, long, value_name = "FILE", default_value = "ledger.toml")]
    output: PathBuf,
}

/// What a network's folder says of it.
#[derive(Deserialize)]
struct Record {
    kind: String,
}

pub(super) fn up(context: &Context, up: Up) -> Result<()> {
    match up.kind {
        NetworkKind::Fabric => super::fabric::up(context, &up.dir, up.fabric),
        NetworkKind::Devnode | NetworkKind::Quorum => up_chain(context, up),
    }
}

pub(super) fn down(context: &Context, dir: &Path) -> Result<()> {
    let path = dir.join("network.json");
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let hint = "name the folder that `ledger up` was given with `--dir DIR`";
            return Err(Failure::local(format!("`{}` holds no network", dir.display()), hint));
        }
        read => read.map_err(|error| Failure::file("read", &path, &error))?,
    };
    match serde_json::from_str(&text) {
        Ok(Record { kind }) if kind == "fabric" => super::fabric::down(context, dir),
        _ => down_chain(context, dir),
    }
}

#[cfg(not(feature = "evm"))]
pub(crate) fn missing() -> Failure {
    Failure::usage(
        "this program was built without Ethereum-family ledgers",
        "build it with `cargo build --release --features evm`",
    )
}

#[cfg(not(feature = "evm"))]
fn up_chain(_: &Context, up: Up) -> Result<()> {
    let Up { kind: _, validators: _, fabric: _, dir: _, anvil: _, geth: _ } = up;
    Err(missing())
}

#[cfg(not(feature = "evm"))]
fn down_chain(_: &Context, _: &Path) -> Result<()> {
    Err(missing())
}

#[cfg(not(feature = "evm"))]
pub(super) fn deploy(_: &Context, deploy: Deploy) -> Result<()> {
    let Deploy {
        endpoints: _,
        chain_id: _,
        gas_price: _,
        confirmations: _,
        block_seconds: _,
        owner: _,
        key_file: _,
        signer_passphrase_file: _,
        output: _,
    } = deploy;
    Err(missing())
}

#[cfg(feature = "evm")]
pub(super) use with_evm::deploy;
#[cfg(feature = "evm")]
use with_evm::{down_chain, up_chain};

#[cfg(feature = "evm")]
mod with_evm {
    use datapact_api::problem::{Kind as ProblemKind, Problem};
    use datapact_evm::config::{EvmConfig, SignerConfig};
    use datapact_evm::deploy::Deployment;
    use datapact_evm::network::{self, Kind, Network, Running};
    use datapact_evm::rpc::Rpc;
    use datapact_evm::signer;
    use serde::Serialize;

    use super::*;
    use crate::interrupt;
    use crate::output::fields;

    #[derive(Serialize)]
    struct Started<'a> {
        dir: &'a Path,
        ledger: PathBuf,
        nodes: &'a [Running],
    }

    #[derive(Serialize)]
    struct Ended<'a> {
        dir: &'a Path,
    }

    #[derive(Serialize)]
    struct Deployed<'a> {
        contract: String,
        ledger: &'a Path,
        submitter: String,
    }

    pub(super) fn up_chain(context: &Context, up: Up) -> Result<()> {
        let (kind, nodes) = match up.kind {
            NetworkKind::Devnode => (Kind::Devnode, 1),
            _ => (Kind::Quorum, up.validators.into()),
        };
        interrupt::leave_to_command();
        let (network, nodes) = context.block_on(async {
            let program = interrupt::unless_asked_to_end(async {
                let program = match kind {
                    Kind::Devnode => network::anvil(up.anvil.as_deref()).await,
                    Kind::Quorum => network::geth(up.geth.as_deref()).await,
                };
                program.map_err(Failure::from)
            });
            let program = program.await?;
            let mut network = Network::open(&up.dir, kind, nodes).map_err(Failure::from)?;
            let before = network.running();
            let started = async { network.up(&program).await.map_err(Failure::from) };
            let nodes = interrupt::unless_asked_to_end(started).await;
            if nodes.is_err() {
                network.end_all_but(&before).await.map_err(Failure::from)?;
            }
            Ok::<_, Failure>((network, nodes?))
        })?;
        let node = |node: &Running| {
            format!("{} (process {}, {})", node.url, node.process, node.ledger.display())
        };
        let text = fields(&[
            ("ledger", network.ledger_file().display().to_string()),
            ("nodes", nodes.iter().map(node).collect::<Vec<_>>().join("\n")),
            ("end it", format!("datapact ledger down --dir {}", network.dir().display())),
        ]);
        let started = Started { dir: network.dir(), ledger: network.ledger_file(), nodes: &nodes };
        context.output.result(&started, text)
    }

    pub(super) fn down_chain(context: &Context, dir: &Path) -> Result<()> {
        let mut network = Network::existing(dir).map_err(Failure::from)?;
        context.block_on(async { network.down().await.map_err(Failure::from) })?;
        let text = format!(
            "the network in {} is down; `ledger up` starts it again",
            network.dir().display()
        );
        context.output.result(&Ended { dir: network.dir() }, text)
    }

    pub(in super::super) fn deploy(context: &Context, deploy: Deploy) -> Result<()> {
        let output = &deploy.output;
        if output.exists() {
            let detail = format!("`{}` exists", output.display());
            return Err(Failure::usage(
                detail,
                "name another file with `--output`: each contract is a ledger of its own",
            ));
        }
        let owner = deploy.owner.as_deref().map(str::parse).transpose().map_err(|_| {
            Failure::usage(
                "`--owner` is not an account's address",
                "it has 40 hexadecimal digits after `0x`",
            )
        })?;
        let wrong = |error: datapact_ledger::LedgerError| -> Failure {
            match error {
                datapact_ledger::LedgerError::Unavailable(_) => {
                    Problem::new(ProblemKind::Unavailable, error)
                        .hint("check the nodes, and try again")
                        .into()
                }
                error => Failure::local(error, "see docs/ledgers/ethereum.md"),
            }
        };
        // No key is made for a chain that is not there.
        let rpc = Rpc::new(&deploy.endpoints, deploy.chain_id).map_err(wrong)?;
        context.block_on(async { rpc.latest().await.map_err(|error| wrong(error.into())) })?;
        let signer = match (deploy.key_file, deploy.signer_passphrase_file) {
            (Some(key_file), Some(passphrase_file)) => {
                let absolute = |path: PathBuf| {
                    path.canonicalize().map_err(|e| Failure::file("read", &path, &e))
                };
                SignerConfig {
                    key_file: absolute(key_file)?,
                    passphrase_file: absolute(passphrase_file)?,
                }
            }
            _ => {
                let folder =
                    output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let folder =
                    folder.canonicalize().map_err(|e| Failure::file("write", folder, &e))?;
                let (key, passphrase) =
                    (folder.join("signer.json"), folder.join("signer.passphrase"));
                if key.exists() && passphrase.exists() {
                    // Made by a run that could not deploy, or another contract's: which one only
                    // the user knows.
                    let (key, passphrase) = (key.display(), passphrase.display());
                    return Err(Failure::usage(
                        format!("there is an account's key already, `{key}`"),
                        format!(
                            "use it by `--key-file {key} --signer-passphrase-file {passphrase}`, \
                             or write to another folder"
                        ),
                    ));
                }
                signer::make(&folder).map_err(wrong)?.0
            }
        };
        let deployment = Deployment {
            endpoints: deploy.endpoints,
            chain_id: deploy.chain_id,
            gas_price: deploy.gas_price,
            confirmations: deploy.confirmations,
            block_seconds: deploy.block_seconds,
            signer: signer.clone(),
            owner,
        };
        let config = context.block_on(async {
            let config = datapact_evm::deploy::deploy(deployment).await.map_err(wrong)?;
            let key = signer::FileSigner::new(signer).key().await.map_err(wrong)?;
            Ok::<(EvmConfig, _), Failure>((config, key.address()))
        });
        let (config, submitter) = config?;
        std::fs::write(output, config.to_text()).map_err(|e| Failure::file("write", output, &e))?;
        let contract = format!("eip155:{}:{}", config.chain_id, config.contract);
        let text = fields(&[
            ("contract", contract.clone()),
            ("submitter", submitter.to_string()),
            ("ledger", output.display().to_string()),
        ]);
        context
            .output
            .result(&Deployed { contract, ledger: output, submitter: submitter.to_string() }, text)
    }
}
