//! `account`: administrators invite users and set what they may do; everybody sees their own
//! account.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use datapact_api::management::{Account as Holder, AccountUpdate, NewInvitation, Role};
use datapact_api::management::{Action, Deed};
use datapact_client::admin::Administrator;
use datapact_core::contract::Attributes;
use datapact_core::id::AccountId;
use datapact_core::terms::{CodeError, Country, Industry, Name};
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, Target};
use crate::output::{self, fields};

const AFTER_HELP: &str = "\
Examples:
  datapact account invite --realm lab --role consumer --organisation lab --industry isic4:72 \\
      --country SE -o bob.invite
  datapact account list
  datapact account update 6fd0... --country DE
  datapact account disable 6fd0...
  datapact account delete 6fd0... --now";

/// Invite users and set what they may do (administrators), or show your own account
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Account {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Write an invitation file for a new user: it holds a one-time code, so send it over a safe
    /// way
    Invite(Invite),
    /// List all accounts
    List,
    /// Show an account; your own if none is named
    Show {
        /// The account's id
        id: Option<AccountId>,
    },
    /// Change role or attributes, or enable a disabled account
    Update(Update),
    /// Stop an account from doing anything, at once on all servers
    Disable {
        /// The account's id
        id: AccountId,
    },
    /// Disable an account, and erase it with all that names its holder once management's retention
    /// is over
    ///
    /// Erased are the account, its signed requests and reports, and what opens its commitments on
    /// the ledger, on all servers; of a provider also shares, keys and packages. Audits then say
    /// `erased`. `update --enable` takes it back until then.
    Delete {
        /// The account's id
        id: AccountId,
        /// Erase it right now; this cannot be taken back
        #[arg(long)]
        now: bool,
    },
    /// List what was done to accounts, oldest first, and check that the record of it is whole
    History,
}

#[derive(Args)]
struct Invite {
    /// The realm whose CA certifies the user
    #[arg(long)]
    realm: String,
    /// What the account may do
    #[arg(long, value_enum, default_value_t = RoleName::User)]
    role: RoleName,
    /// The user's organisation
    #[arg(long, value_name = "NAME")]
    organisation: Option<Name>,
    /// The user's industry, such as `isic4:86`
    #[arg(long, value_name = "CODE")]
    industry: Option<Industry>,
    /// The user's country, such as `SE`
    #[arg(long, value_name = "CODE")]
    country: Option<Country>,
    /// How long the invitation may be taken, at most 30d
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "7d",
        value_parser = humantime::parse_duration
    )]
    expires: Duration,
    /// Where to write the invitation, or `-` for standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Args)]
struct Update {
    /// The account's id
    id: AccountId,
    /// What the account may do
    #[arg(long, value_enum)]
    role: Option<RoleName>,
    /// The user's organisation; an empty one takes it away
    #[arg(long, value_name = "NAME", value_parser = optional::<Name>)]
    organisation: Option<Choice<Name>>,
    /// The user's industry, such as `isic4:86`; an empty one takes it away
    #[arg(long, value_name = "CODE", value_parser = optional::<Industry>)]
    industry: Option<Choice<Industry>>,
    /// The user's country, such as `SE`; an empty one takes it away
    #[arg(long, value_name = "CODE", value_parser = optional::<Country>)]
    country: Option<Choice<Country>>,
    /// Let a disabled account act again
    #[arg(long)]
    enable: bool,
}

/// A value to be set, or taken away.
#[derive(Debug, Clone)]
struct Choice<T>(Option<T>);

fn optional<T: std::str::FromStr<Err = CodeError>>(
    text: &str,
) -> std::result::Result<Choice<T>, CodeError> {
    if text.is_empty() { Ok(Choice(None)) } else { text.parse().map(|value| Choice(Some(value))) }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    /// Share and access
    User,
    /// Share only
    Provider,
    /// Access only
    Consumer,
    /// Manage accounts only
    Administrator,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::User => Self::User,
            RoleName::Provider => Self::Provider,
            RoleName::Consumer => Self::Consumer,
            RoleName::Administrator => Self::Administrator,
        }
    }
}

#[derive(Serialize)]
struct Invited {
    file: PathBuf,
    expires: u64,
}

impl Account {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        if let Verb::Invite(invite) = self.command {
            let refreshed = context.session_refreshed(None)?;
            return invite.run(context, refreshed.session);
        }
        let session = context.session()?;
        let management = session.management();
        match self.command {
            Verb::Invite(_) => Ok(()),
            Verb::List => {
                let administrator = Administrator::new(session.clone());
                let accounts = context.block_on(async { Ok(administrator.accounts().await?) })?;
                let rows: Vec<_> = accounts.iter().map(row).collect();
                let head = [
                    "ACCOUNT",
                    "IDENTITY",
                    "ROLE",
                    "ORGANISATION",
                    "INDUSTRY",
                    "COUNTRY",
                    "ACTIVE",
                ];
                context.output.list(&accounts, head, &rows)
            }
            Verb::Show { id: None } => {
                let account = context.block_on(async { Ok(session.account().await?) })?;
                context.output.result(&account, text(&account))
            }
            Verb::Show { id: Some(id) } => {
                let administrator = Administrator::new(session.clone());
                let account = context.block_on(async { Ok(administrator.account(&id).await?) })?;
                context.output.result(&account, text(&account))
            }
            Verb::Update(update) => {
                let account = context.block_on(update.run(&session))?;
                context.output.result(&account, text(&account))
            }
            Verb::Disable { id } => {
                context.output.confirm(format_args!("stop account `{id}` from doing anything?"))?;
                let update = AccountUpdate { active: Some(false), ..AccountUpdate::default() };
                let account = context
                    .block_on(async { Ok(management.update_account(&id, &update).await?) })?;
                context.output.result(&account, text(&account))
            }
            Verb::Delete { id, now } => {
                let administrator = Administrator::new(session.clone());
                let account = context.block_on(async { Ok(administrator.account(&id).await?) })?;
                // Erasure cannot be undone, so the question names it, and whose account it is.
                let whose = &account.identity;
                match now {
                    true => context.output.confirm(format_args!(
                        "erase account `{id}` of `{whose}` for good, now?"
                    ))?,
                    false => context
                        .output
                        .confirm(format_args!("delete account `{id}` of `{whose}`?"))?,
                }
                let account =
                    context.block_on(async { Ok(administrator.delete(&account, now).await?) })?;
                context.output.result(&account, text(&account))
            }
            Verb::History => {
                let administrator = Administrator::new(session.clone());
                let actions = context.block_on(async { Ok(administrator.history().await?) })?;
                let rows: Vec<_> = actions.iter().map(action_row).collect();
                context.output.list(&actions, ["NUMBER", "TIME", "BY", "DEED"], &rows)
            }
        }
    }
}

