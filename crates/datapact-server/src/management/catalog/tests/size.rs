//! Search over a large catalog, measured: what `bench/catalog.sh` runs.

use std::time::Instant;

use datapact_core::policy::Price;
use futures_util::StreamExt as _;

use crate::management::tests::*;

/// Shares, unless `DATAPACT_SHARES` says otherwise.
const SHARES: usize = 1000;
/// Shares that are published at once.
const AT_ONCE: usize = 128;
/// Searches of each kind.
const SEARCHES: usize = 300;
const PROVIDERS: usize = 50;
/// Words of which titles and introductions are made; the first are frequent, the last rare.
const WORDS: f64 = 5000.0;

/// Numbers between 0 and 1, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn words(&mut self, count: usize) -> String {
        let words: Vec<_> =
            (0..count).map(|_| format!("word{:.0}", WORDS * self.next().powi(4))).collect();
        words.join(" ")
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[(self.next() * all.len() as f64) as usize]
    }
}

const CATEGORIES: [&str; 5] = ["health", "energy", "traffic", "weather", "finance"];
const COUNTRIES: [&str; 6] = ["DE", "FR", "JP", "US", "BR", "KE"];

/// MG-14: every kind of search finds what it should, however large the catalog; with `--nocapture`
/// it says how fast.
#[tokio::test(flavor = "multi_thread")]
async fn mg_14_searches_over_many_shares() {
    let shares = std::env::var("DATAPACT_SHARES").map_or(SHARES, |text| text.parse().unwrap());
    let world = World::new().await;
    let mut numbers = Numbers(1);
    let mut providers = Vec::new();
    for i in 0..PROVIDERS {
        let name = format!("Provider {i}");
        providers
            .push(world.joined(&world.clinic, &name, Role::Provider, Attributes::default()).await);
    }
    let start = Instant::now();
    let policies = (0..shares).map(|i| {
        let provider = &providers[i % PROVIDERS];
        let policy = world.policy(provider, |policy| {
            let information = &mut policy.information;
            information.title = format!("share{i} {}", numbers.words(4));
            information.introduction = numbers.words(20);
            information.categories = vec![numbers.of(&CATEGORIES).parse().unwrap()];
            if numbers.next() < 0.3 {
                let amount = (numbers.next() * 10_000.0) as u64;
                information.price = Some(Price { amount, currency: "EUR".to_owned() });
            }
            if numbers.next() < 0.5 {
                policy.terms.anyone = false;
                policy.terms.countries = [numbers.of(&COUNTRIES).parse().unwrap()].into();
            }
        });
        (provider, policy)
    });
    let mut published = futures_util::stream::iter(policies)
        .map(|(provider, policy)| {
            let session = world.as_user(provider);
            async move { session.policies().set_policy(&policy).await.map(drop) }
        })
        .buffer_unordered(AT_ONCE);
    while let Some(done) = published.next().await {
        done.unwrap();
        world.keys.shown.lock().unwrap().clear();
    }
    drop(published);
    let rate = shares as f64 / start.elapsed().as_secs_f64();
    println!(
        "{shares} shares, published at {rate:.0}/s\n\n\
         | search | p50, ms | p99, ms | found, on average |\n|---|---|---|---|"
    );

    let consumer = world.consumer("Consumer").await;
    let session = world.as_user(&consumer);
    let text = |text: String| CatalogFilter { text: Some(text), ..CatalogFilter::default() };
    let category = |category: &str| CatalogFilter {
        category: Some(category.parse().unwrap()),
        ..CatalogFilter::default()
    };
    type Query<'a> = Box<dyn FnMut(&mut Numbers) -> CatalogFilter + 'a>;
    let kinds: [(&str, Query<'_>); 8] = [
        ("nothing: the newest", Box::new(|_| CatalogFilter::default())),
        (
            "one share's own word",
            Box::new(|n| text(format!("share{:.0}", n.next() * (shares - 1) as f64))),
        ),
        ("a word", Box::new(|n| text(n.words(1)))),
        ("three words", Box::new(|n| text(n.words(3)))),
        (
            "category and country",
            Box::new(|n| CatalogFilter {
                country: Some(n.of(&COUNTRIES).parse().unwrap()),
                ..category(n.of(&CATEGORIES))
            }),
        ),
        (
            "category, a price and two words",
            Box::new(|n| CatalogFilter {
                text: Some(n.words(2)),
                price_max: Some(1000),
                currency: Some("EUR".to_owned()),
                ..category(n.of(&CATEGORIES))
            }),
        ),
        (
            "a provider's, free of charge",
            Box::new(|n| CatalogFilter {
                provider: Some(
                    providers[(n.next() * PROVIDERS as f64) as usize].identity().to_string(),
                ),
                price_max: Some(0),
                ..CatalogFilter::default()
            }),
        ),
        (
            "three words that no share has together",
            Box::new(|n| text(format!("word0 word1 {} share0 share1", n.words(1)))),
        ),
    ];
    for (name, mut query) in kinds {
        let (mut times, mut found) = (Vec::new(), 0);
        for _ in 0..SEARCHES {
            let query = query(&mut numbers);
            let start = Instant::now();
            let entries = session.catalog().catalog(&query.clone().into()).await.unwrap();
            times.push(start.elapsed());
            found += entries.len();
            for entry in entries {
                let said =
                    format!("{} {}", entry.information.title, entry.information.introduction);
                let asked = query.text.as_deref().unwrap_or_default();
                assert!(
                    asked
                        .split(' ')
                        .all(|word| word.is_empty() || said.split(' ').any(|of| of == word))
                );
            }
        }
        times.sort_unstable();
        let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e3;
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} |",
            at(50),
            at(99),
            found as f64 / SEARCHES as f64
        );
        let exact = name == "one share's own word";
        assert!(!exact || found == SEARCHES, "{name}: {found}");
        assert!(!name.starts_with("nothing") || found == SEARCHES * 50.min(shares));
    }
}
