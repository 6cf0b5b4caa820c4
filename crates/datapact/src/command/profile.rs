//! `profile`: who one can act as on this machine.

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::context::Context;
use crate::failure::Result;

const AFTER_HELP: &str = "\
A profile is made by `datapact join`. `--profile NAME` or DATAPACT_PROFILE chooses one for a single
command.

Examples:
  datapact profile list
  datapact profile use clinic";

/// Choose who to act as
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Profile {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the profiles of this home
    List,
    /// Make a profile the current one
    Use {
        /// The profile
        name: String,
    },
}

#[derive(Serialize)]
struct Used<'a> {
    name: &'a str,
    current: bool,
}

impl Profile {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let home = context.home()?;
        match self.command {
            Verb::List => {
                let profiles = datapact_client::profile::list(&home)?;
                let rows: Vec<_> = profiles
                    .iter()
                    .map(|profile| {
                        let or = |text: Option<String>, other: &str| {
                            text.unwrap_or_else(|| other.to_owned())
                        };
                        [
                            if profile.current { "*" } else { "" }.to_owned(),
                            profile.name.clone(),
                            or(
                                profile.identity.as_ref().map(ToString::to_string),
                                "(not joined yet)",
                            ),
                            or(profile.management.clone(), ""),
                        ]
                    })
                    .collect();
                context.output.list(&profiles, ["", "NAME", "IDENTITY", "MANAGEMENT"], &rows)
            }
            Verb::Use { name } => {
                home.set_current(&name)?;
                let used = Used { name: &name, current: true };
                context.output.result(&used, format_args!("`{name}` is the current profile"))
            }
        }
    }
}
