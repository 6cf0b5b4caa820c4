//! Introspection and revocation of tokens.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use crate::management::tests::*;

#[tokio::test]
async fn mg_16_a_revoked_token_is_good_for_nothing() {
    let world = World::new().await;
    let provider = world.provider().await;
    let (consumer, other) = (world.consumer("Consumer").await, world.consumer("Other").await);
    let policy = world.published(&provider, |_| {}).await;
    let session = world.as_user(&consumer);
    let ask = async || {
        let request = world.request(&consumer, &policy);
        (request.clone(), session.accesses().request_access(&request).await.unwrap())
    };
    // Consumer, provider and administrators may, each another's token.
    for (who, user) in [&consumer, &provider, &world.admin].into_iter().enumerate() {
        let (request, grant) = ask().await;
        let id = request.id();
        let told = world.as_user(user).tokens().token(&id).await.unwrap().token.unwrap();
        assert_eq!(
            (told.sub, told.aud.as_str()),
            (session.accounts().account().await.unwrap().id, KEYS)
        );
        assert_eq!((told.iat, told.exp), (grant.record.time, grant.record.time + 300));
        world.as_user(user).tokens().revoke_token(&id).await.unwrap();
        let revoked = world.keys.revoked.lock().unwrap().clone();
        assert_eq!(revoked.len(), who + 1, "the key server knows before the answer");
        assert_eq!((revoked[who].request, revoked[who].until), (id, grant.record.time + 600));
        assert!(
            !world
                .as_server(KEYS)
                .tokens()
                .introspect(&token_form(&grant.token))
                .await
                .unwrap()
                .active
        );
        assert!(!world.as_user(user).tokens().token(&id).await.unwrap().active);
        // Nor does a repeat give another token; and revoking again changes nothing.
        assert_kind(
            session.accesses().request_access(&request).await,
            Kind::Forbidden,
            "was revoked",
        );
        world.as_user(user).tokens().revoke_token(&id).await.unwrap();
        assert_eq!(world.keys.revoked.lock().unwrap().len(), who + 1);
    }
    // What an administrator does is on record, what others do with their own is not.
    let actions = world.as_user(&world.admin).accounts().actions(Page::first()).await.unwrap();
    let deeds =
        actions.iter().filter(|a| matches!(a.record.deed, Deed::TokenRevoked { .. })).count();
    assert_eq!(deeds, 1);
    // To others the access does not exist.
    let again =
        world.successor(&provider, &policy, |p| p.permission.access_times = AccessTimes::Times(9));
    world.as_user(&provider).policies().set_policy(&again).await.unwrap();
    let request = world.request(&consumer, &again);
    let grant = session.accesses().request_access(&request).await.unwrap();
    assert_kind(
        world.as_user(&other).tokens().revoke_token(&request.id()).await,
        Kind::NotFound,
        "no access",
    );
    assert_kind(
        world.as_user(&other).tokens().token(&request.id()).await,
        Kind::NotFound,
        "no access",
    );
    assert!(
        world.as_server(KEYS).tokens().introspect(&token_form(&grant.token)).await.unwrap().active
    );
    // A dead token needs no revocation.
    world.pass(700);
    assert!(!session.tokens().token(&request.id()).await.unwrap().active);
    session.tokens().revoke_token(&request.id()).await.unwrap();
    assert_eq!(world.keys.revoked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn mg_16_a_revocation_reaches_a_key_server_that_was_away() {
    let mut world = World::new().await;
    let provider = world.provider().await;
    let consumer = world.consumer("Consumer").await;
    let policy = world.published(&provider, |_| {}).await;
    let request = world.request(&consumer, &policy);
    let grant = world.as_user(&consumer).accesses().request_access(&request).await.unwrap();
    *world.keys.away.lock().unwrap() = Some(Problem::new(Kind::Unavailable, "away"));
    let revoked = world.as_user(&provider).tokens().revoke_token(&request.id()).await;
    assert_kind(revoked, Kind::Unavailable, "key:keys.example could not be told yet");
    assert!(
        !world.as_server(KEYS).tokens().introspect(&token_form(&grant.token)).await.unwrap().active
    );
    // Not even when management is killed in between.
    world.open(|log| log).await;
    *world.keys.away.lock().unwrap() = None;
    world.as_user(&provider).tokens().revoke_token(&request.id()).await.unwrap();
    assert_eq!(world.keys.revoked.lock().unwrap().len(), 1);
}
