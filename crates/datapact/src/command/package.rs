//! `package`: the packages that one keeps at the storage servers (DS-3).

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use datapact_api::storage_server::PackageStatus;
use datapact_client::Provider;
use datapact_client::custody::Replacement;
use datapact_client::provider::ChangeShare;
use datapact_core::id::{PackageId, ShareId};
use datapact_core::policy::SharingPolicy;
use serde::Serialize;

use crate::command::share::report;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;

const AFTER_HELP: &str = "\
Examples:
  datapact package list
  datapact package replace 5d41... vitals-2027.csv
  datapact package delete 90bc...";

/// See, replace and delete the packages of your shares
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Package {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List your packages at all storage servers
    List,
    /// Publish other data as the next version of a share, and delete the package and key before at once
    ///
    /// `share update --file` does the same and leaves those who were just granted access the time to open it. The file
    /// is shared as it is: where rules are needed, let `desensitize run` make it.
    Replace {
        /// The share
        share: ShareId,
        /// The new data, or `-` for standard input
        file: PathBuf,
        /// Their media type; as before if not given
        #[arg(long, value_name = "TYPE/SUBTYPE")]
        media_type: Option<String>,
    },
    /// Delete a package that no active share names
    Delete {
        /// The package
        package: PackageId,
    },
}

#[derive(Serialize)]
struct Deleted {
    deleted: PackageId,
}

impl Package {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self.command {
            Verb::List => {
                let provider = Provider::new(context.session()?);
                let packages = context.block_on(async { Ok(provider.packages().await?) })?;
                let rows: Vec<_> = packages.iter().map(row).collect();
                context.output.list(&packages, ["PACKAGE", "SIZE", "STORED", "ADDRESS"], &rows)
            }
            Verb::Replace { share, file, media_type } => replace(context, &share, &file, media_type, true),
            Verb::Delete { package } => {
                context.output.confirm(format_args!("delete package `{package}` for good?"))?;
                let provider = Provider::new(context.session()?);
                context.block_on(async {
                    if provider.is_named(&package).await? {
                        return Err(Failure::usage(
                            "a share names this package",
                            "revoke the share first, or publish other data with `package replace`",
                        ));
                    }
                    Ok(provider.delete_package(&package).await?)
                })?;
                context.output.result(&Deleted { deleted: package }, format!("package {package} is deleted"))
            }
        }
    }
}

/// Publishes `file` as the next version of `share`.
pub(crate) fn replace(
    context: &Context,
    share: &ShareId,
    file: &Path,
    media_type: Option<String>,
    destroy_before: bool,
) -> Result<()> {
    let (input, length) = files::open_input_to_send(file)?;
    let provider = Provider::new(context.session_finishing_work()?);
    let (sink, bar) = context.output.transfer(length);
    let replacement = Replacement { input, media_type, change: ChangeShare::default(), destroy_before };
    let set = context.block_on(async {
        confirm_raw(context, &provider.show(share).await?.policy)?;
        Ok(provider.replace(share, replacement, sink).await?)
    });
    bar.finish_and_clear();
    report(context, &set?)
}

/// Asks before data go out as they are in the place of some that were desensitized: it may well be the raw file again.
pub(crate) fn confirm_raw(context: &Context, current: &SharingPolicy) -> Result<()> {
    if current.information.desensitization.is_none() {
        return Ok(());
    }
    context.output.confirm(
        "the data of this share were desensitized, and the file is shared as it is, without rules; is nothing in it \
         that must be taken out?",
    )
}

fn row(status: &PackageStatus) -> [String; 4] {
    [
        status.package.id.to_string(),
        status.size.map_or_else(|| "-".to_owned(), |size| size.to_string()),
        if status.stored { "yes" } else { "no" }.to_owned(),
        status.package.address.clone(),
    ]
}
