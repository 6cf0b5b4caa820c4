use super::*;
use futures_util::StreamExt as _;

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
    let search = async |query: CatalogQuery| session.catalog(&query).await.unwrap().len();
    let words =
        |text: &str| CatalogQuery { text: Some(text.to_owned()), ..CatalogQuery::default() };
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
    let of = |category: &str| CatalogQuery {
        category: Some(category.parse().unwrap()),
        ..CatalogQuery::default()
    };
    assert_eq!((search(of("health")).await, search(of("healt_")).await), (7, 0));
    let realm = CatalogQuery { realm: Some("lab".to_owned()), ..CatalogQuery::default() };
    assert_eq!(search(realm).await, 1);

    let mut query = CatalogQuery { limit: Some(3), ..CatalogQuery::default() };
    let mut events = Vec::new();
    loop {
        let page = session.catalog(&query).await.unwrap();
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
        CatalogQuery { provider: Some("nobody".to_owned()), ..CatalogQuery::default() },
        CatalogQuery { price_max: Some(5), ..CatalogQuery::default() },
        CatalogQuery { currency: Some("EUR".to_owned()), ..CatalogQuery::default() },
        CatalogQuery { realm: Some("\0".to_owned()), ..CatalogQuery::default() },
        words(&"x ".repeat(9)),
        words(&"x".repeat(201)),
    ] {
        assert_eq!(refused(session.catalog(&query).await).kind, Kind::Malformed);
    }
    // A new version takes its share's place, an expired share is not found.
    world.pass(3600);
    assert_eq!(search(CatalogQuery::default()).await, 0);
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
        let detail = world.as_user(user).catalog_entry(&share, None).await.unwrap();
        assert_eq!(detail.policy.is_some(), told);
        assert!(!serde_json::to_string(&detail.entry).unwrap().contains("Named"));
    }
    assert_eq!(world.as_user(&named).catalog_entry(&share, None).await.unwrap().refusal, None);
    world.as_user(&named).request_access(&world.request(&named, &policy)).await.unwrap();
    let detail = world.as_user(&named).catalog_entry(&share, None).await.unwrap();
    assert_eq!((detail.granted, detail.refusal), (1, None));
    assert_eq!(world.size().await, 2);
    let missing = world.as_user(&named).catalog_entry(&ShareId::random(), None).await;
    assert_eq!(refused(missing).kind, Kind::NotFound);
}

#[tokio::test]
async fn mg_15_a_subscriber_is_told_everything_once_and_resumes_without_a_gap() {
    let world = World::new().await;
    let provider = world.provider().await;
    let consumer = world.consumer("Consumer").await;
    let session = world.as_user(&consumer);
    let mut live = session.publications(None).await.unwrap();
    for _ in 0..70 {
        world.published(&provider, |_| {}).await;
    }
    // Half is read, then the connection is lost.
    let mut replay = session.publications(Some(0)).await.unwrap();
    let mut events = Vec::new();
    for _ in 0..35 {
        events.push(replay.next().await.unwrap().unwrap().event);
    }
    drop(replay);
    let mut resumed = session.publications(events.last().copied()).await.unwrap();
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
    let id = session.account().await.unwrap().id;
    let update = AccountUpdate { active: Some(false), ..AccountUpdate::default() };
    world.as_user(&world.admin).update_account(&id, &update).await.unwrap();
    world.published(&provider, |_| {}).await;
    assert_kind(live.next().await.unwrap(), Kind::Forbidden, "disabled");
    assert!(live.next().await.is_none());
}

