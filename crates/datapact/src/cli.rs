//! The command tree. Each noun's arguments and what they do stand in one file under `command`.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser};

use crate::command::Command;

const AFTER_HELP: &str = "\
Every option of this page can also be set by its DATAPACT_* variable; the option wins.
Exit codes: 0 done, 1 defect, 2 usage, 3 refused, 4 not allowed, 5 not found, 6 conflict, 7 unavailable,
8 not to be trusted, 9 file, 10 not confirmed, 130 interrupted.";

/// Share data under terms that you sign; no key leaves without a record on the ledger (ITU-T X.1410).
#[derive(Parser)]
#[command(name = "datapact", version, after_help = AFTER_HELP, propagate_version = true)]
#[command(infer_long_args = false, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The profile to act as; the current one if not given
    #[arg(long, global = true, value_name = "NAME", env = "DATAPACT_PROFILE", hide_env_values = true)]
    pub(crate) profile: Option<String>,
    /// The folder of profiles; `~/.datapact` if not given
    #[arg(long, global = true, value_name = "DIR", env = "DATAPACT_HOME", hide_env_values = true)]
    pub(crate) home: Option<PathBuf>,
    /// A file whose first line is the passphrase of the private key; asked for on the terminal if not given
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DATAPACT_PASSPHRASE_FILE",
        hide_env_values = true
    )]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Print JSON: one object, or one a line where there are many
    #[arg(long, global = true, env = "DATAPACT_JSON", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub(crate) json: bool,
    /// Answer every question with yes
    #[arg(long, short, global = true, env = "DATAPACT_YES", value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub(crate) yes: bool,
}
