//! `catalog`: what others share (MG-14, MG-15).

use clap::{Args, Subcommand};
use datapact_api::management::CatalogFilter;
use datapact_api::management::{CatalogEntry, CatalogQuery};
use datapact_client::consumer::{Consumer, Offer};
use datapact_core::id::ShareId;
use datapact_core::identity::Identity;
use datapact_core::policy::Price;
use datapact_core::terms::{Country, Industry, Name};
use futures_util::StreamExt as _;

use crate::context::{Context, now};
use crate::failure::Result;
use crate::output::{self, fields, plain};
use crate::price::PriceText;
use crate::terms::Moment;

const AFTER_HELP: &str = "\
Examples:
  datapact catalog search --category vitals diabetes
  datapact catalog search --country SE --industry isic4:86 --price 100.00EUR
  datapact catalog show 5d41... --purpose research
  datapact catalog watch --json | while read -r line; do ...; done";

/// Find shares, see whether you would be granted access, and follow what is published
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Catalog {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Search what is published, newest first
    Search(Search),
    /// Show a share, and whether you would be granted access; this spends no access
    Show {
        /// The share
        share: ShareId,
        /// What you would want the data for
        #[arg(long, value_name = "NAME")]
        purpose: Option<Name>,
    },
    /// Print what is published, as it is published, until interrupted
    Watch {
        /// Begin behind this event; where the last watch of this profile ended if not given
        #[arg(long, value_name = "EVENT")]
        after: Option<u64>,
        /// End after this many
        #[arg(long, value_name = "N")]
        count: Option<usize>,
    },
}

/// What to look for.
#[derive(Args)]
pub(crate) struct FilterArguments {
    /// Words in title, introduction or usage, all of which must be there
    words: Vec<String>,
    /// A category
    #[arg(long, value_name = "NAME")]
    category: Option<Name>,
    /// The realm of the provider
    #[arg(long)]
    realm: Option<String>,
    /// The provider, as `realm:subject`
    #[arg(long, value_name = "IDENTITY")]
    provider: Option<Identity>,
    /// An industry that may access, such as `isic4:86`
    #[arg(long, value_name = "CODE")]
    industry: Option<Industry>,
    /// A country that may access, such as `SE`
    #[arg(long, value_name = "CODE")]
    country: Option<Country>,
    /// The highest price, such as `10.00EUR`; `free` for what costs nothing
    #[arg(long, value_name = "PRICE", value_parser = price)]
    price: Option<Highest>,
}

impl FilterArguments {
    pub(crate) fn filter(self) -> CatalogFilter {
        let Self { words, category, realm, provider, industry, country, price } = self;
        let price = price.map(|Highest(price)| price);
        CatalogFilter {
            text: (!words.is_empty()).then(|| words.join(" ")),
            category,
            realm,
            provider: provider.map(|provider| provider.to_string()),
            industry,
            country,
            price_max: price.as_ref().map(|price| price.as_ref().map_or(0, |price| price.amount)),
            currency: price.flatten().map(|price| price.currency),
        }
    }
}

#[derive(Args)]
struct Search {
    #[command(flatten)]
    filter: FilterArguments,
    /// Only what may be accessed then: `30d` from now, or a date
    #[arg(long, value_name = "WHEN")]
    valid: Option<Moment>,
    /// At most this many, 1 to 100
    #[arg(
        long,
        value_name = "N",
        default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=100)
    )]
    limit: u32,
    /// Only what was published before this event, for the next page
    #[arg(long, value_name = "EVENT")]
    before: Option<u64>,
}

impl Catalog {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let consumer = Consumer::new(context.session()?);
        match self.command {
            Verb::Search(search) => {
                let Search { filter, valid, limit, before } = search;
                let valid_at = valid.map(|moment| moment.at(now()));
                let filter = filter.filter();
                let query = CatalogQuery { filter, valid_at, limit: Some(limit), before };
                let entries = context.block_on(async { Ok(consumer.search(&query).await?) })?;
                let rows: Vec<_> = entries.iter().map(row).collect();
                let head = ["EVENT", "SHARE", "TITLE", "PROVIDER", "STATE", "EXPIRES"];
                context.output.list(&entries, head, &rows)?;
                if let Some(last) = entries.get(limit as usize - 1) {
                    context
                        .output
                        .note(format_args!("for older ones, if any: --before {}", last.event));
                }
                Ok(())
            }
            Verb::Show { share, purpose } => {
                let offer = context
                    .block_on(async { Ok(consumer.show(&share, purpose.as_ref()).await?) })?;
                context.output.result(&offer, text(&offer))
            }
            Verb::Watch { after, count } => {
                // The stream reads nothing before it is polled, but its timers need the runtime.
                context.block_on(async {
                    let mut entries = consumer.watch(after)?.take(count.unwrap_or(usize::MAX));
                    while let Some(entry) = entries.next().await {
                        print_entry(context, &entry?)?;
                    }
                    Ok(())
                })
            }
        }
    }
}

/// Prints an entry as it comes.
pub(crate) fn print_entry(context: &Context, entry: &CatalogEntry) -> Result<()> {
    let [event, share, title, provider, state, expires] = row(entry).map(|cell| plain(&cell));
    let text = format!("{event}  {share}  {title}  by {provider}  {state}, expires {expires}");
    context.output.result(entry, text)
}

/// A highest price; none for what costs nothing.
#[derive(Debug, Clone)]
struct Highest(Option<Price>);

fn price(text: &str) -> std::result::Result<Highest, String> {
    if text == "free" {
        return Ok(Highest(None));
    }
    let price = text.parse::<PriceText>().map_err(|e| e.to_string())?;
    Ok(Highest(Some(price.0)))
}

fn row(entry: &CatalogEntry) -> [String; 6] {
    [
        entry.event.to_string(),
        entry.share.to_string(),
        entry.information.title.clone(),
        entry.provider.to_string(),
        output::state(entry.state).to_owned(),
        output::time(entry.expires),
    ]
}

/// An offer for people.
pub(crate) fn text(offer: &Offer) -> String {
    let entry = &offer.entry;
    let information = &entry.information;
    let mut lines = vec![
        ("share", entry.share.to_string()),
        ("title", information.title.clone()),
        ("provider", entry.provider.to_string()),
    ];
    match &offer.signed {
        Some(signed) => lines.push((
            "signature",
            format!("good, of {}, key {}", output::time(signed.time), signed.provider_key),
        )),
        None => lines.push(("signature", "not shown to you".to_owned())),
    }
    lines.push(("version", format!("{}, {}", entry.version, output::state(entry.state))));
    lines.extend(output::information(information));
    if let Some(signed) = &offer.signed {
        lines.extend(output::terms(&signed.terms));
        lines.extend(output::permission(&signed.permission));
    } else {
        lines.push(("expires", output::time(entry.expires)));
    }
    lines.push(("contract", entry.contract.clone()));
    lines.push(("granted to you", offer.granted.to_string()));
    lines.push((
        "would be granted",
        match &offer.refusal {
            None => "yes".to_owned(),
            Some(refusal) => format!("no: {refusal}"),
        },
    ));
    fields(&lines)
}
