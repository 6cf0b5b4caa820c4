//! `security`: the log of refusals and deeds that each server writes.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use datapact_api::problem::{Kind, Problem};
use datapact_server::security_log::{ChainError, verify};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::fields;

const AFTER_HELP: &str = "\
Each line of a security log has the digest of the line before, so a line that was changed, taken
out or put in is found. Lines that were cut off at the end are not: keep the digest that this
command prints, or have the server send its lines elsewhere.

Example:
  datapact security verify data/security.log.* data/security.log";

/// Verify a server's security log
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Security {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Check that each line continues the one before
    Verify {
        /// The files, oldest first: those put aside, then the current one
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
}

impl Security {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let Verb::Verify { files } = self.command;
        let mut first = None;
        let mut found = None;
        for path in &files {
            let file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
            let checked = verify(BufReader::new(file), found.as_ref()).map_err(|error| {
                let detail = format!("`{}`: {error}", path.display());
                match error {
                    ChainError::Read(error) => Failure::file("read", path, &error),
                    _ => Problem::new(Kind::Untrusted, detail)
                        .hint("compare it with what syslog or the collector has received")
                        .into(),
                }
            })?;
            first = first.or(checked.first.map(|number| (number, checked.previous)));
            found = Some(checked);
        }
        let Some(mut found) = found else { return Ok(()) };
        found.first = first.map(|(number, _)| number);
        found.previous = first.and_then(|(_, previous)| previous);
        let text = fields(&[
            (
                "lines",
                found.first.map_or("none".into(), |first| format!("{first} to {}", found.last)),
            ),
            ("newest", found.digest.map_or("none".into(), |digest| digest.to_string())),
        ]);
        context.output.result(&found, text)
    }
}
