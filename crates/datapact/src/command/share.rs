//! `share`: one's own data under one's own terms (7.3.1; DP-1 to DP-10).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use datapact_client::custody::ErasedShare;
use datapact_client::provider::{ChangeShare, CreateShare, Provider, SetShare, ShareView};
use datapact_core::id::ShareId;
use datapact_core::identity::Identity;
use datapact_core::permission::AccessPermission;
use datapact_core::policy::Price;
use datapact_core::terms::{Country, Industry, Name, Terms};

use crate::command::desensitize::{Desensitizing, Outgoing, Through};
use crate::command::package::replacement;
use crate::context::{Context, now};
use crate::failure::{Failure, Result};
use crate::files::Target;
use crate::output::{self, fields, table};
use crate::price::PriceText;
use crate::terms::{FromText, Moment, TermsFile, Times};
use crate::{audit_text, files, media_type};

const AFTER_HELP: &str = "\
Examples:
  datapact share create vitals.csv --allow-country SE,DE --allow-industry isic4:86 --times 3 --expires 30d
  datapact share list
  datapact share suspend 5d41...
  datapact share audit 5d41...
  datapact share audit 5d41... --export evidence.json";

/// Share data under terms that you sign, change the terms, end the share, audit it
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Share {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Create(Box<Create>),
    /// List your shares, newest first
    List,
    /// Show one of your shares
    Show(Which),
    Update(Box<Update>),
    /// Stop access until `resume`: at the key server at once, and on the ledger
    Suspend(Which),
    /// Let a suspended share give access again
    Resume(Which),
    /// End access for good: at the key server at once, and on the ledger
    Revoke {
        /// The share
        share: ShareId,
        /// Destroy the keys and packages of all its versions as well, and say who was given access
        /// before
        #[arg(long)]
        erase: bool,
    },
    /// Audit a share: replay the ledger, and compare it with requests, releases and reports
    ///
    /// Follows the log from the last checkpoint that this profile has kept, so that a log which was
    /// rolled back or forked since is found out. Exit code 8 says that something is wrong; the
    /// report says what.
    Audit(AuditShare),
}

