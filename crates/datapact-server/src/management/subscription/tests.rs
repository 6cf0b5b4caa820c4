//! Kept subscriptions.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use crate::management::tests::*;
use datapact_api::management::{
    CatalogFilter, NewSubscription, NewWebhook, Publications, Redelivery,
};
use datapact_core::id::SubscriptionId;
use datapact_core::policy::Price;
use futures_util::StreamExt as _;

fn about(filter: CatalogFilter) -> NewSubscription {
    NewSubscription { filter, webhook: None }
}

fn words(text: &str) -> CatalogFilter {
    CatalogFilter { text: Some(text.to_owned()), ..CatalogFilter::default() }
}

async fn next(stream: &mut Publications) -> CatalogEntry {
    tokio::time::timeout(Duration::from_secs(60), stream.next()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn mg_15_a_kept_subscription_tells_what_fits_from_its_beginning() {
    let world = World::new().await;
    let provider = world.provider().await;
    let consumer = world.consumer("Consumer").await;
    let publish = async |title: &str, country: &str, price: Option<u64>| {
        let edit = |p: &mut SharingPolicy| {
            p.information.title = title.to_owned();
            p.information.price = price.map(|amount| Price { amount, currency: "EUR".to_owned() });
            p.terms.anyone = false;
            p.terms.countries = BTreeSet::from([country.parse().unwrap()]);
        };
        world.published(&provider, edit).await
    };
    publish("Vitals before", "SE", None).await;
    let session = world.as_user(&consumer);
    let id = SubscriptionId::random();
    let filter = CatalogFilter {
        country: Some("SE".parse().unwrap()),
        price_max: Some(500),
        currency: Some("EUR".to_owned()),
        ..words("vitals")
    };
    let kept = session.subscriptions().set_subscription(&id, &about(filter.clone())).await.unwrap();
    assert_eq!((kept.id, &kept.filter, kept.after, &kept.webhook), (id, &filter, 1, &None));
    let first = publish("Vitals, free", "SE", None).await;
    publish("Something else", "SE", None).await;
    publish("Vitals elsewhere", "DE", None).await;
    publish("Vitals for much", "SE", Some(501)).await;
    publish("Vitals for some", "SE", Some(500)).await;
    let mut stream = session.subscriptions().follow_subscription(&id, None).await.unwrap();
    let told = next(&mut stream).await;
    assert_eq!((told.share, told.event), (first.body().share, 2));
    assert_eq!(next(&mut stream).await.information.title, "Vitals for some");
    // As it happens, also that a share has ended.
    let revoked = world.successor(&provider, &first, |p| p.state = ShareState::Revoked);
    world.as_user(&provider).policies().set_policy(&revoked).await.unwrap();
    assert_eq!(next(&mut stream).await.state, ShareState::Revoked);
    // Again, from behind what was seen.
    let mut again = session.subscriptions().follow_subscription(&id, Some(2)).await.unwrap();
    assert_eq!(next(&mut again).await.event, 6);

    // A repeat makes no second one, another filter replaces, and the beginning stays.
    let other = session.subscriptions().set_subscription(&id, &about(words("else"))).await.unwrap();
    assert_eq!((other.after, other.created), (kept.after, kept.created));
    assert_eq!(
        session.subscriptions().subscriptions().await.unwrap().iter().collect::<Vec<_>>(),
        [&other]
    );
    assert_eq!(session.subscriptions().subscription(&id).await.unwrap(), other);
    let mut replaced = session.subscriptions().follow_subscription(&id, None).await.unwrap();
    assert_eq!(next(&mut replaced).await.information.title, "Something else");
    let never = Redelivery { events: vec![777] };
    assert_kind(
        session.subscriptions().redeliver(&id, &never).await,
        Kind::NotFound,
        "event 777 is not a dead letter",
    );
    session.subscriptions().redeliver(&id, &Redelivery::default()).await.unwrap();
    // It is the subscriber's alone.
    let stranger = world.as_user(&provider);
    assert_kind(
        stranger.subscriptions().subscription(&id).await,
        Kind::NotFound,
        "no subscription",
    );
    assert_kind(
        stranger.subscriptions().delete_subscription(&id).await,
        Kind::NotFound,
        "no subscription",
    );
    assert_kind(
        stranger.subscriptions().redeliver(&id, &Redelivery::default()).await,
        Kind::NotFound,
        "no subscription",
    );
    assert_kind(
        stranger.subscriptions().set_subscription(&id, &about(words("x"))).await,
        Kind::Conflict,
        "another",
    );
    session.subscriptions().delete_subscription(&id).await.unwrap();
    assert_kind(
        session.subscriptions().follow_subscription(&id, None).await,
        Kind::NotFound,
        "no subscription",
    );
    publish("Something else again", "SE", None).await;
    let ended =
        tokio::time::timeout(Duration::from_secs(60), stream.next()).await.unwrap().unwrap();
    assert_kind(ended, Kind::NotFound, "no subscription");
}

#[tokio::test]
async fn mg_15_a_subscription_that_cannot_be_is_refused() {
    let world = World::new().await;
    let consumer = world.consumer("Consumer").await;
    let session = world.as_user(&consumer);
    let id = SubscriptionId::random();
    let half = CatalogFilter { price_max: Some(5), ..CatalogFilter::default() };
    for filter in [words(" ,"), words(&"a ".repeat(9)), half] {
        assert_eq!(
            refused(session.subscriptions().set_subscription(&id, &about(filter)).await).kind,
            Kind::Malformed
        );
    }
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into();
    let webhook = NewWebhook { url: "https://hooks.example/".to_owned(), secret };
    assert!(!format!("{webhook:?}").contains("whsec_"));
    let sent = NewSubscription { filter: CatalogFilter::default(), webhook: Some(webhook) };
    assert_kind(
        session.subscriptions().set_subscription(&id, &sent).await,
        Kind::Forbidden,
        "not switched on",
    );
    for _ in 0..100 {
        session
            .subscriptions()
            .set_subscription(&SubscriptionId::random(), &about(words("x")))
            .await
            .unwrap();
    }
    assert_kind(
        session.subscriptions().set_subscription(&id, &about(words("x"))).await,
        Kind::Busy,
        "already",
    );
    // PR-1: who is erased leaves none.
    let account = session.accounts().account().await.unwrap().id;
    world.delete(account, &consumer, true).await.unwrap();
    assert_eq!(world.count("subscription").await, 0);
}
