//! `ledger`: the log that records everything.

mod chain;
mod channel;
mod existing;
pub(crate) mod fabric;
pub(crate) mod network;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use datapact_api::problem::{Kind, Problem};
use datapact_api::public::PublicLog;
use datapact_log::audit::{self, AuditError, Report};
use datapact_log::log_policy::{LogPolicy, POLICY_BYTES_MAX};
use datapact_log::source::{Directory, LogSource as _};
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::{self, fields};

/// The file of an export that says whose signatures the exporter believes. A user with a profile
/// has one of its own.
const LOG_POLICY: &str = "log-policy";

/// How often a server's log is looked at until its witnesses have cosigned it, and how long apart.
const COSIGNED_TRIES: usize = 10;
const COSIGNED_WAIT: Duration = Duration::from_millis(300);

const AFTER_HELP: &str = "\
A log is a C2SP tlog-tiles log: any such tool can read an export. `verify` checks the checkpoint's
signatures, every entry against the tree, and every decision again by the contract; it needs no
server and no account.

Examples:
  datapact ledger info
  datapact ledger export log-copy
  datapact ledger verify log-copy
  datapact ledger verify log-copy --log-policy log-copy/log-policy     (without a profile)
  datapact ledger up quorum --validators 4 --dir my-chain     (on this machine; see docs/ledgers/)
  datapact ledger up fabric --orderers bft --dir my-channel
  datapact ledger describe connection-org1.yaml --msp msp --channel sharing     (existing Fabric)
  datapact ledger down --dir my-chain";

/// See, export and verify the ledger
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Ledger {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show the ledger, its size, and the servers that go with its management
    Info {
        /// Show the chain of this `ledger.toml` instead, as its own node, or peer and orderers, say
        #[arg(long, value_name = "FILE")]
        chain: Option<PathBuf>,
    },
    /// Copy the whole log to a new folder of static files, with the profile's log policy as
    /// `log-policy` in it
    Export {
        /// The folder; must be empty or not exist
        dir: PathBuf,
    },
    /// Audit an exported log, or the profile's ledger if no folder is given
    Verify {
        /// The folder
        dir: Option<PathBuf>,
        /// Whose signatures are believed (C2SP tlog-policy); the profile's if not given
        #[arg(long, value_name = "FILE")]
        log_policy: Option<PathBuf>,
        /// Look at one transaction on the chain of this `ledger.toml` instead
        #[arg(
            long,
            value_name = "FILE",
            requires = "transaction",
            conflicts_with_all = ["dir", "log_policy"]
        )]
        chain: Option<PathBuf>,
        /// The transaction's id (Fabric) or hash (Ethereum)
        #[arg(long, value_name = "ID", requires = "chain")]
        transaction: Option<String>,
    },
    /// Start a network on this machine, and describe it in `DIR/ledger.toml`
    Up(network::Up),
    /// End the network of a folder; its state stays for the next `up`
    Down {
        /// The network's folder
        #[arg(long, value_name = "DIR", default_value = network::DIR)]
        dir: PathBuf,
    },
    /// Describe a Fabric channel in a `ledger.toml`, from a connection profile and what the channel
    /// says of its orderers
    Describe(existing::Describe),
    /// The contract on a chain
    #[command(subcommand, arg_required_else_help = true)]
    Contract(Contract),
}

/// The chain on which shares are decided, where that is not the log itself.
#[derive(Subcommand)]
enum Contract {
    /// Put the contract on an Ethereum-family chain and describe it in a `ledger.toml`; without
    /// `--key-file`, with a fresh account
    Deploy(network::Deploy),
    /// Make the chaincode's package for a Fabric peer: the same bytes for the same options, and so
    /// the same id
    Package(existing::Package),
}

#[derive(Serialize)]
struct Exported<'a> {
    folder: &'a Path,
    entries: u64,
}