#[derive(Args)]
struct AuditShare {
    /// The share
    share: ShareId,
    /// Write all the evidence to a new file (or to standard output, for `-`), which `datapact
    /// verify` checks without an account. It tells who accessed the share: give it to nobody who
    /// may not know
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

#[derive(Args)]
struct Which {
    /// The share
    share: ShareId,
}

const CREATE_HELP: &str = "\
Values of one --allow-* kind are alternatives; all kinds that are given must hold. Without any, say
--allow-anyone. A user is written as realm:subject and the option repeated for more.

Examples:
  datapact share create vitals.csv --allow-country SE,DE --allow-industry isic4:86 --purpose research \\
      --times 3 --expires 30d --category vitals --price 10.00EUR
  datapact share create notes.txt --allow-user 'lab:CN=Bob,O=Lab' --times unlimited --expires 2027-01-31
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
  # before [allow] also: media_type, introduction, usage, not_before, allow_edit, key_server, storage_server";

/// Share a file: it is sealed here, and only ciphertext leaves this machine
#[derive(Args)]
#[command(after_help = CREATE_HELP)]
struct Create {
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

/// Change terms or information: a new version, signed, for all accesses from now on
#[derive(Args)]
#[command(after_help = "\
What is not given stays. An --allow-* or --purpose option replaces the values of its kind; --allow-anyone takes
all others away; --terms with [allow] replaces who may access as a whole.

Examples:
  datapact share update 5d41... --times 10
  datapact share update 5d41... --allow-country SE,DE,NO --expires 90d
  datapact share update 5d41... --file vitals-2027.csv
  datapact share update 5d41... --file raw-2027.csv --desensitize rules.toml --pseudonym-key pseudonyms.key")]
struct Update {
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

#[derive(Args)]
struct TermsArgs {
    /// A terms file (TOML)
    #[arg(long, value_name = "FILE")]
    terms: Option<PathBuf>,
    /// Countries that may access, such as `SE,DE` (ISO 3166-1)
    #[arg(long, value_name = "CODE,...", value_delimiter = ',')]
    allow_country: Option<Vec<Country>>,
    /// Industries that may access, with all below them, such as `isic4:86`
    #[arg(long, value_name = "CODE,...", value_delimiter = ',')]
    allow_industry: Option<Vec<Industry>>,
    /// A user who may access, as `realm:subject`; may be repeated
    #[arg(long, value_name = "IDENTITY")]
    allow_user: Option<Vec<Identity>>,
    /// Organisations that may access
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    allow_organisation: Option<Vec<Name>>,
    /// Let anyone with an account access
    #[arg(long)]
    allow_anyone: bool,
    /// Purposes, one of which a consumer must state
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    purpose: Option<Vec<Name>>,
    /// How often each consumer may access: a number, or `unlimited`
    #[arg(long, value_name = "N")]
    times: Option<Times>,
    /// When access ends: `30d` from now, or a date
    #[arg(long, value_name = "WHEN")]
    expires: Option<Moment>,
    /// When access begins; now if not given
    #[arg(long, value_name = "WHEN")]
    not_before: Option<Moment>,
    /// Let consumers edit and export the data; they may only look if not given
    #[arg(long)]
    allow_edit: bool,
    /// A name for people; the file's name if not given
    #[arg(long)]
    title: Option<String>,
    /// Categories
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    category: Option<Vec<Name>>,
    /// An introduction
    #[arg(long, value_name = "TEXT")]
    introduction: Option<String>,
    /// What the data is meant for
    #[arg(long, value_name = "TEXT")]
    usage: Option<String>,
    /// What it costs, such as `10.00EUR`; Datapact does not collect it
    #[arg(long, value_name = "PRICE")]
    price: Option<PriceText>,
}

impl Share {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self.command {
            // Wrong terms are refused before a passphrase is asked for or a server is called.
            Verb::Create(create) => create.run(context),
            Verb::List => {
                let provider = Provider::new(context.session_finishing_work()?);
                let shares = context.block_on(async { Ok(provider.shares().await?) })?;
                let rows: Vec<_> = shares
                    .iter()
                    .map(|share| {
                        [
                            share.policy.share.to_string(),
                            share.policy.information.title.clone(),
                            share.policy.version.to_string(),
                            output::state(share.policy.state).to_owned(),
                            output::time(share.policy.permission.expires),
                            share.accesses.to_string(),
                        ]
                    })
                    .collect();
                context.output.list(
                    &shares,
                    ["SHARE", "TITLE", "VERSION", "STATE", "EXPIRES", "ACCESSES"],
                    &rows,
                )
            }
            Verb::Show(Which { share }) => {
                let provider = Provider::new(context.session_finishing_work()?);
                let view = context.block_on(async { Ok(provider.show(&share).await?) })?;
                context.output.result(&view, text(&view))
            }
            Verb::Update(update) => update.run(context),
            Verb::Suspend(Which { share }) => {
                let provider = Provider::new(context.session_finishing_work()?);
                let set = context.block_on(async { Ok(provider.suspend(&share).await?) })?;
                report(context, &set)
            }
            Verb::Resume(Which { share }) => {
                let provider = Provider::new(context.session_finishing_work()?);
                let set = context.block_on(async { Ok(provider.resume(&share).await?) })?;
                report(context, &set)
            }
            Verb::Revoke { share, erase: true } => {
                context.output.confirm(format_args!(
                    "end access to share `{share}` for good, and destroy its key and package?"
                ))?;
                let provider = Provider::new(context.session_finishing_work()?);
                let erased =
                    context.block_on(async { Ok(provider.revoke_and_erase(&share).await?) })?;
                context.output.result(&erased, erased_text(&erased))
            }
            Verb::Revoke { share, erase: false } => {
                context.output.confirm(format_args!("end access to share `{share}` for good?"))?;
                let provider = Provider::new(context.session_finishing_work()?);
                let set = context.block_on(async { Ok(provider.revoke(&share).await?) })?;
                report(context, &set)
            }
            Verb::Audit(AuditShare { share, export }) => {
                let provider = Provider::new(context.session_finishing_work()?);
                let report = match export {
                    None => {
                        let report =
                            context.block_on(async { Ok(provider.audit(&share).await?) })?;
                        context.output.result(&report, audit_text::report(&report))?;
                        report
                    }
                    Some(path) => {
                        let file = Target::create(&path, true, &context.output)?;
                        let (report, bundle) = context
                            .block_on(async { Ok(provider.audit_with_bundle(&share).await?) })?;
                        let text = audit_text::report(&report);
                        file.write(&bundle.to_bytes()?, &context.output, &report, text)?;
                        report
                    }
                };
                audit_text::verdict(&report.findings)
            }
        }
    }
}

impl Create {
    fn run(self, context: &Context) -> Result<()> {
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
                format!("{what} must be said"),
                format!("add `{example}`, or say it in a terms file"),
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

impl Update {
    fn run(self, context: &Context) -> Result<()> {
        let args = &self.terms;
        let file = args.read()?;
        if file.media_type.is_some() || file.key_server.is_some() || file.storage_server.is_some() {
            return Err(Failure::usage(
                "media type and servers of a share cannot be changed by a terms file",
                "take them out of it; `--file` with `--media-type` publishes other data",
            ));
        }
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

impl TermsArgs {
    fn read(&self) -> Result<TermsFile> {
        self.terms.as_deref().map_or_else(|| Ok(TermsFile::default()), TermsFile::read)
    }

    fn price(&self, file: Option<FromText<PriceText>>) -> Option<Price> {
        self.price.clone().or(file.map(|FromText(price)| price)).map(|PriceText(price)| price)
    }

    /// `terms`, with each kind replaced that an option gives.
    fn apply(&self, mut terms: Terms) -> Terms {
        if self.allow_anyone {
            let purposes = std::mem::take(&mut terms.purposes);
            terms = Terms { anyone: true, purposes, ..Terms::default() };
        }
        let restricted = self.allow_user.is_some()
            || self.allow_organisation.is_some()
            || self.allow_industry.is_some()
            || self.allow_country.is_some();
        if restricted && !self.allow_anyone {
            terms.anyone = false;
        }
        fn replace<T: Ord + Clone>(
            set: &mut std::collections::BTreeSet<T>,
            values: &Option<Vec<T>>,
        ) {
            if let Some(values) = values {
                *set = values.iter().cloned().collect();
            }
        }
        replace(&mut terms.users, &self.allow_user);
        replace(&mut terms.organisations, &self.allow_organisation);
        replace(&mut terms.industries, &self.allow_industry);
        replace(&mut terms.countries, &self.allow_country);
        replace(&mut terms.purposes, &self.purpose);
        terms
    }
}

/// Who may access, by a terms file.
fn allowed(allow: &crate::terms::Allow) -> Terms {
    Terms {
        anyone: allow.anyone,
        users: allow.users.iter().map(|FromText(user)| user.clone()).collect(),
        organisations: allow.organisations.iter().cloned().collect(),
        industries: allow.industries.iter().cloned().collect(),
        countries: allow.countries.iter().cloned().collect(),
        purposes: allow.purposes.iter().cloned().collect(),
    }
}

fn erased_text(erased: &ErasedShare) -> String {
    let mut text = fields(&[
        ("share", erased.share.to_string()),
        ("revoked", if erased.revoked.is_some() { "now" } else { "before" }.to_owned()),
        ("key destroyed", erased.key.to_string()),
        ("package deleted", erased.package.to_string()),
    ]);
    let rows: Vec<_> = erased
        .opened
        .iter()
        .map(|opened| {
            [opened.consumer.to_string(), opened.accesses.to_string(), output::time(opened.last)]
        })
        .collect();
    if rows.is_empty() && erased.erased == 0 {
        text.push_str("\nnobody was given access before\n");
        return text;
    }
    text.push_str("\nwere given access before, and may have kept what they saw:\n");
    text.push_str(&table(["CONSUMER", "ACCESSES", "LAST"], &rows));
    if erased.erased > 0 {
        text.push_str(&format!("and {} accesses of users who were erased since\n", erased.erased));
    }
    text
}

pub(crate) fn report(context: &Context, set: &SetShare) -> Result<()> {
    let mut lines = vec![
        ("share", set.share.to_string()),
        ("version", format!("{}, {}", set.version, output::state(set.state))),
        ("policy", set.policy.to_string()),
        ("contract", set.contract.clone()),
        ("package", format!("{} ({} bytes)", set.package.id, set.package.size)),
        ("key", set.key.id.to_string()),
    ];
    lines.push((
        "ledger",
        match &set.proof {
            Some(proof) => format!("entry {}, proven in a log of {}", set.position, proof.size),
            None => format!("entry {}, no proof could be had yet", set.position),
        },
    ));
    context.output.result(set, fields(&lines))
}

fn text(view: &ShareView) -> String {
    let policy = &view.policy;
    let mut lines = vec![
        ("share", policy.share.to_string()),
        ("title", policy.information.title.clone()),
        ("version", format!("{}, {}", policy.version, output::state(policy.state))),
        ("signed", output::time(view.signed)),
        ("policy", view.id.to_string()),
    ];
    lines.extend(output::information(&policy.information));
    lines.extend(output::terms(&policy.terms));
    lines.extend(output::permission(&policy.permission));
    lines.push(("contract", view.contract.clone()));
    lines.push(("ledger", format!("entry {}", view.position)));
    lines.push(("accesses", view.accesses.to_string()));
    fields(&lines)
}
