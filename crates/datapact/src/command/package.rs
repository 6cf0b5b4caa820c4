//! `package`: the packages that one keeps at the storage servers (DS-3).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use datapact_api::problem::{Kind, Problem};
use datapact_api::storage_server::PackageStatus;
use datapact_client::Provider;
use datapact_client::custody::Replacement;
use datapact_client::provider::ChangeShare;
use datapact_core::id::{PackageId, ShareId};
use datapact_core::policy::SharingPolicy;
use serde::Serialize;

use crate::command::desensitize::{Desensitizing, Outgoing, Through};
use crate::command::share::report;
use crate::context::Context;
use crate::failure::Result;

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
    /// Publish other data as the next version of a share, and delete the package and key before at
    /// once
    ///
    /// `share update --file` does the same and leaves those who were just granted access the time
    /// to open it.
    Replace {
        /// The share
        share: ShareId,
        /// The new data, or `-` for standard input
        file: PathBuf,
        /// Their media type; as before if not given
        #[arg(long, value_name = "TYPE/SUBTYPE")]
        media_type: Option<String>,
        #[command(flatten)]
        through: Through,
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
            Verb::Replace { share, file, media_type, through } => {
                replace(context, &share, through.open(&file)?, media_type)
            }
            Verb::Delete { package } => {
                context.output.confirm(format_args!("delete package `{package}` for good?"))?;
                let provider = Provider::new(context.session()?);
                context.block_on(async {
                    if provider.is_named(&package).await? {
                        let problem = Problem::new(Kind::Conflict, "a share names this package");
                        let hint =
                            "revoke the share first, or publish other data with `package replace`";
                        return Err(problem.hint(hint).into());
                    }
                    Ok(provider.delete_package(&package).await?)
                })?;
                context
                    .output
                    .result(&Deleted { deleted: package }, format!("package {package} is deleted"))
            }
        }
    }
}

/// Publishes `data` as the next version of `share`, and destroys what was there before.
pub(crate) fn replace(
    context: &Context,
    share: &ShareId,
    data: Outgoing,
    media_type: Option<String>,
) -> Result<()> {
    let work = data.work.clone();
    let provider = Provider::new(context.session_finishing_work()?);
    let (sink, bar) = context.output.transfer(data.length);
    let set = context.block_on(async {
        let current = provider.show(share).await?.policy;
        let replacement =
            replacement(context, &current, data, media_type, ChangeShare::default(), true)?;
        Ok(provider.replace(share, replacement, sink).await?)
    });
    bar.finish_and_clear();
    report(context, &Desensitizing::outcome(work, set)?)
}

/// What takes the place of a share's data. Before data go out as they are in the place of some that
/// were desensitized, it asks: it may well be the raw file again.
pub(crate) fn replacement(
    context: &Context,
    current: &SharingPolicy,
    data: Outgoing,
    media_type: Option<String>,
    change: ChangeShare,
    destroy_before: bool,
) -> Result<Replacement> {
    if data.work.is_none() && current.information.desensitization.is_some() {
        context.output.confirm(
            "the data of this share was desensitized, but the new file is shared as it is, without \
             rules (`--desensitize RULES`); is it free of everything that must be taken out?",
        )?;
    }
    let desensitization = data.work.as_ref().map(Desensitizing::manifest);
    Ok(Replacement { input: data.input, desensitization, media_type, change, destroy_before })
}

fn row(status: &PackageStatus) -> [String; 4] {
    [
        status.package.id.to_string(),
        status.size.map_or_else(|| "-".to_owned(), |size| size.to_string()),
        if status.stored { "yes" } else { "no" }.to_owned(),
        status.package.address.clone(),
    ]
}
