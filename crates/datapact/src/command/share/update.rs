//! `share update`: other terms, information or data for a share.

use std::path::PathBuf;

use clap::Args;
use datapact_client::provider::{ChangeShare, Provider};
use datapact_core::id::ShareId;
use datapact_core::permission::AccessPermission;

use super::terms::{TermsArgs, allowed};
use super::text::report;
use crate::command::desensitize::{Desensitizing, Through};
use crate::command::package::replacement;
use crate::context::{Context, now};
use crate::failure::{Failure, Result};
use crate::terms::{FromText, Times};

/// Change terms or information: a new version, signed, for all accesses from now on
#[derive(Args)]
#[command(after_help = "\
What is not given stays. An --allow-* or --purpose option replaces the values of its kind;
--allow-anyone takes all others away; --terms with [allow] replaces who may access as a whole.

Examples:
  datapact share update 5d41... --times 10
  datapact share update 5d41... --allow-country SE,DE,NO --expires 90d
  datapact share update 5d41... --file vitals-2027.csv
  datapact share update 5d41... --file raw-2027.csv --desensitize rules.toml \\
      --pseudonym-key pseudonyms.key")]
pub(super) struct Update {
    /// The share
    share: ShareId,
    #[command(flatten)]
    terms: TermsArgs,
    /// Make the share read-only again
    #[arg(long, conflicts_with = "allow_edit")]
    read_only: bool,
    /// Take the price away
    #[arg(long, conflicts_with = "price")]
    no_price: bool,
    /// Publish these data instead, as the next version under the same contract; `-` for standard
    /// input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    through: Through,
    /// With --file: the media type of the new data; as before if not given
    #[arg(long, value_name = "TYPE/SUBTYPE", requires = "file")]
    media_type: Option<String>,
}

impl Update {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let args = &self.terms;
        let file = args.read()?;
        if file.media_type.is_some() || file.key_server.is_some() || file.storage_server.is_some() {
            return Err(Failure::usage(
                "media type and servers of a share cannot be changed by a terms file",
                "take them out of it; `--file` with `--media-type` publishes other data",
            ));
        }
        // A file that cannot be read is refused before a server is called.
        let data = self.file.as_deref().map(|file| self.through.open(file)).transpose()?;
        let work = data.as_ref().and_then(|data| data.work.clone());
        let provider = Provider::new(context.session_finishing_work()?);
        let (sink, bar) = context.output.transfer(data.as_ref().and_then(|data| data.length));
        let set = context.block_on(async {
            let current = provider.show(&self.share).await?.policy;
            let now = now();
            let terms =
                args.apply(file.allow.as_ref().map_or_else(|| current.terms.clone(), allowed));
            terms
                .validate()
                .map_err(|e| Failure::usage(e, "see `datapact share update --help`"))?;
            // What neither an option nor the terms file gives stays as it is.
            let before = &current.permission;
            let times =
                args.times.map(|Times(times)| times).or(file.times.as_ref().map(|t| t.times()));
            let expires = args.expires.or(file.expires.map(|FromText(moment)| moment));
            let not_before = args.not_before.or(file.not_before.map(|FromText(moment)| moment));
            let edit = if self.read_only {
                Some(false)
            } else {
                args.allow_edit.then_some(true).or(file.allow_edit)
            };
            let permission = AccessPermission {
                access_times: times.unwrap_or(before.access_times),
                expires: expires.map_or(before.expires, |moment| moment.at(now)),
                not_before: not_before.map_or(before.not_before, |moment| moment.at(now)),
                read_only: edit.map_or(before.read_only, |edit| !edit),
            };
            permission
                .validate()
                .map_err(|e| Failure::usage(e, "see `datapact share update --help`"))?;
            let price = if self.no_price { Some(None) } else { args.price(file.price).map(Some) };
            let change = ChangeShare {
                title: args.title.clone().or(file.title),
                categories: args.category.clone().or(file.categories),
                introduction: args.introduction.clone().or(file.introduction),
                usage: args.usage.clone().or(file.usage),
                price,
                terms: (terms != current.terms).then_some(terms),
                permission: (permission != current.permission).then_some(permission),
            };
            if let Some(data) = data {
                let media_type = self.media_type.clone();
                let replacement = replacement(context, &current, data, media_type, change, false)?;
                return Ok(provider.replace(&self.share, replacement, sink).await?);
            }
            if change == ChangeShare::default() {
                return Err(Failure::usage(
                    "nothing is to be changed",
                    "say what, such as `--times 10`",
                ));
            }
            Ok(provider.update(&self.share, change).await?)
        });
        bar.finish_and_clear();
        report(context, &Desensitizing::outcome(work, set)?)
    }
}
