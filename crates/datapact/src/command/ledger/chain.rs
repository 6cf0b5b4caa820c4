//! The chain of a `ledger.toml`, as its own node or peer shows it: `ledger info --chain`, `ledger
//! verify --chain`.

use std::path::Path;

use serde::Deserialize;

use super::channel;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;

/// The longest `ledger.toml` that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

fn kind(file: &Path) -> Result<String> {
    let wrong = |detail: String| {
        let hint = "see docs/ledgers/ for what a `ledger.toml` says";
        Failure::local(format!("`{}` describes no ledger: {detail}", file.display()), hint)
    };
    let bytes = files::read_small(file, FILE_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).map_err(|e| wrong(e.to_string()))?;
    let Kind { kind } = toml::from_str(text).map_err(|e| wrong(e.message().to_owned()))?;
    match kind.as_str() {
        "ethereum" | "fabric" => Ok(kind),
        other => Err(wrong(format!("its kind `{other}` is none that this program knows"))),
    }
}

pub(super) fn info(context: &Context, file: &Path) -> Result<()> {
    if kind(file)? == "fabric" {
        channel::info(context, file)
    } else {
        ethereum_info(context, file)
    }
}

pub(super) fn verify(context: &Context, file: &Path, transaction: &str) -> Result<()> {
    if kind(file)? == "fabric" {
        channel::verify(context, file, transaction)
    } else {
        ethereum_verify(context, file, transaction)
    }
}

#[cfg(not(feature = "evm"))]
fn ethereum_info(_: &Context, _: &Path) -> Result<()> {
    Err(super::network::missing())
}

#[cfg(not(feature = "evm"))]
fn ethereum_verify(_: &Context, _: &Path, _: &str) -> Result<()> {
    Err(super::network::missing())
}

#[cfg(feature = "evm")]
use with_evm::{ethereum_info, ethereum_verify};

#[cfg(feature = "evm")]
mod with_evm {
    use datapact_api::problem::{Kind as ProblemKind, Problem};
    use datapact_core::contract::Receipt;
    use datapact_evm::config::EvmConfig;
    use datapact_evm::inspect;
    use datapact_ledger::LedgerError;

    use super::*;
    use crate::output::{self, fields};

    pub(super) fn ethereum_info(context: &Context, file: &Path) -> Result<()> {
        let config = EvmConfig::load(file).map_err(failed)?;
        let report = context.block_on(async { inspect::chain(&config).await.map_err(failed) })?;
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let text = fields(&[
            ("chain", report.chain_id.to_string()),
            (
                "contract",
                format!("{}, rules of version {}", report.contract, report.contract_version),
            ),
            ("submitter", or_none(&report.submitter)),
            ("owner", or_none(&report.owner)),
            ("own signer", or_none(&report.signer)),
            ("node", report.node.clone()),
            ("newest block", format!("{}, {}", report.block, report.block_hash)),
            ("made", output::time(report.block_time)),
        ]);
        context.output.result(&report, text)
    }

    pub(super) fn ethereum_verify(context: &Context, file: &Path, transaction: &str) -> Result<()> {
        let config = EvmConfig::load(file).map_err(failed)?;
        let report = context
            .block_on(async { inspect::transaction(&config, transaction).await.map_err(failed) })?;
        let report = report.ok_or_else(|| {
            Failure::untrusted(
                format_args!(
                    "the nodes of `{}` have no block with `{transaction}`",
                    file.display()
                ),
                "see that the node is not behind, and ask another one",
            )
        })?;
        let recorded = match &report.recorded {
            // A repeat succeeds on the chain, and records nothing a second time.
            None if report.succeeded => {
                "nothing: a repeat, or not a call of the contract".to_owned()
            }
            None => "nothing: it was refused".to_owned(),
            Some(recorded) => {
                let what = match &recorded.receipt {
                    Receipt::Policy(record) => format!("policy {}", record.policy.policy),
                    Receipt::Access(record) => {
                        format!("access of request {}", record.request.request)
                    }
                    Receipt::Usage(record) => format!("usage report {}", record.usage.report),
                };
                format!(
                    "{what} of share {}, position {}",
                    recorded.receipt.share(),
                    recorded.position
                )
            }
        };
        let is_final = if report.is_final { "final" } else { "not final yet" };
        let text = fields(&[
            ("transaction", report.transaction.clone()),
            ("recorded", recorded),
            ("block", format!("{}, {}, {is_final}", report.block, report.block_hash)),
            ("made", output::time(report.block_time)),
            ("chain", format!("{} later blocks link to it", report.linked_blocks)),
            ("not proven", inspect::NOT_PROVEN.to_owned()),
        ]);
        context.output.result(&report, text)
    }

    fn failed(error: LedgerError) -> Failure {
        match error {
            LedgerError::Corrupt { .. } => {
                Failure::untrusted(error, "do not believe this node; ask another one")
            }
            LedgerError::Misconfigured(_) => Failure::local(error, "see docs/ledgers/ethereum.md"),
            error => Problem::new(ProblemKind::Unavailable, error)
                .hint("see that the nodes run, and try again")
                .into(),
        }
    }
}