#[tokio::test]
async fn health_keys_log_and_revocation_lists_are_public() {
    use datapact_api::http_api::Public as _;
    let world = World::new().await;
    let provider = world.provider().await;
    let server = world.server();
    assert_eq!(server.health().await.unwrap().role, "management");
    assert_eq!(server.jwks().await.unwrap().keys.len(), 1);
    assert!(server.log("checkpoint").await.unwrap().starts_with(LEDGER.as_bytes()));
    let (longer, _) = tokio::join!(server.log_longer_than(0), world.published(&provider, |_| {}));
    assert_eq!(longer.unwrap(), 1);
    server.log("tile/entries/000.p/1").await.unwrap();
    for path in ["tile/0/001", "../management.sqlite", "", &"x".repeat(300)] {
        assert_eq!(refused(server.log(path).await).kind, Kind::NotFound);
    }
    assert_eq!(server.crl("clinic").await.unwrap(), "");
    assert_eq!(refused(server.crl("nowhere").await).kind, Kind::NotFound);
    server.tasks[0].abort();
    while !server.tasks[0].is_finished() {
        tokio::task::yield_now().await;
    }
    assert_kind(server.health().await, Kind::Unavailable, "a task of the server");
}

#[tokio::test]
async fn proofs_wait_for_the_quorum_and_only_key_servers_cosign() {
    let mut world = World::new().await;
    let path = world.dir.path().join("management.toml");
    let config = std::fs::read_to_string(&path).unwrap().replace("quorum = 0", "quorum = 1");
    std::fs::write(&path, config).unwrap();
    world.open(|log| log).await;
    let provider = world.provider().await;
    let policy = world.published(&provider, |_| {}).await;
    let session = world.as_user(&provider);
    let note = world.server().server.log.read("checkpoint").await.unwrap().unwrap();
    let log: VerifyingKey =
        world.server().server.ledger.info().await.unwrap().log_key.unwrap().parse().unwrap();
    let mut checkpoint = datapact_log::note::Checkpoint::open(&note, &log, &[]).unwrap();
    let line = witness().cosign(&checkpoint, world.now());
    checkpoint.add(witness().public(), &line).unwrap();
    let note = checkpoint.to_string();
    assert_kind(
        world.as_server(STORAGE).add_cosignature(&note).await,
        Kind::Forbidden,
        "key servers",
    );
    assert_kind(world.as_server(KEYS).add_cosignature("x").await, Kind::Malformed, "cosignature");
    let late = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.as_server(KEYS).add_cosignature(&note).await
    };
    let (proof, added) = tokio::join!(session.proof(0), late);
    added.unwrap();
    let proof = proof.unwrap();
    assert!(proof.entry.contains(&policy.id().to_string()));
    let log_policy = LogPolicy::new(&log, &[witness().public().clone()]).unwrap();
    let parsed: datapact_log::proof::Proof = proof.proof.parse().unwrap();
    parsed.verify(&log_policy, proof.entry.as_bytes()).unwrap();
    assert_eq!(refused(session.proof(1).await).kind, Kind::NotFound);
}

#[tokio::test]
async fn us_5_a_notification_is_kept_until_it_is_acknowledged() {
    let world = World::new().await;
    let (provider, other) = (world.provider().await, world.consumer("Other").await);
    for _ in 0..3 {
        world.published(&provider, |_| {}).await;
    }
    let (open, all) = (NotificationQuery::default(), NotificationQuery { after: 0, all: true });
    let session = world.as_user(&provider);
    let told = session.notifications(&open).await.unwrap();
    assert_eq!(told.len(), 3);
    // Nobody acknowledges for somebody else.
    world.as_user(&other).acknowledge(told[2].sequence).await.unwrap();
    session.acknowledge(told[1].sequence).await.unwrap();
    assert_eq!(session.notifications(&open).await.unwrap(), told[2..]);
    assert_eq!(session.notifications(&all).await.unwrap(), told);
    // A year later the acknowledged ones are gone, the other is not.
    world.pass(366 * 24 * 60 * 60);
    let policy = world.policy(&provider, |_| {});
    session.set_policy(&policy).await.unwrap();
    let left = session.notifications(&all).await.unwrap();
    assert_eq!((left.len(), left[0].sequence), (2, told[2].sequence));
}