impl Invite {
    fn run(self, context: &Context, session: datapact_client::Session) -> Result<()> {
        let new = NewInvitation {
            realm: self.realm,
            role: self.role.into(),
            attributes: Attributes {
                organisation: self.organisation,
                industry: self.industry,
                country: self.country,
            },
            seconds: self.expires.as_secs(),
        };
        // Before anything is promised, the file can be written.
        let file = Target::create(&self.output, true, &context.output)?;
        let administrator = Administrator::new(session);
        let (invitation, expires) =
            context.block_on(async { Ok(administrator.invitation(&new).await?) })?;
        let mut content =
            serde_json::to_vec_pretty(&invitation).expect("an invitation is plain JSON");
        content.push(b'\n');
        let text = format!(
            "invitation in {}, good until {}\nsend it over a safe channel; the user runs `datapact \
             join FILE`",
            files::shown(&self.output),
            output::time(expires)
        );
        let invited = Invited { file: self.output, expires };
        file.write(&content, &context.output, &invited, text)
    }
}

impl Update {
    async fn run(self, session: &datapact_client::Session) -> Result<Holder> {
        let some = self.organisation.is_some() || self.industry.is_some() || self.country.is_some();
        // An update replaces all attributes, so those that stay are read first.
        let attributes = if some {
            let mut attributes =
                Administrator::new(session.clone()).account(&self.id).await?.attributes;
            if let Some(Choice(organisation)) = self.organisation {
                attributes.organisation = organisation;
            }
            if let Some(Choice(industry)) = self.industry {
                attributes.industry = industry;
            }
            if let Some(Choice(country)) = self.country {
                attributes.country = country;
            }
            Some(attributes)
        } else {
            None
        };
        let update = AccountUpdate {
            role: self.role.map(Role::from),
            attributes,
            active: self.enable.then_some(true),
        };
        if update == AccountUpdate::default() {
            return Err(Failure::usage(
                "nothing is to be changed",
                "say what, such as `--country SE`",
            ));
        }
        Ok(session.management().update_account(&self.id, &update).await?)
    }
}

fn action_row(action: &Action) -> [String; 4] {
    let record = &action.record;
    let deed = match &record.deed {
        Deed::Configured => "is an administrator by configuration".to_owned(),
        Deed::Invited { invited, .. } => {
            format!("invited a {} of `{}`", role(invited.role), invited.realm)
        }
        Deed::Joined { .. } => "joined".to_owned(),
        Deed::Updated { account, update } => {
            let update = serde_json::to_string(update).unwrap_or_default();
            format!("set {update} on {account}")
        }
        Deed::Deleted { account, erase_at } => {
            format!("deleted {account}, to be erased at {}", output::time(*erase_at))
        }
        Deed::TokenRevoked { request } => {
            format!("revoked the access token of the request {request}")
        }
        Deed::EnrolmentSigned { version, published, .. } => {
            let state = if *published { ", which published it" } else { "" };
            format!("signed version {version} of the enrolment{state}")
        }
        Deed::Erased { account } => format!("{account} was erased"),
    };
    let by = record.actor.map_or_else(|| "management".to_owned(), |actor| actor.to_string());
    [record.sequence.to_string(), output::time(record.time), by, deed]
}

pub(crate) fn role(role: Role) -> String {
    match role {
        Role::User => "user",
        Role::Provider => "provider",
        Role::Consumer => "consumer",
        Role::Administrator => "administrator",
    }
    .to_owned()
}

fn or_dash(value: &Option<impl ToString>) -> String {
    value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
}

fn row(account: &Holder) -> [String; 7] {
    [
        account.id.to_string(),
        account.identity.to_string(),
        role(account.role),
        or_dash(&account.attributes.organisation),
        or_dash(&account.attributes.industry),
        or_dash(&account.attributes.country),
        match account.erase_at {
            Some(time) => format!("no, erased at {}", output::time(time)),
            None => if account.active { "yes" } else { "no" }.to_owned(),
        },
    ]
}

pub(crate) fn text(account: &Holder) -> String {
    let [id, identity, role, organisation, industry, country, active] = row(account);
    fields(&[
        ("account", id),
        ("identity", identity),
        ("role", role),
        ("organisation", organisation),
        ("industry", industry),
        ("country", country),
        ("active", active),
        ("created", output::time(account.created)),
    ])
}
