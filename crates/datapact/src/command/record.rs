//! `record`: what the ledger holds of one's accesses and shares (DC-9, MG-13).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use datapact_api::management::{AccessEntry, UsageEntry};
use datapact_client::consumer::Consumer;
use datapact_core::id::ShareId;

use serde::Serialize;

use crate::context::Context;
use crate::failure::Result;
use crate::files::{self, Target};
use crate::output;

const AFTER_HELP: &str = "\
Examples:
  datapact record list
  datapact record list --share 5d41... --usage --json
  datapact record export --csv -o accesses.csv";

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
    /// Write all records to a file: JSON lines with the signed documents, or a table
    Export {
        /// Only of this share
        #[arg(long)]
        share: Option<ShareId>,
        /// Usage records instead
        #[arg(long)]
        usage: bool,
        /// Comma-separated values (RFC 4180) instead of JSON lines
        #[arg(long)]
        csv: bool,
        /// Where to write them, or `-` for standard output
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
}

#[derive(Serialize)]
struct Exported {
    file: PathBuf,
    records: usize,
}

impl Record {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let consumer = Consumer::new(context.session()?);
        let (share, usage) = match self.command {
            Verb::List { share, usage } => (share, usage),
            Verb::Export { share, usage, csv, output } => {
                let file = Target::create(&output, true, &context.output)?;
                let lines = if usage {
                    let usages = context.block_on(async { Ok(consumer.usages(share).await?) })?;
                    lines(&usages, USAGE_HEAD, usage_row, csv)
                } else {
                    let accesses =
                        context.block_on(async { Ok(consumer.accesses(share).await?) })?;
                    lines(&accesses, ACCESS_HEAD, access_row, csv)
                };
                let records = lines.len() - usize::from(csv);
                let content: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
                let text = format!("{records} records are in {}", files::shown(&output));
                let exported = Exported { file: output, records };
                return file.write(content.as_bytes(), &context.output, &exported, text);
            }
        };
        if usage {
            let usages = context.block_on(async { Ok(consumer.usages(share).await?) })?;
            let rows: Vec<_> = usages.iter().map(usage_row).collect();
            return context.output.list(&usages, USAGE_HEAD, &rows);
        }
        let accesses = context.block_on(async { Ok(consumer.accesses(share).await?) })?;
        let rows: Vec<_> = accesses.iter().map(access_row).collect();
        context.output.list(&accesses, ACCESS_HEAD, &rows)
    }
}

const ACCESS_HEAD: [&str; 7] =
    ["ENTRY", "TIME", "SHARE", "CONSUMER", "ACCESS", "PURPOSE", "REQUEST"];
const USAGE_HEAD: [&str; 5] = ["ENTRY", "TIME", "SHARE", "CONSUMER", "ACTION"];

/// Records as lines of a file.
fn lines<T: Serialize, const N: usize>(
    records: &[T],
    head: [&str; N],
    row: impl Fn(&T) -> [String; N],
    csv: bool,
) -> Vec<String> {
    if !csv {
        let line = |record| serde_json::to_string(record).expect("records are plain JSON");
        return records.iter().map(line).collect();
    }
    let head = head.map(|name| cell(&name.to_lowercase())).join(",");
    std::iter::once(head)
        .chain(records.iter().map(|record| row(record).map(|c| cell(&c)).join(",")))
        .collect()
}

/// A cell of comma-separated values (RFC 4180). A spreadsheet must not take it for a formula.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text != "-";
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

fn access_row(entry: &AccessEntry) -> [String; 7] {
    let purpose = entry.request.body().purpose.as_ref();
    [
        entry.position.to_string(),
        output::time(entry.record.time),
        entry.record.request.share.to_string(),
        entry.consumer.identity.to_string(),
        entry.record.access.to_string(),
        purpose.map_or_else(|| "-".to_owned(), ToString::to_string),
        entry.request.id().to_string(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dc_9_exported_cells_are_plain() {
        assert_eq!(cell("lab:CN=Bob,O=\"Lab\""), "\"lab:CN=Bob,O=\"\"Lab\"\"\"");
        assert_eq!(
            (cell("=1+1"), cell("-"), cell("3")),
            ("'=1+1".to_owned(), "-".to_owned(), "3".to_owned())
        );
        let rows =
            lines(&[1, 2], ["ENTRY", "TWICE"], |n| [n.to_string(), (2 * n).to_string()], true);
        assert_eq!(rows, ["entry,twice", "1,2", "2,4"]);
        assert_eq!(lines(&[1, 2], ["ENTRY"], |n| [n.to_string()], false), ["1", "2"]);
    }
}