#[tokio::test]
async fn ds_3_packages_go_when_their_retention_is_over_and_not_before() {
    let world = World::new().await;
    let provider = world.provider().await;
    let day = 24 * 60 * 60;
    let lasting = |p: &mut SharingPolicy| p.permission.expires += 400 * day;
    let revoked = world.published(&provider, lasting).await;
    let expired = world.published(&provider, |_| {}).await;
    let kept = world.published(&provider, lasting).await;
    let replaced = world.published(&provider, lasting).await;
    let session = world.as_user(&provider);
    session
        .set_policy(&world.successor(&provider, &revoked, |p| p.state = ShareState::Revoked))
        .await
        .unwrap();
    // Another package, stored under the same share.
    let with_another = |policy: &Signed<SharingPolicy>| {
        let other = world.policy(&provider, |_| {});
        world
            .keys
            .keys
            .lock()
            .unwrap()
            .get_mut(&other.body().information.key.id)
            .unwrap()
            .1
            .share = Some(policy.body().share);
        world.successor(&provider, policy, |p| p.information = other.body().information.clone())
    };
    let next = with_another(&replaced);
    session.set_policy(&next).await.unwrap();
    // A share that comes back to its first package.
    let returned = world.published(&provider, lasting).await;
    let between = with_another(&returned);
    session.set_policy(&between).await.unwrap();
    let last = world
        .successor(&provider, &between, |p| p.information = returned.body().information.clone());
    session.set_policy(&last).await.unwrap();

    let stored = |policy: &Signed<SharingPolicy>| {
        world.storage.packages.lock().unwrap().contains_key(&policy.body().information.package.id)
    };
    let packages = [&revoked, &expired, &replaced, &between, &kept, &next, &last];
    world.pass(90 * day - 5);
    world.server().server.delete_packages().await.unwrap();
    assert_eq!(packages.map(stored), [true; 7]);
    world.pass(3700);
    world.server().server.delete_packages().await.unwrap();
    assert_eq!(packages.map(stored), [false, false, false, false, true, true, true]);
    world.server().server.delete_packages().await.unwrap();
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
        let found = session.catalog(&query).await.unwrap();
        found.iter().map(|entry| entry.event).collect::<Vec<_>>()
    };
    let code = |text: &str| Some(text.parse().unwrap());
    assert_eq!(search(&|_| ()).await, [4, 3, 2, 1]);
    assert_eq!(search(&|q| q.provider = Some(other.identity().to_string())).await, [4]);
    assert_eq!(search(&|q| q.country = Some("SE".parse().unwrap())).await, [4, 2, 1]);
    assert_eq!(search(&|q| q.country = Some("US".parse().unwrap())).await, [4, 1]);
    assert_eq!(search(&|q| q.industry = code("isic4:8610")).await, [4, 3, 2, 1]);
    assert_eq!(search(&|q| q.industry = code("isic4:8690")).await, [4, 3, 1]);
    assert_eq!(search(&|q| q.industry = code("isic4:01")).await, [4, 1]);
    assert_eq!(
        search(&|q| (q.price_max, q.currency) = (Some(500), Some("EUR".to_owned()))).await,
        [3, 2, 1]
    );
    assert_eq!(
        search(&|q| (q.price_max, q.currency) = (Some(499), Some("EUR".to_owned()))).await,
        [2, 1]
    );
    assert_eq!(search(&|q| q.price_max = Some(0)).await, [2, 1]);
    assert_eq!(search(&|q| q.valid_at = Some(now)).await, [3, 2, 1]);
    assert_eq!(search(&|q| q.valid_at = Some(now + 4000)).await, [4]);
    let all = |q: &mut CatalogQuery| {
        q.text = Some("admissions 2025".to_owned());
        q.country = Some("DE".parse().unwrap());
        q.industry = code("isic4:86");
        q.realm = Some("clinic".to_owned());
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
    world.server().server.forget_expired().await.unwrap();
    assert_eq!(world.count("term WHERE term = '*'").await, 1);
    assert_eq!(search(&|_| ()).await, [4]);
}
