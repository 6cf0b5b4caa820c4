//! The catalog is searched and followed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod size;

use futures_util::StreamExt as _;

use crate::management::tests::*;

#[tokio::test]
async fn mg_14_the_catalog_is_searched_by_words_category_and_realm_page_by_page() {
    let world = World::new().await;
    let provider = world.provider().await;
    let other = world.joined(&world.lab, "Other", Role::User, Attributes::default()).await;
    let consumer = world.consumer("Consumer").await;
    for i in 0..7 {
        world
            .published(&provider, |p| {
                p.information.title = format!("Röntgen {i}");
                p.information.introduction = "100% of the chest_images".to_owned();
                p.information.categories = vec!["health".parse().unwrap()];
            })
            .await;
    }
    world.published(&other, |p| p.information.usage = "Weather models".to_owned()).await;
    let session = world.as_user(&consumer);
    let search = async |query: CatalogQuery| session.catalog().catalog(&query).await.unwrap().len();
    let words =
        |text: &str| CatalogFilter { text: Some(text.to_owned()), ..Default::default() }.into();
    let cases = [
        ("", 8),
        ("RÖNTGEN", 7),
        ("röntgen 3", 1),
        ("weather", 1),
        ("chest 100%", 7),
        ("images chest", 7),
        ("chestximages", 0),
        ("ches", 0),
        ("' OR 1=1 --", 0),
    ];
    for (text, found) in cases {
        assert_eq!(search(words(text)).await, found, "{text}");
    }
    let of = |category: &str| {
        let category = Some(category.parse().unwrap());
        CatalogFilter { category, ..CatalogFilter::default() }.into()
    };
    assert_eq!((search(of("health")).await, search(of("healt_")).await), (7, 0));
    let realm = CatalogFilter { realm: Some("lab".to_owned()), ..CatalogFilter::default() }.into();
    assert_eq!(search(realm).await, 1);

    let mut query = CatalogQuery { limit: Some(3), ..CatalogQuery::default() };
    let mut events = Vec::new();
    loop {
        let page = session.catalog().catalog(&query).await.unwrap();
        events.extend(page.iter().map(|entry| entry.event));
        match page.last() {
            Some(last) => query.before = Some(last.event),
            None => break,
        }
    }
    assert_eq!(events, [8, 7, 6, 5, 4, 3, 2, 1]);
    for query in [
        CatalogQuery { limit: Some(0), ..CatalogQuery::default() },
        CatalogQuery { limit: Some(101), ..CatalogQuery::default() },
        words("%"),
        words("!"),
        CatalogFilter { provider: Some("nobody".to_owned()), ..CatalogFilter::default() }.into(),
        CatalogFilter { price_max: Some(5), ..CatalogFilter::default() }.into(),
        CatalogFilter { currency: Some("EUR".to_owned()), ..CatalogFilter::default() }.into(),
        CatalogFilter { realm: Some("\0".to_owned()), ..CatalogFilter::default() }.into(),
        words(&"x ".repeat(9)),
        words(&"x".repeat(201)),
    ] {
        assert_eq!(refused(session.catalog().catalog(&query).await).kind, Kind::Malformed);
    }
    // A new version takes its share's place, an expired share is not found.
    world.pass(3600);
    assert_eq!(search(CatalogQuery::default()).await, 0);
}

