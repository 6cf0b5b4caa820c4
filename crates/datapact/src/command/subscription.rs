//! `subscription`: what management keeps to tell one of new information (MG-15).

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use datapact_api::management::{self as api, CatalogFilter, NewSubscription, NewWebhook};
use datapact_client::consumer::Consumer;
use datapact_core::id::{SubscriptionId, random};
use futures_util::StreamExt as _;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::command::catalog::{FilterArguments, print_entry};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files::SecretFile;
use crate::output::{self, fields};

const AFTER_HELP: &str = "\
What is published and fits a subscription can be followed with `watch`, from where it began or was
left, or is sent to a webhook: CloudEvents, signed by Standard Webhooks with the secret in the file
that `create` writes.

Examples:
  datapact subscription create --category vitals --country SE
  datapact subscription create --webhook https://hooks.example/datapact \\
      --secret-out hook.secret diabetes
  datapact subscription watch 91bc... --json | while read -r line; do ...; done
  datapact subscription dead 91bc...";

/// Be told of new information that fits a filter
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Subscription {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a subscription; all that is given must hold, nothing given means all
    Create(Create),
    /// List your subscriptions, oldest first
    List,
    /// Show a subscription
    Show {
        /// The subscription
        subscription: SubscriptionId,
    },
    /// Print what is published and fits, as it is published, until interrupted
    Watch {
        /// The subscription
        subscription: SubscriptionId,
        /// Begin behind this event; where the last watch of this profile ended, or the subscription
        /// began, if not given
        #[arg(long, value_name = "EVENT")]
        after: Option<u64>,
        /// End after this many
        #[arg(long, value_name = "N")]
        count: Option<usize>,
    },
    /// List what could not be sent to the webhook, however often it was tried
    Dead {
        /// The subscription
        subscription: SubscriptionId,
    },
    /// Send again what could not be sent
    Redeliver {
        /// The subscription
        subscription: SubscriptionId,
        /// The events; all of them if none is given
        events: Vec<u64>,
    },
    /// End a subscription; what is still to be sent is dropped
    Delete {
        /// The subscription
        subscription: SubscriptionId,
    },
}

#[derive(Args)]
struct Create {
    #[command(flatten)]
    filter: FilterArguments,
    /// Where to send what is published; management must be configured for webhooks
    #[arg(long, value_name = "URL", requires = "secret_out")]
    webhook: Option<String>,
    /// Where to write the secret that the webhook's calls are signed with, readable only by you;
    /// must not exist
    #[arg(long, value_name = "FILE", requires = "webhook")]
    secret_out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Deleted {
    deleted: SubscriptionId,
}

#[derive(Serialize)]
struct Redelivered {
    subscription: SubscriptionId,
    events: Vec<u64>,
}

impl Subscription {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let consumer = Consumer::new(context.session()?);
        match self.command {
            Verb::Create(create) => make(context, &consumer, create),
            Verb::List => {
                let list = context.block_on(async { Ok(consumer.subscriptions().await?) })?;
                let rows: Vec<_> = list.iter().map(row).collect();
                context.output.list(
                    &list,
                    ["SUBSCRIPTION", "FILTER", "WEBHOOK", "WAITING", "DEAD"],
                    &rows,
                )
            }
            Verb::Show { subscription } => {
                let kept =
                    context.block_on(async { Ok(consumer.subscription(&subscription).await?) })?;
                context.output.result(&kept, text(&kept))
            }
            Verb::Watch { subscription, after, count } => context.block_on(async {
                let events = consumer.follow(&subscription, after)?;
                let mut entries = events.take(count.unwrap_or(usize::MAX));
                while let Some(entry) = entries.next().await {
                    print_entry(context, &entry?)?;
                }
                Ok(())
            }),
            Verb::Dead { subscription } => {
                let list =
                    context.block_on(async { Ok(consumer.dead_letters(&subscription).await?) })?;
                let row = |letter: &datapact_api::management::DeadLetter| {
                    let (time, attempts) = (output::time(letter.time), letter.attempts.to_string());
                    [letter.event.to_string(), time, attempts, letter.error.clone()]
                };
                let rows: Vec<_> = list.iter().map(row).collect();
                context.output.list(&list, ["EVENT", "GIVEN UP", "ATTEMPTS", "WHY"], &rows)
            }
            Verb::Redeliver { subscription, events } => {
                context
                    .block_on(async { Ok(consumer.redeliver(&subscription, &events).await?) })?;
                let text = format!("failed deliveries of {subscription} are sent again");
                context.output.result(&Redelivered { subscription, events }, text)
            }
            Verb::Delete { subscription } => {
                context.block_on(async { Ok(consumer.unsubscribe(&subscription).await?) })?;
                let text = format!("subscription {subscription} is ended");
                context.output.result(&Deleted { deleted: subscription }, text)
            }
        }
    }
}

fn make(context: &Context, consumer: &Consumer, create: Create) -> Result<()> {
    let id = SubscriptionId::random();
    let filter = create.filter.filter();
    let mut file = None;
    let webhook = match (create.webhook, create.secret_out) {
        (Some(url), Some(path)) => {
            let secret = Zeroizing::new(format!(
                "whsec_{}",
                STANDARD.encode(*Zeroizing::new(random::<32>()))
            ));
            file = Some(SecretFile::write(&path, secret.as_bytes())?);
            Some(NewWebhook { url, secret })
        }
        (None, None) => None,
        _ => {
            let hint = "give `--webhook` and `--secret-out` together";
            return Err(Failure::usage("a webhook needs a file for its secret", hint));
        }
    };
    let new = NewSubscription { filter, webhook };
    let kept = context.block_on(async { Ok(consumer.subscribe(&id, &new).await?) })?;
    if let Some(file) = file {
        file.keep();
    }
    context.output.result(&kept, text(&kept))
}

fn said(filter: &CatalogFilter) -> String {
    let CatalogFilter { text, category, realm, provider, industry, country, price_max, currency } =
        filter;
    let price = match (price_max, currency) {
        (Some(price), Some(currency)) => Some(format!("at most {price} minor units of {currency}")),
        (Some(_), None) => Some("free".to_owned()),
        _ => None,
    };
    let named = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
    let all: Vec<String> = [
        named("words", text.clone()),
        named("category", category.as_ref().map(ToString::to_string)),
        named("realm", realm.clone()),
        named("provider", provider.clone()),
        named("industry", industry.as_ref().map(ToString::to_string)),
        named("country", country.as_ref().map(ToString::to_string)),
        named("price", price),
    ]
    .into_iter()
    .flatten()
    .collect();
    if all.is_empty() { "everything".to_owned() } else { all.join(", ") }
}

fn row(subscription: &api::Subscription) -> [String; 5] {
    let webhook = subscription.webhook.clone().unwrap_or_else(|| "-".to_owned());
    [
        subscription.id.to_string(),
        said(&subscription.filter),
        webhook,
        subscription.waiting.to_string(),
        subscription.dead.to_string(),
    ]
}

fn text(subscription: &api::Subscription) -> String {
    let mut lines =
        vec![("subscription", subscription.id.to_string()), ("about", said(&subscription.filter))];
    if let Some(webhook) = &subscription.webhook {
        lines.push(("webhook", webhook.clone()));
        lines.push(("to be sent", subscription.waiting.to_string()));
        lines.push(("could not be sent", subscription.dead.to_string()));
    }
    lines.push(("since", output::time(subscription.created)));
    fields(&lines)
}
