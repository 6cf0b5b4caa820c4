//! `key`: the keys that one keeps at the key servers (KS-6).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use datapact_api::key_server::KeyStatus;
use datapact_client::Provider;
use datapact_core::id::{KeyId, ShareId};
use serde::Serialize;

use crate::command::desensitize::Through;
use crate::command::package::replace;
use crate::context::Context;
use crate::failure::Result;

const AFTER_HELP: &str = "\
Examples:
  datapact key list
  datapact key rotate 5d41... vitals.csv
  datapact key delete 77ae...";

/// See, replace and destroy the keys of your shares
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Key {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List your keys at all key servers
    List,
    /// Seal a share's data again under a new key, and destroy the one before at once
    ///
    /// No server can read the data, so they are given again, and sealed as they are: data that were
    /// shared by `--desensitize` are to be desensitized first, by `desensitize run`.
    Rotate {
        /// The share
        share: ShareId,
        /// The data, or `-` for standard input
        file: PathBuf,
        #[command(flatten)]
        through: Through,
    },
    /// Destroy a key that no current policy names: one of a revoked share, or of an earlier version
    Delete {
        /// The key
        key: KeyId,
    },
}

#[derive(Serialize)]
struct Deleted {
    deleted: KeyId,
}

impl Key {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self.command {
            Verb::List => {
                let provider = Provider::new(context.session()?);
                let keys = context.block_on(async { Ok(provider.keys().await?) })?;
                let rows: Vec<_> = keys.iter().map(row).collect();
                context.output.list(&keys, ["KEY", "SHARE", "STORED", "ADDRESS"], &rows)
            }
            Verb::Rotate { share, file, through } => {
                replace(context, &share, through.open(&file)?, None)
            }
            Verb::Delete { key } => {
                context.output.confirm(format_args!("destroy key `{key}` for good?"))?;
                let provider = Provider::new(context.session()?);
                context.block_on(async { Ok(provider.delete_key(&key).await?) })?;
                context.output.result(&Deleted { deleted: key }, format!("key {key} is destroyed"))
            }
        }
    }
}

fn row(status: &KeyStatus) -> [String; 4] {
    [
        status.key.id.to_string(),
        status.share.map_or_else(|| "-".to_owned(), |share| share.to_string()),
        if status.stored { "yes" } else { "no" }.to_owned(),
        status.key.address.clone(),
    ]
}