#[tokio::test]
async fn mg_14_the_catalog_is_searched_by_provider_industry_country_price_and_validity() {
    let world = World::new().await;
    let (provider, other) = (
        world.provider().await,
        world.joined(&world.lab, "Other", Role::User, Attributes::default()).await,
    );
    let price = |amount, currency: &str| {
        Some(datapact_core::policy::Price { amount, currency: currency.to_owned() })
    };
    let restricted = |countries: &[&str], industries: &[&str]| Terms {
        countries: countries.iter().map(|code| code.parse().unwrap()).collect(),
        industries: industries.iter().map(|code| code.parse().unwrap()).collect(),
        ..Terms::default()
    };
    // 1: open; 2: Sweden, hospitals; 3: Germany, health, 5 EUR; 4: by another, later, 9 USD.
    world.published(&provider, |_| {}).await;
    world.published(&provider, |p| p.terms = restricted(&["SE"], &["isic4:8610"])).await;
    world
        .published(&provider, |p| {
            p.terms = restricted(&["DE"], &["isic4:Q"]);
            p.information.price = price(500, "EUR");
        })
        .await;
    world
        .published(&other, |p| {
            p.information.price = price(900, "USD");
            p.permission.not_before += 100;
            p.permission.expires += 5000;
        })
        .await;
    let session = world.as_user(&other);
    let now = world.now();
    let search = async |edit: &dyn Fn(&mut CatalogQuery)| {
        let mut query = CatalogQuery::default();
        edit(&mut query);
        let found = session.catalog().catalog(&query).await.unwrap();
        found.iter().map(|entry| entry.event).collect::<Vec<_>>()
    };
    let code = |text: &str| Some(text.parse().unwrap());
    assert_eq!(search(&|_| ()).await, [4, 3, 2, 1]);
    assert_eq!(search(&|q| q.filter.provider = Some(other.identity().to_string())).await, [4]);
    assert_eq!(search(&|q| q.filter.country = Some("SE".parse().unwrap())).await, [4, 2, 1]);
    assert_eq!(search(&|q| q.filter.country = Some("US".parse().unwrap())).await, [4, 1]);
    assert_eq!(search(&|q| q.filter.industry = code("isic4:8610")).await, [4, 3, 2, 1]);
    assert_eq!(search(&|q| q.filter.industry = code("isic4:8690")).await, [4, 3, 1]);
    assert_eq!(search(&|q| q.filter.industry = code("isic4:01")).await, [4, 1]);
    assert_eq!(
        search(&|q| (q.filter.price_max, q.filter.currency) = (Some(500), Some("EUR".to_owned())))
            .await,
        [3, 2, 1]
    );
    assert_eq!(
        search(&|q| (q.filter.price_max, q.filter.currency) = (Some(499), Some("EUR".to_owned())))
            .await,
        [2, 1]
    );
    assert_eq!(search(&|q| q.filter.price_max = Some(0)).await, [2, 1]);
    assert_eq!(search(&|q| q.valid_at = Some(now)).await, [3, 2, 1]);
    assert_eq!(search(&|q| q.valid_at = Some(now + 4000)).await, [4]);
    let all = |q: &mut CatalogQuery| {
        q.filter.text = Some("admissions 2025".to_owned());
        q.filter.country = Some("DE".parse().unwrap());
        q.filter.industry = code("isic4:86");
        q.filter.realm = Some("clinic".to_owned());
        q.limit = Some(1);
    };
    assert_eq!(search(&all).await, [3]);
    let next = |q: &mut CatalogQuery| {
        all(q);
        q.before = Some(3);
    };
    assert_eq!(search(&next).await, [1]);
    // What has expired leaves the index, and nothing else does.
    world.pass(3601);
    assert_eq!(search(&|_| ()).await, [4]);
    world.management().services.catalog.forget_expired().await.unwrap();
    assert_eq!(world.count("term WHERE term = '*'").await, 1);
    assert_eq!(search(&|_| ()).await, [4]);
}
#[tokio::test]
async fn pr_1_a_policy_that_names_users_is_shown_to_them_alone() {
    let world = World::new().await;
    let provider = world.provider().await;
    let (named, other) = (world.consumer("Named").await, world.consumer("Other").await);
    let policy = world
        .published(&provider, |p| {
            p.terms = Terms { users: BTreeSet::from([named.identity()]), ..Terms::default() };
        })
        .await;
    let share = policy.body().share;
    for (user, told) in [(&provider, true), (&named, true), (&other, false)] {
        let detail =
            world.as_user(user).catalog().catalog_entry(&share, &Purpose::default()).await.unwrap();
        assert_eq!(detail.policy.is_some(), told);
        assert!(!serde_json::to_string(&detail.entry).unwrap().contains("Named"));
    }
    assert_eq!(
        world
            .as_user(&named)
            .catalog()
            .catalog_entry(&share, &Purpose::default())
            .await
            .unwrap()
            .refusal,
        None
    );
    world.as_user(&named).accesses().request_access(&world.request(&named, &policy)).await.unwrap();
    let detail =
        world.as_user(&named).catalog().catalog_entry(&share, &Purpose::default()).await.unwrap();
    assert_eq!((detail.granted, detail.refusal), (1, None));
    assert_eq!(world.size().await, 2);
    let missing = world
        .as_user(&named)
        .catalog()
        .catalog_entry(&ShareId::random(), &Purpose::default())
        .await;
    assert_eq!(refused(missing).kind, Kind::NotFound);
}

#[tokio::test]
async fn mg_15_a_subscriber_is_told_everything_once_and_resumes_without_a_gap() {
    let world = World::new().await;
    let provider = world.provider().await;
    let consumer = world.consumer("Consumer").await;
    let session = world.as_user(&consumer);
    let mut live = session.catalog().publications(None).await.unwrap();
    for _ in 0..70 {
        world.published(&provider, |_| {}).await;
    }
    // Half is read, then the connection is lost.
    let mut replay = session.catalog().publications(Some(0)).await.unwrap();
    let mut events = Vec::new();
    for _ in 0..35 {
        events.push(replay.next().await.unwrap().unwrap().event);
    }
    drop(replay);
    let mut resumed = session.catalog().publications(events.last().copied()).await.unwrap();
    // More is published while it catches up.
    let (session_of, world_of) = (&provider, &world);
    let publish = async {
        for _ in 0..10 {
            world_of.published(session_of, |_| {}).await;
        }
    };
    let read = async {
        while events.len() < 80 {
            events.push(resumed.next().await.unwrap().unwrap().event);
        }
    };
    tokio::join!(publish, read);
    assert!(events.into_iter().eq(1..=80));
    for event in 1..=80 {
        assert_eq!(live.next().await.unwrap().unwrap().event, event);
    }
    // Who is disabled hears nothing more, but why.
    let id = session.accounts().account().await.unwrap().id;
    let update = AccountUpdate { active: Some(false), ..AccountUpdate::default() };
    world.as_user(&world.admin).accounts().update_account(&id, &update).await.unwrap();
    world.published(&provider, |_| {}).await;
    assert_kind(live.next().await.unwrap(), Kind::Forbidden, "disabled");
    assert!(live.next().await.is_none());
}
