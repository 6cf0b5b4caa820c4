//! `share create`: a file and its terms become a share.

use std::path::PathBuf;

use clap::Args;
use datapact_client::provider::{CreateShare, Provider};
use datapact_core::permission::AccessPermission;

use super::terms::{TermsArgs, allowed};
use super::text::report;
use crate::command::desensitize::{Desensitizing, Outgoing, Through};
use crate::context::{Context, now};
use crate::failure::{Failure, Result};
use crate::terms::{FromText, Times};
use crate::{files, media_type};

const CREATE_HELP: &str = "\
Values of one --allow-* kind are alternatives; all kinds that are given must hold. Without any,
say --allow-anyone. A user is written as realm:subject and the option repeated for more.

Examples:
  datapact share create vitals.csv --allow-country SE,DE --allow-industry isic4:86 \\
      --purpose research --times 3 --expires 30d --category vitals --price 10.00EUR
  datapact share create notes.txt --allow-user 'lab:CN=Bob,O=Lab' --times unlimited \\
      --expires 2027-01-31
  datapact share create vitals.csv --terms terms.toml
  datapact share create raw.csv --desensitize rules.toml --terms terms.toml

A terms file; options win over it:
  title = \"Vitals\"
  times = 3                    # or \"unlimited\"
  expires = \"30d\"
  categories = [\"vitals\"]
  price = \"10.00EUR\"
  [allow]
  countries = [\"SE\", \"DE\"]
  industries = [\"isic4:86\"]
  purposes = [\"research\"]
  # also: users, organisations, anyone = true
  # before [allow] also: media_type, introduction, usage, not_before, allow_edit, key_server,
  # storage_server";

/// Share a file: it is sealed here, and only ciphertext leaves this machine
#[derive(Args)]
#[command(after_help = CREATE_HELP)]
pub(super) struct Create {
    /// The file to share, or `-` for standard input
    file: PathBuf,
    #[command(flatten)]
    terms: TermsArgs,
    /// The media type of the data; by the file's extension if not given
    #[arg(long, value_name = "TYPE/SUBTYPE")]
    media_type: Option<String>,
    /// The key server, by name or URL; the first configured one if not given
    #[arg(long, value_name = "NAME")]
    key_server: Option<String>,
    /// The storage server, by name or URL; the first configured one if not given
    #[arg(long, value_name = "NAME")]
    storage_server: Option<String>,
    #[command(flatten)]
    through: Through,
}

impl Create {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let mut create = self.to_create()?;
        if !files::is_stream(&self.file)
            && std::fs::metadata(&self.file).is_ok_and(|file| file.len() == 0)
        {
            return Err(Failure::usage(
                format!("`{}` is empty", self.file.display()),
                "share a file with data",
            ));
        }
        let Outgoing { input, length, work } = self.through.open(&self.file)?;
        create.desensitization = work.as_ref().map(Desensitizing::manifest);
        let session = context.session_finishing_work()?;
        let (sink, bar) = context.output.transfer(length);
        let provider = Provider::new(session);
        let set = context.block_on(async { Ok(provider.create_share(input, create, sink).await?) });
        bar.finish_and_clear();
        report(context, &Desensitizing::outcome(work, set)?)
    }

    fn to_create(&self) -> Result<CreateShare> {
        let args = &self.terms;
        let file = args.read()?;
        let terms = args.apply(file.allow.as_ref().map(allowed).unwrap_or_default());
        let missing = |what: &str, example: &str| {
            Failure::usage(
                format!("say {what}"),
                format!("add `{example}`, or set it in a terms file"),
            )
        };
        if terms.users.is_empty()
            && terms.organisations.is_empty()
            && terms.industries.is_empty()
            && terms.countries.is_empty()
            && !terms.anyone
        {
            return Err(missing(
                "who may access",
                "--allow-country SE` or another `--allow-*`, or `--allow-anyone",
            ));
        }
        terms.validate().map_err(|e| Failure::usage(e, "see `datapact share create --help`"))?;
        // An option wins over the terms file.
        let times = args.times.map(|Times(times)| times).or(file.times.as_ref().map(|t| t.times()));
        let expires = args.expires.or(file.expires.map(|FromText(moment)| moment));
        let not_before = args.not_before.or(file.not_before.map(|FromText(moment)| moment));
        let now = now();
        let permission = AccessPermission {
            access_times: times
                .ok_or_else(|| missing("the access times", "--times 3` or `--times unlimited"))?,
            expires: expires.ok_or_else(|| missing("when access ends", "--expires 30d"))?.at(now),
            not_before: not_before.map_or(now, |moment| moment.at(now)),
            read_only: !(args.allow_edit || file.allow_edit.unwrap_or(false)),
        };
        permission
            .validate()
            .map_err(|e| Failure::usage(e, "see `datapact share create --help`"))?;
        let name = self.file.file_name().filter(|_| !files::is_stream(&self.file));
        let title = args
            .title
            .clone()
            .or(file.title)
            .or(name.map(|name| name.to_string_lossy().into_owned()));
        Ok(CreateShare {
            title: title.ok_or_else(|| missing("the title", "--title TEXT"))?,
            media_type: self
                .media_type
                .clone()
                .or(file.media_type)
                .unwrap_or_else(|| media_type::of(&self.file).to_owned()),
            categories: args.category.clone().or(file.categories).unwrap_or_default(),
            introduction: args.introduction.clone().or(file.introduction).unwrap_or_default(),
            usage: args.usage.clone().or(file.usage).unwrap_or_default(),
            price: args.price(file.price),
            terms,
            permission,
            key_server: self.key_server.clone().or(file.key_server),
            storage_server: self.storage_server.clone().or(file.storage_server),
            desensitization: None,
        })
    }
}
