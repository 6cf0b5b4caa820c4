//! Accesses and usage reports.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use crate::management::tests::*;
use datapact_core::contract::Refusal;
use datapact_core::document::UsageAction;

#[tokio::test]
async fn ax_11_a_granted_access_brings_all_that_the_consumer_needs() {
    let world = World::new().await;
    let provider = world.provider().await;
    let attributes = Attributes { country: Some("SE".parse().unwrap()), ..Attributes::default() };
    let consumer = world.joined(&world.lab, "Consumer", Role::User, attributes).await;
    let policy = world
        .published(&provider, |p| {
            p.terms.anyone = false;
            p.terms.countries = BTreeSet::from(["SE".parse().unwrap(), "DE".parse().unwrap()]);
        })
        .await;
    let (share, body) = (policy.body().share, policy.body());
    let session = world.as_user(&consumer);
    let eligible = session.catalog().catalog_entry(&share, &Purpose::default()).await.unwrap();
    assert_eq!((eligible.refusal, eligible.granted), (None, 0));
    let request = world.request(&consumer, &policy);
    let grant = session.accesses().request_access(&request).await.unwrap();

    assert_eq!((grant.position, grant.record.access, &grant.policy), (1, 1, &policy));
    assert_eq!(grant.consumer.commitment(&share), grant.record.request.consumer);
    assert_eq!(grant.record.request.country.as_ref().unwrap().as_str(), "SE");
    assert_eq!(grant.record.request.organisation, None);
    let permission = RequestedPermissionView::of(&grant);
    assert_eq!(
        permission,
        (body.information.key.address.clone(), body.information.package.address.clone())
    );
    assert_eq!(grant.permission.access_times, AccessTimes::Times(3));
    assert!(grant.key_server_certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(grant.key_server_certificate, grant.storage_server_certificate);

    // MG-16.
    let jwks = datapact_api::public::Public::jwks(world.management()).await.unwrap();
    let claims = jwks.verify(&grant.token, "management.example", KEYS, world.now(), 0).unwrap();
    let certificate = &consumer.signer.chain()[0];
    assert_eq!(claims.cnf, datapact_core::token::Confirmation::of(certificate));
    assert_eq!((claims.iat, claims.exp), (grant.record.time, grant.record.time + 300));
    assert_eq!(
        (claims.request, claims.salt, claims.position),
        (request.id(), grant.consumer.salt, 1)
    );
    assert_eq!(claims.sub, session.accounts().account().await.unwrap().id);
    let told = world.as_server(KEYS).tokens().introspect(&token_form(&grant.token)).await.unwrap();
    assert!(told.active);
    let token = told.token.as_ref().unwrap();
    assert_eq!((token.sub, token.exp, token.jti), (claims.sub, claims.exp, Some(claims.jti)));
    assert_eq!((token.share, token.cnf.as_ref()), (claims.share, Some(&claims.cnf)));
    // No other party learns what opens the consumer's commitment.
    assert!(!serde_json::to_string(&told).unwrap().contains(&claims.salt.to_string()));
    // For another server it is not good, nor is a broken one.
    assert!(
        !world
            .as_server(STORAGE)
            .tokens()
            .introspect(&token_form(&grant.token))
            .await
            .unwrap()
            .active
    );
    assert!(!world.as_server(KEYS).tokens().introspect(&token_form("x.y.z")).await.unwrap().active);
    assert_kind(
        world.as_server("other.example").tokens().introspect(&token_form(&grant.token)).await,
        Kind::Forbidden,
        "own servers",
    );

    // A late repeat gives no more life and costs no access.
    world.pass(301);
    let repeat = session.accesses().request_access(&request).await.unwrap();
    assert_eq!(
        jwks.verify(&repeat.token, "management.example", KEYS, grant.record.time, 0).unwrap(),
        claims
    );
    assert!(jwks.verify(&repeat.token, "management.example", KEYS, world.now(), 0).is_err());
    assert_eq!((world.size().await, world.count("intent").await), (2, 0));
    // US-5: both are told, once.
    for user in [&provider, &consumer] {
        let told = world
            .as_user(user)
            .notifications()
            .notifications(&NotificationQuery::default())
            .await
            .unwrap();
        let granted = NotificationEvent::AccessGranted {
            request: request.id(),
            consumer: consumer.identity(),
            access: 1,
        };
        assert_eq!(told.iter().filter(|n| n.event == granted).count(), 1);
    }
}

/// Key address and package address.
struct RequestedPermissionView;

impl RequestedPermissionView {
    fn of(grant: &AccessGrant) -> (String, String) {
        (grant.permission.key.address.clone(), grant.permission.package.address.clone())
    }
}

#[tokio::test]
async fn ax_4_a_request_that_is_not_the_consumers_word_is_refused() {
    let world = World::new().await;
    let provider = world.provider().await;
    let (consumer, other) = (world.consumer("Consumer").await, world.consumer("Other").await);
    let policy = world.published(&provider, |_| {}).await;
    let session = world.as_user(&consumer);
    let request = world.request(&consumer, &policy);
    // Replayed by another, before and after it was granted.
    assert_kind(
        world.as_user(&other).accesses().request_access(&request).await,
        Kind::Forbidden,
        "another user",
    );
    session.accesses().request_access(&request).await.unwrap();
    assert_kind(
        world.as_user(&other).accesses().request_access(&request).await,
        Kind::Forbidden,
        "another user",
    );
    let body = || AccessRequest { share: policy.body().share, policy: policy.id(), purpose: None };
    let cases = [
        (consumer.signer.sign("another/ledger", world.now(), body()), "not for"),
        (consumer.signer.sign(LEDGER, world.now() - 601, body()), "seconds ago"),
        (consumer.signer.sign(LEDGER, world.now() + 601, body()), "ahead"),
    ];
    for (request, says) in &cases {
        assert_kind(session.accesses().request_access(request).await, Kind::Malformed, says);
    }
    let forged = User { signer: TestRealm::new("lab").signer("Consumer") };
    assert_eq!(forged.identity(), consumer.identity());
    let forged = world.request(&forged, &policy);
    assert_eq!(refused(session.accesses().request_access(&forged).await).kind, Kind::Malformed);
    let unknown = AccessRequest { share: ShareId::random(), ..body() };
    let unknown = consumer.signer.sign(LEDGER, world.now(), unknown);
    assert_eq!(
        refused(session.accesses().request_access(&unknown).await).refusal,
        Some(Refusal::UnknownShare)
    );
    assert_eq!((world.size().await, world.count("intent").await), (2, 0));
}

#[tokio::test]
async fn mg_8_what_the_policy_refuses_is_said_and_leaves_no_trace() {
    let world = World::new().await;
    let provider = world.provider().await;
    let attributes = Attributes {
        organisation: Some("lab".parse().unwrap()),
        industry: Some("isic4:86".parse().unwrap()),
        country: Some("SE".parse().unwrap()),
    };
    let consumer = world.joined(&world.lab, "Consumer", Role::User, attributes).await;
    let session = world.as_user(&consumer);
    type Edit = fn(&mut SharingPolicy);
    let edits: [(Edit, Refusal); 4] = [
        (|p| p.terms.users = BTreeSet::from(["lab:CN=Named".parse().unwrap()]), Refusal::User),
        (
            |p| p.terms.organisations = BTreeSet::from(["clinic".parse().unwrap()]),
            Refusal::Organisation,
        ),
        (|p| p.terms.industries = BTreeSet::from(["isic4:01".parse().unwrap()]), Refusal::Industry),
        (|p| p.terms.countries = BTreeSet::from(["DE".parse().unwrap()]), Refusal::Country),
    ];
    for (edit, refusal) in edits {
        let policy = world
            .published(&provider, |p| {
                p.terms.anyone = false;
                edit(p);
            })
            .await;
        let size = world.size().await;
        let salts = world.count("salt").await;
        let problem =
            refused(session.accesses().request_access(&world.request(&consumer, &policy)).await);
        assert_eq!((problem.kind, problem.refusal), (Kind::Refused, Some(refusal.clone())));
        assert_eq!(
            session
                .catalog()
                .catalog_entry(&policy.body().share, &Purpose::default())
                .await
                .unwrap()
                .refusal,
            Some(refusal)
        );
        assert_eq!((world.size().await, world.count("intent").await), (size, 0));
        assert_eq!(world.count("salt").await, salts);
    }
    let purpose: Name = "research".parse().unwrap();
    let policy =
        world.published(&provider, |p| p.terms.purposes = BTreeSet::from([purpose.clone()])).await;
    let problem =
        refused(session.accesses().request_access(&world.request(&consumer, &policy)).await);
    assert_eq!(problem.refusal, Some(Refusal::Purpose));
    let body = AccessRequest {
        share: policy.body().share,
        policy: policy.id(),
        purpose: Some(purpose.clone()),
    };
    let grant = session
        .accesses()
        .request_access(&consumer.signer.sign(LEDGER, world.now(), body))
        .await
        .unwrap();
    assert_eq!(grant.permission.purpose, Some(purpose));
    // The provider is told of the grant alone.
    let told = world
        .as_user(&provider)
        .notifications()
        .notifications(&NotificationQuery::default())
        .await
        .unwrap();
    let granted = |n: &&Notification| matches!(n.event, NotificationEvent::AccessGranted { .. });
    assert_eq!(told.iter().filter(granted).count(), 1);
}

#[tokio::test]
async fn mg_10_two_hundred_consumers_at_once_never_get_an_eleventh_access() {
    const CONSUMERS: usize = 200;
    const TIMES: u32 = 10;
    let world = World::new().await;
    let provider = world.provider().await;
    let policy =
        world.published(&provider, |p| p.permission.access_times = AccessTimes::Times(TIMES)).await;
    let names: Vec<String> = (0..CONSUMERS).map(|i| format!("C{i}")).collect();
    let consumers =
        futures_util::future::join_all(names.iter().map(|name| world.consumer(name))).await;
    let world = &world;
    let policy = &policy;
    let asked = consumers.iter().map(|consumer| async move {
        let session = world.as_user(consumer).accesses();
        let requests: Vec<_> = (0..TIMES + 1).map(|_| world.request(consumer, policy)).collect();
        let answers =
            futures_util::future::join_all(requests.iter().map(|r| session.request_access(r)))
                .await;
        let granted: BTreeSet<u32> =
            answers.iter().flatten().map(|grant| grant.record.access).collect();
        let refusals: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        assert!(granted.into_iter().eq(1..=TIMES));
        assert_eq!(refusals.len(), 1);
        for problem in refusals {
            assert_eq!(problem.refusal, Some(Refusal::AccessTimes { access_times: TIMES }));
        }
        // One salt, so one commitment, however many asked at once.
        let records = session.accesses(&RecordQuery::default()).await.unwrap();
        let commitments: BTreeSet<_> =
            records.iter().map(|entry| entry.record.request.consumer).collect();
        assert_eq!((records.len(), commitments.len()), (TIMES as usize, 1));
    });
    futures_util::future::join_all(asked).await;
    let all = CONSUMERS as u64 * u64::from(TIMES);
    assert_eq!((world.size().await, world.count("intent").await), (1 + all, 0));
    let shares = world.as_user(&provider).policies().shares(Page::first()).await.unwrap();
    assert_eq!(shares[0].accesses, all);
    // MG-13: the provider's pages hold every access once.
    let (mut after, mut seen) = (None, BTreeSet::new());
    loop {
        let query = RecordQuery { share: Some(policy.body().share), after };
        let page = world.as_user(&provider).accesses().accesses(&query).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.position);
        assert!(page.len() <= 200);
        for entry in page {
            assert!(seen.insert(entry.position));
            assert_eq!(entry.request.signer(), &entry.consumer.identity);
            let share = entry.record.request.share;
            assert_eq!(entry.consumer.commitment(&share), entry.record.request.consumer);
        }
    }
    assert_eq!(seen.len() as u64, all);
}

