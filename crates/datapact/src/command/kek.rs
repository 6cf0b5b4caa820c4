//! `kek`: the key that a key server encrypts all others with.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use datapact_server::config::{KeyServerConfig, load};
use datapact_server::key::rotate_kek;

use super::config::config_failure;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::fields;

const AFTER_HELP: &str = "\
`rotate` puts a new key-encryption key into the file and encrypts every stored key with it, while
the server runs. If it is killed, it goes on when it is run again. An older backup of the database
needs the key-encryption key before this one: keep your copy of that key as long as such a backup.

Example:
  datapact kek rotate --config key/key.toml";

/// Change the key that a key server encrypts all others with
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Kek {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a new key-encryption key and encrypt all keys with it, or finish what was begun
    Rotate {
        /// The key server's configuration file
        #[arg(long, value_name = "FILE", env = "DATAPACT_CONFIG", hide_env_values = true)]
        config: PathBuf,
    },
}

impl Kek {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let Verb::Rotate { config } = self.command;
        let config: KeyServerConfig = load(&config).map_err(config_failure)?;
        let done = context.block_on(async {
            let hint = "run it again; the key server works meanwhile, with both versions";
            rotate_kek(&config).await.map_err(|error| Failure::local(error, hint))
        })?;
        let what = if done.resumed { "finished what was begun" } else { "done" };
        let text = fields(&[
            ("rotation", what.to_owned()),
            ("version", done.version.to_string()),
            ("keys re-encrypted", done.keys.to_string()),
        ]);
        context.output.result(&done, text)
    }
}
