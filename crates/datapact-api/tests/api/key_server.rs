//! The key server's routes: what a body must be, and that what it says reaches the server whole.

use async_trait::async_trait;
use datapact_api::gate::gated;
use datapact_api::key_server::{self, *};
use datapact_api::operation::Page;
use datapact_api::problem::{Problem, Result};
use datapact_api::user::{UserNotice, Users};
use datapact_core::id::{Digest, KeyId, ShareId};
use datapact_core::permission::KeyReference;
use http::StatusCode;

use crate::common::{Call, World};

/// A key server that knows of no key, and for the rest says what reached it.
struct Echo;

fn absent<T>() -> Result<T> {
    Err(Problem::not_found("there is no such key").hint("register it first"))
}

#[async_trait]
impl Keys for Echo {
    async fn register_key(&self) -> Result<KeyReference> {
        absent()
    }
    async fn store_key(&self, id: &KeyId, key: &StoreKey) -> Result<KeyStatus> {
        let address = format!("{} digits", key.key.len());
        let (share, package) = (Some(key.share), Some(key.package));
        Ok(KeyStatus { key: KeyReference { id: *id, address }, stored: true, share, package })
    }
    async fn key_status(&self, _id: &KeyId) -> Result<KeyStatus> {
        absent()
    }
    async fn keys(&self, _page: Page<KeyId>) -> Result<Vec<KeyStatus>> {
        absent()
    }
    async fn delete_key(&self, _id: &KeyId) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl ShownPolicies for Echo {
    async fn show_policy(&self, _shown: &ShownPolicy) -> Result<()> {
        absent()
    }
    async fn withhold(&self, _withheld: &Withhold) -> Result<()> {
        absent()
    }
}

#[async_trait]
impl Releases for Echo {
    async fn release(&self, _id: &KeyId, _release: &ReleaseKey) -> Result<ReleasedKey> {
        absent()
    }
    async fn releases(&self, _share: &ShareId, _page: Page<Digest>) -> Result<Vec<ReleaseEntry>> {
        Ok(Vec::new())
    }
    async fn erased_releases(
        &self,
        _share: &ShareId,
        _page: Page<Digest>,
    ) -> Result<Vec<ErasedRelease>> {
        Ok(Vec::new())
    }
    async fn revoke_token(&self, _revocation: &TokenRevocation) -> Result<()> {
        absent()
    }
}

#[async_trait]
impl Users for Echo {
    async fn set_user(&self, _notice: &UserNotice) -> Result<()> {
        absent()
    }
}

fn world() -> World {
    World::with(|gate| gated(key_server::routes(|_| Echo), gate))
}

fn key() -> String {
    format!("/v1/keys/{}", "0a".repeat(16))
}

#[tokio::test]
async fn ks_1_a_key_arrives_with_its_share_and_package() {
    let world = world();
    let (secret, share, package) = ("ab".repeat(32), "0b".repeat(16), "0c".repeat(32));
    let body = format!(r#"{{"key":"{secret}","share":"{share}","package":"{package}"}}"#);
    let answer = world.call(&world.alice, &Call::new("PUT", &key(), &body)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let json = answer.json();
    assert_eq!(json["key"]["address"], "64 digits");
    assert_eq!(json["share"], share);
    assert_eq!(json["package"], package);
    assert!(!json.to_string().contains(&secret), "the key came back");

    for wrong in [
        "",
        "{}",
        "[]",
        &body.replace("share", "chare"),
        &body.replace('}', r#","more":1}"#),
        &body.replace("0b0b", "0B0B"),
        &body.replace(&share, "0b"),
    ] {
        let answer = world.call(&world.alice, &Call::new("PUT", &key(), wrong)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
        answer.is_problem("malformed", "the body is not as specified");
    }
}

#[tokio::test]
async fn a_refusal_of_the_server_arrives_with_its_hint() {
    let world = world();
    let answer = world.call(&world.alice, &Call::new("GET", &key(), "")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    answer.is_problem("not-found", "there is no such key");
    assert_eq!(answer.json()["hint"], "register it first");
}

#[tokio::test]
async fn what_answers_nothing_answers_null() {
    let world = world();
    let answer = world.call(&world.alice, &Call::new("DELETE", &key(), "")).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, b"null".as_slice()));
    let releases = Call::new("GET", &format!("/v1/releases/{}", "0b".repeat(16)), "");
    assert_eq!(world.call(&world.alice, &releases).await.json(), serde_json::json!([]));
}

#[tokio::test]
async fn unsigned_documents_are_refused_before_they_reach_the_server() {
    let world = world();
    for policy in [r#""""#, r#""a.b.c""#, "{}", "7"] {
        let body = format!(r#"{{"policy":{policy}}}"#);
        let answer = world.call(&world.alice, &Call::new("POST", "/v1/withhold", &body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{policy}");
        answer.is_problem("malformed", "the body is not as specified");
    }
}

#[tokio::test]
async fn an_idempotency_key_is_a_quoted_string() {
    let world = world();
    let long = format!("\"{}\"", "a".repeat(129));
    for wrong in ["one", "\"\"", "\"a", "\"a\\b\"", "\"a\"b\"", &long] {
        let call = Call::new("DELETE", &key(), "").with("idempotency-key", wrong);
        world.call(&world.alice, &call).await.is_problem("malformed", "`Idempotency-Key`");
    }
    let twice = Call::new("DELETE", &key(), "")
        .with("idempotency-key", "\"a\"")
        .with("idempotency-key", "\"a\"");
    world.call(&world.alice, &twice).await.is_problem("malformed", "twice");
    let good = Call::new("DELETE", &key(), "").with("idempotency-key", "\"5d41 ~!\"");
    assert_eq!(world.call(&world.alice, &good).await.status, StatusCode::OK);
}