#[tokio::test]
async fn ur_2_usage_is_reported_by_the_accesss_consumer_only() {
    let world = World::new().await;
    let provider = world.provider().await;
    let (consumer, other) = (world.consumer("Consumer").await, world.consumer("Other").await);
    let policy = world.published(&provider, |_| {}).await;
    let share = policy.body().share;
    let request = world.request(&consumer, &policy);
    let report = |user: &User| {
        let body = UsageReport { share, request: request.id(), action: UsageAction::Opened };
        user.signer.sign(LEDGER, world.now(), body)
    };
    let early = refused(world.as_user(&consumer).accesses().report_usage(&report(&consumer)).await);
    assert_eq!(early.refusal, Some(Refusal::UnknownAccess));
    world.as_user(&consumer).accesses().request_access(&request).await.unwrap();
    world.as_user(&other).accesses().request_access(&world.request(&other, &policy)).await.unwrap();
    let foreign = refused(world.as_user(&other).accesses().report_usage(&report(&other)).await);
    assert_eq!(foreign.refusal, Some(Refusal::Consumer));
    let opened = report(&consumer);
    assert_kind(
        world.as_user(&other).accesses().report_usage(&opened).await,
        Kind::Forbidden,
        "another user",
    );
    let receipt = world.as_user(&consumer).accesses().report_usage(&opened).await.unwrap();
    assert_eq!(world.as_user(&consumer).accesses().report_usage(&opened).await.unwrap(), receipt);
    assert_eq!((world.size().await, world.count("intent").await), (4, 0));
    for user in [&provider, &consumer] {
        let usages = world.as_user(user).accesses().usages(&RecordQuery::default()).await.unwrap();
        assert_eq!(
            (usages.len(), &usages[0].report, usages[0].position),
            (1, &opened, receipt.position)
        );
    }
    assert!(
        world.as_user(&other).accesses().usages(&RecordQuery::default()).await.unwrap().is_empty()
    );
    assert_eq!(
        world.as_user(&other).accesses().accesses(&RecordQuery::default()).await.unwrap().len(),
        1
    );
    let told = world
        .as_user(&provider)
        .notifications()
        .notifications(&NotificationQuery::default())
        .await
        .unwrap();
    assert!(matches!(told.last().unwrap().event, NotificationEvent::UsageReported { .. }));
}

#[tokio::test]
async fn a_disabled_account_is_granted_nothing_and_its_token_is_not_good() {
    let world = World::new().await;
    let provider = world.provider().await;
    let consumer = world.consumer("Consumer").await;
    let policy = world.published(&provider, |_| {}).await;
    let session = world.as_user(&consumer);
    let request = world.request(&consumer, &policy);
    let grant = session.accesses().request_access(&request).await.unwrap();
    assert!(
        world.as_server(KEYS).tokens().introspect(&token_form(&grant.token)).await.unwrap().active
    );
    let id = session.accounts().account().await.unwrap().id;
    let update = AccountUpdate { active: Some(false), ..AccountUpdate::default() };
    world.as_user(&world.admin).accounts().update_account(&id, &update).await.unwrap();
    assert!(
        !world.as_server(KEYS).tokens().introspect(&token_form(&grant.token)).await.unwrap().active
    );
    assert_kind(session.accesses().request_access(&request).await, Kind::Forbidden, "disabled");
    assert_kind(
        session.accesses().request_access(&world.request(&consumer, &policy)).await,
        Kind::Forbidden,
        "disabled",
    );
}
