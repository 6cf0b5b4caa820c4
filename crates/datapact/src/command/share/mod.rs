//! `share`: one's own data under one's own terms (7.3.1; DP-1 to DP-10).

mod create;
mod terms;
mod text;
mod update;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use datapact_client::provider::Provider;
use datapact_core::id::ShareId;

use crate::audit_text;
use crate::context::Context;
use crate::failure::Result;
use crate::files::Target;
use crate::output;
use create::Create;
pub(crate) use text::report;
use update::Update;

const AFTER_HELP: &str = "\
Examples:
  datapact share create vitals.csv --allow-country SE,DE --allow-industry isic4:86 \\
      --times 3 --expires 30d
  datapact share list
  datapact share suspend 5d41...
  datapact share audit 5d41...
  datapact share audit 5d41... --export evidence.json";

/// Share data under terms that you sign, change the terms, end the share, audit it
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Share {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Create(Box<Create>),
    /// List your shares, newest first
    List,
    /// Show one of your shares
    Show(Which),
    Update(Box<Update>),
    /// Stop access until `resume`: at the key server at once, and on the ledger
    Suspend(Which),
    /// Let a suspended share give access again
    Resume(Which),
    /// End access for good: at the key server at once, and on the ledger
    Revoke {
        /// The share
        share: ShareId,
        /// Destroy the keys and packages of all its versions as well, and say who was given access
        /// before
        #[arg(long)]
        erase: bool,
    },
    /// Audit a share: replay the ledger, and compare it with requests, releases and reports
    ///
    /// Follows the log from the last checkpoint that this profile has kept, so that a log which was
    /// rolled back or forked since is found out, and asks each of the log's witnesses what it has
    /// cosigned last, so that an old view of the log is, too. Exit code 8 says that something is
    /// wrong; the report says what.
    Audit(AuditShare),
}

#[derive(Args)]
struct AuditShare {
    /// The share
    share: ShareId,
    /// Write all the evidence to a new file (or to standard output, for `-`), which `datapact
    /// verify` checks without an account. It tells who accessed the share: give it only to those
    /// who may know
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// How old the newest cosignature of each of the log's witnesses may be, such as `5m`
    #[arg(long, value_name = "DURATION", default_value = "5m",
          value_parser = humantime::parse_duration)]
    witness_age: Duration,
}

#[derive(Args)]
struct Which {
    /// The share
    share: ShareId,
}

impl Share {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self.command {
            // Wrong terms are refused before a passphrase is asked for or a server is called.
            Verb::Create(create) => create.run(context),
            Verb::List => {
                let provider = Provider::new(context.session_finishing_work()?);
                let shares = context.block_on(async { Ok(provider.shares().await?) })?;
                let rows: Vec<_> = shares
                    .iter()
                    .map(|share| {
                        [
                            share.policy.share.to_string(),
                            share.policy.information.title.clone(),
                            share.policy.version.to_string(),
                            output::state(share.policy.state).to_owned(),
                            output::time(share.policy.permission.expires),
                            share.accesses.to_string(),
                        ]
                    })
                    .collect();
                context.output.list(
                    &shares,
                    ["SHARE", "TITLE", "VERSION", "STATE", "EXPIRES", "ACCESSES"],
                    &rows,
                )
            }
            Verb::Show(Which { share }) => {
                let provider = Provider::new(context.session_finishing_work()?);
                let view = context.block_on(async { Ok(provider.show(&share).await?) })?;
                context.output.result(&view, text::share(&view))
            }
            Verb::Update(update) => update.run(context),
            Verb::Suspend(Which { share }) => {
                let provider = Provider::new(context.session_finishing_work()?);
                let set = context.block_on(async { Ok(provider.suspend(&share).await?) })?;
                report(context, &set)
            }
            Verb::Resume(Which { share }) => {
                let provider = Provider::new(context.session_finishing_work()?);
                let set = context.block_on(async { Ok(provider.resume(&share).await?) })?;
                report(context, &set)
            }
            Verb::Revoke { share, erase: true } => {
                context.output.confirm(format_args!(
                    "end access to share `{share}` for good, and destroy its key and package?"
                ))?;
                let provider = Provider::new(context.session_finishing_work()?);
                let erased =
                    context.block_on(async { Ok(provider.revoke_and_erase(&share).await?) })?;
                context.output.result(&erased, text::erased(&erased))
            }
            Verb::Revoke { share, erase: false } => {
                context.output.confirm(format_args!("end access to share `{share}` for good?"))?;
                let provider = Provider::new(context.session_finishing_work()?);
                let set = context.block_on(async { Ok(provider.revoke(&share).await?) })?;
                report(context, &set)
            }
            Verb::Audit(AuditShare { share, export, witness_age }) => {
                let provider = Provider::new(context.session_finishing_work()?)
                    .with_witness_seconds(witness_age.as_secs());
                let report = match export {
                    None => {
                        let report =
                            context.block_on(async { Ok(provider.audit(&share).await?) })?;
                        context.output.result(&report, audit_text::report(&report))?;
                        report
                    }
                    Some(path) => {
                        let file = Target::create(&path, true, &context.output)?;
                        let (report, bundle) = context
                            .block_on(async { Ok(provider.audit_with_bundle(&share).await?) })?;
                        let text = audit_text::report(&report);
                        file.write(&bundle.to_bytes()?, &context.output, &report, text)?;
                        report
                    }
                };
                audit_text::verdict(&report.findings)
            }
        }
    }
}
