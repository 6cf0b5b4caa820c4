//! `verify`: an audit bundle, checked offline.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use datapact_api::trust_file;
use datapact_client::audit::{BUNDLE_BYTES_MAX, Bundle, TrustedInputs};
use datapact_log::audit;
use datapact_log::source::Directory;

use super::ledger::{failure, read_policy};
use crate::audit_text;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;

const AFTER_HELP: &str = "\
Checks every proof and signature in the bundle, decides every access again by the contract, and
compares requests, releases and usage reports with the ledger. It needs no account and contacts no
server.

The bundle brings the log's key, the witnesses' and the CAs. Its author could have made these up,
too: compare them with what you know from elsewhere, or give your own files. Exit code 8 says that
something is wrong.

Examples:
  datapact verify evidence.json
  datapact verify evidence.json --log log-copy --log-policy log-copy/log-policy --trust trust.toml";

/// Verify the evidence that `share audit --export` wrote, offline and without an account
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Verify {
    /// The bundle
    bundle: PathBuf,
    /// A copy of the log (`ledger export`), to see that the bundle leaves nothing out
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// Whose signatures on the log are believed (C2SP tlog-policy); the bundle's if not given
    #[arg(long, value_name = "FILE")]
    log_policy: Option<PathBuf>,
    /// Which CAs are believed (`trust.toml`, as `datapact ca trust` writes it); the bundle's if not
    /// given
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// How old the newest cosignature of each of the log's witnesses may have been when the bundle
    /// was made, such as `5m`
    #[arg(long, value_name = "DURATION", default_value = "5m",
          value_parser = humantime::parse_duration)]
    witness_age: Duration,
}

impl Verify {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let bundle = Bundle::parse(&files::read_small(&self.bundle, BUNDLE_BYTES_MAX)?)?;
        let log_policy = self.log_policy.as_deref().map(read_policy).transpose()?;
        let trust = self.trust.as_deref().map(trust_file::load).transpose();
        let trust = trust.map_err(|e| {
            Failure::usage(
                e,
                "it lists `[[realm]]` with `name` and `ca`; `datapact ca trust` writes one",
            )
        })?;
        let log = match &self.log {
            None => None,
            Some(dir) => {
                // Without a policy of the user's own, the log is checked by the bundle's, which the
                // report lists among what is not proven.
                let policy = match &log_policy {
                    Some(policy) => policy.clone(),
                    None => bundle.log_policy()?,
                };
                let mut entries = Vec::new();
                let mut see = |position, entry: &datapact_log::entry::Entry| {
                    if entry.call.share() == bundle.share() {
                        entries.push((position, entry.clone()));
                    }
                };
                let source = Directory::new(dir);
                let report = context.block_on(async {
                    audit::verify_and_see(&source, &policy, &mut see)
                        .await
                        .map_err(|e| failure(e, dir))
                })?;
                super::ledger::verdict(&report)?;
                Some((entries, report.size))
            }
        };
        let known = TrustedInputs {
            log_policy: log_policy.as_ref(),
            trust: trust.as_ref(),
            log: log.as_ref().map(|(entries, size)| (entries.as_slice(), *size)),
            witness_seconds: Some(self.witness_age.as_secs()),
        };
        let verified = bundle.verify(&known)?;
        context.output.result(&verified, audit_text::bundle(&verified))?;
        audit_text::verdict(&verified.findings)
    }
}
