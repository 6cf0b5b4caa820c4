//! `record`: what stands on the ledger of one's accesses and shares (DC-9, MG-13).

use clap::{Args, Subcommand};
use datapact_api::management::{AccessEntry, UsageEntry};
use datapact_client::consumer::Consumer;
use datapact_core::id::ShareId;

use crate::context::Context;
use crate::failure::Result;
use crate::output;

const AFTER_HELP: &str = "\
Examples:
  datapact record list
  datapact record list --share 5d41... --usage --json";

/// See the access and usage records of your accesses and your shares
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Record {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List access records, oldest first
    List {
        /// Only of this share
        #[arg(long)]
        share: Option<ShareId>,
        /// Usage records instead
        #[arg(long)]
        usage: bool,
    },
}

impl Record {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let Verb::List { share, usage } = self.command;
        let consumer = Consumer::new(context.session()?);
        if usage {
            let usages = context.block_on(async { Ok(consumer.usages(share).await?) })?;
            let rows: Vec<_> = usages.iter().map(usage_row).collect();
            return context.output.list(&usages, ["ENTRY", "TIME", "SHARE", "CONSUMER", "ACTION"], &rows);
        }
        let accesses = context.block_on(async { Ok(consumer.accesses(share).await?) })?;
        let rows: Vec<_> = accesses.iter().map(access_row).collect();
        context.output.list(&accesses, ["ENTRY", "TIME", "SHARE", "CONSUMER", "ACCESS", "PURPOSE"], &rows)
    }
}

fn access_row(entry: &AccessEntry) -> [String; 6] {
    let purpose = entry.request.body().purpose.as_ref();
    [
        entry.position.to_string(),
        output::time(entry.record.time),
        entry.record.request.share.to_string(),
        entry.consumer.identity.to_string(),
        entry.record.access.to_string(),
        purpose.map_or_else(|| "-".to_owned(), ToString::to_string),
    ]
}

fn usage_row(entry: &UsageEntry) -> [String; 5] {
    [
        entry.position.to_string(),
        output::time(entry.record.time),
        entry.record.usage.share.to_string(),
        entry.report.signer().to_string(),
        output::action(entry.report.body().action).to_owned(),
    ]
}
