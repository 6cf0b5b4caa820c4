//! A Fabric channel as a peer shows it (feature `fabric`).

use std::path::Path;

use crate::context::Context;
use crate::failure::Result;

#[cfg(not(feature = "fabric"))]
pub(super) fn info(_: &Context, _: &Path) -> Result<()> {
    Err(super::fabric::missing())
}

#[cfg(not(feature = "fabric"))]
pub(super) fn verify(_: &Context, _: &Path, _: &str) -> Result<()> {
    Err(super::fabric::missing())
}

#[cfg(feature = "fabric")]
pub(super) use with_fabric::{failed, info, verify};

#[cfg(feature = "fabric")]
mod with_fabric {
    use std::sync::Arc;

    use datapact_api::problem::{Kind, Problem};
    use datapact_fabric::gateway::{FabricConfig, Gateway, inspect};
    use datapact_ledger::LedgerError;
    use datapact_log::clock::system_clock;

    use super::*;
    use crate::failure::Failure;
    use crate::output::fields;

    pub(in super::super) fn info(context: &Context, file: &Path) -> Result<()> {
        let gateway = open(file)?;
        let report = context.block_on(async { inspect::channel(&gateway).await.map_err(wrong) })?;
        let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let text = fields(&[
            ("channel", report.channel.clone()),
            ("chaincode", report.chaincode.clone()),
            ("ledger", or_none(&report.ledger)),
            ("submitter", or_none(&report.submitter)),
            ("trust configuration", or_none(&report.trust)),
            ("peer", report.peer.clone()),
            ("blocks", format!("{}, the newest one {}", report.height, report.block_hash)),
            ("orderers' newest block", report.newest_block.to_string()),
        ]);
        context.output.result(&report, text)
    }

    pub(in super::super) fn verify(
        context: &Context,
        file: &Path,
        transaction: &str,
    ) -> Result<()> {
        let gateway = open(file)?;
        let report = context
            .block_on(async { inspect::transaction(&gateway, transaction).await.map_err(wrong) })?;
        let report = report.ok_or_else(|| {
            Failure::untrusted(
                format_args!(
                    "no block of the peer `{}` holds the transaction `{transaction}`",
                    gateway.preferred()
                ),
                "ask another organisation's peer, or see that the peer is not behind",
            )
        })?;
        if let Some(bad) = report.endorsements.iter().find(|endorsement| !endorsement.is_signed) {
            return Err(Failure::untrusted(
                format_args!(
                    "the endorsement of `{}` ({}) is not signed by its certificate's key",
                    bad.subject, bad.msp_id
                ),
                "do not believe this peer; ask another organisation's",
            ));
        }
        let endorsements =
            report.endorsements.iter().map(|it| format!("{}: {}", it.msp_id, it.subject));
        let text = fields(&[
            ("transaction", report.transaction.clone()),
            ("validation code", report.code.clone()),
            (
                "position",
                format!("{}: block {}, place {}", report.position, report.block, report.place),
            ),
            ("endorsed by", endorsements.collect::<Vec<_>>().join("\n")),
            (
                "block",
                format!(
                    "{}, with {} orderers' signatures",
                    report.block_hash, report.orderer_signatures
                ),
            ),
            (
                "chain",
                format!("{} later blocks link to it, up to the newest one", report.linked_blocks),
            ),
            ("not proven", inspect::NOT_PROVEN.to_owned()),
        ]);
        context.output.result(&report, text)
    }

    fn open(file: &Path) -> Result<Arc<Gateway>> {
        Ok(Gateway::new(FabricConfig::load(file).map_err(wrong)?, system_clock()))
    }

    fn wrong(error: LedgerError) -> Failure {
        failed(error, "correct the `ledger.toml`")
    }

    /// What the channel, its nodes or the configuration say; `hint` is for the configuration.
    pub(in super::super) fn failed(error: LedgerError, hint: &str) -> Failure {
        match error {
            LedgerError::Corrupt { .. } => {
                Failure::untrusted(error, "do not believe this peer; ask another organisation's")
            }
            LedgerError::Misconfigured(_) => Failure::local(error, hint),
            error => Problem::new(Kind::Unavailable, error)
                .hint("see that peers and orderers run, and try again")
                .into(),
        }
    }
}