impl Ledger {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self.command {
            Verb::Info { chain: Some(file) } => chain::info(context, &file),
            Verb::Verify { chain: Some(file), transaction: Some(transaction), .. } => {
                chain::verify(context, &file, &transaction)
            }
            Verb::Info { chain: None } => {
                let session = context.session()?;
                let info = context.block_on(async { Ok(session.info().await?) })?;
                let urls = |servers: &[datapact_api::endpoint::Endpoint]| {
                    servers.iter().map(|server| server.url.clone()).collect::<Vec<_>>().join("\n")
                };
                let text = fields(&[
                    ("management", info.name.clone()),
                    ("ledger", info.ledger.clone()),
                    ("kind", info.ledger_kind.clone()),
                    ("contract", info.ledger_contract.clone().unwrap_or_else(|| "-".to_owned())),
                    ("entries", info.size.to_string()),
                    ("key servers", urls(&info.key_servers)),
                    ("storage servers", urls(&info.storage_servers)),
                ]);
                context.output.result(&info, text)
            }
            Verb::Up(up) => network::up(context, up),
            Verb::Down { dir } => network::down(context, &dir),
            Verb::Describe(describe) => existing::describe(context, describe),
            Verb::Contract(Contract::Deploy(deploy)) => network::deploy(context, deploy),
            Verb::Contract(Contract::Package(package)) => existing::package(context, package),
            Verb::Export { dir } => {
                let session = context.session()?;
                let source = PublicLog(session.public());
                let policy = context.profile()?.log_policy().clone();
                let exported = async {
                    // A copy whose checkpoint lacks cosignatures would not verify.
                    for _ in 1..COSIGNED_TRIES {
                        let note = source.fetch("checkpoint").await.ok().flatten();
                        if note.is_some_and(|note| policy.open(&note).is_ok()) {
                            break;
                        }
                        tokio::time::sleep(COSIGNED_WAIT).await;
                    }
                    audit::export(&source, &dir).await.map_err(|e| failure(e, &dir))
                };
                let entries = context.block_on(exported)?;
                let policy = dir.join(LOG_POLICY);
                std::fs::write(&policy, context.profile()?.log_policy().to_string())
                    .map_err(|error| Failure::file("write", &policy, &error))?;
                let text = format!("{entries} entries in {}", dir.display());
                context.output.result(&Exported { folder: &dir, entries }, text)
            }
            Verb::Verify { dir, log_policy, .. } => {
                let policy = match log_policy {
                    Some(path) => read_policy(&path)?,
                    None => context.profile()?.log_policy().clone(),
                };
                let report = match &dir {
                    Some(dir) => {
                        let source = Directory::new(dir);
                        context.block_on(async {
                            audit::verify(&source, &policy).await.map_err(|e| failure(e, dir))
                        })?
                    }
                    None => {
                        let session = context.session()?;
                        let source = PublicLog(session.public());
                        let verified = async {
                            for _ in 1..COSIGNED_TRIES {
                                match audit::verify(&source, &policy).await {
                                    // Its newest checkpoint may be waiting for the witnesses'
                                    // cosignatures.
                                    Ok(report) if report.log.is_none() => {
                                        tokio::time::sleep(COSIGNED_WAIT).await
                                    }
                                    verified => {
                                        return verified.map_err(|e| failure(e, Path::new("-")));
                                    }
                                }
                            }
                            audit::verify(&source, &policy)
                                .await
                                .map_err(|e| failure(e, Path::new("-")))
                        };
                        context.block_on(verified)?
                    }
                };
                finish(context, &report)
            }
        }
    }
}

pub(super) fn read_policy(path: &Path) -> Result<LogPolicy> {
    let bytes = files::read_small(path, POLICY_BYTES_MAX as u64)?;
    let wrong = |detail: String| {
        Failure::usage(
            format!("`{}` is not a log policy: {detail}", path.display()),
            "it has a `log` line, `witness` lines and a `quorum` line (C2SP tlog-policy)",
        )
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    text.parse().map_err(|e: datapact_log::log_policy::PolicyError| wrong(e.to_string()))
}

pub(super) fn failure(error: AuditError, dir: &Path) -> Failure {
    match error {
        AuditError::Source(_) => {
            Problem::new(Kind::Unavailable, error).hint("check the folder or the server").into()
        }
        AuditError::Write(cause) => Failure::file("write", dir, &cause),
        AuditError::Occupied(_) => {
            Failure::local(error, "name a folder that is empty or not there")
        }
    }
}

/// A log that is wrong is a failure, and says at which entry.
pub(super) fn verdict(report: &Report) -> Result<()> {
    let Some(fault) = &report.fault else { return Ok(()) };
    let at = fault.position.map_or_else(String::new, |position| format!("entry {position}: "));
    Err(Failure::untrusted(
        format_args!("the log does not verify: {at}{}", fault.reason),
        "keep the files as evidence, and compare with another copy of the log",
    ))
}

fn finish(context: &Context, report: &Report) -> Result<()> {
    verdict(report)?;
    let text = fields(&[
        ("log", report.log.clone().unwrap_or_default()),
        ("entries", format!("{}, all verified and replayed", report.size)),
        (
            "cosigned by",
            if report.witnesses.is_empty() { "-".to_owned() } else { report.witnesses.join(", ") },
        ),
        ("newest", report.time.map_or_else(|| "-".to_owned(), output::time)),
    ]);
    context.output.result(report, text)
}
