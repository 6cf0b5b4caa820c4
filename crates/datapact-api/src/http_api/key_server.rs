//! The key server's routes and client.

use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use datapact_core::id::{Digest, KeyId, ShareId};
use datapact_core::jws::Signed;
use datapact_core::permission::KeyReference;
use datapact_core::policy::SharingPolicy;
use http::Method;
use serde::{Deserialize, Serialize};

use super::client::{Http, to_json, with_query};
use super::{Behind, Path, Query, gated, json};
use crate::administration::UserNotice;
use crate::gate::{Caller, Gate};
use crate::key_server::*;
use crate::problem::Result;

/// Makes the key server as one caller sees it.
pub trait KeyServerService: Send + Sync + 'static {
    /// For `caller`, who has passed the gate.
    fn session(self: Arc<Self>, caller: Caller) -> Box<dyn KeyServer>;
}

type App = State<Arc<dyn KeyServerService>>;
type Who = Extension<Caller>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Withhold<T> {
    policy: T,
}

/// The routes of a key server.
pub fn key_server_router(service: Arc<dyn KeyServerService>, gate: Arc<Gate>) -> Router {
    gated(routes(service), gate)
}

pub(crate) fn routes(service: Arc<dyn KeyServerService>) -> Router {
    Router::new()
        .route(
            "/v1/keys",
            post(async |State(s): App, Extension(c): Who| {
                s.session(c).register_key().await.map(Json)
            })
            .get(
                async |State(s): App, Extension(c): Who, Query(query): Query<Behind<KeyId>>| {
                    s.session(c).keys(query.after.as_ref()).await.map(Json)
                },
            ),
        )
        .route(
            "/v1/keys/{id}",
            get(async |State(s): App, Extension(c): Who, Path(id): Path<KeyId>| {
                s.session(c).key_status(&id).await.map(Json)
            })
            .put(async |State(s): App, Extension(c): Who, Path(id): Path<KeyId>, body: Bytes| {
                s.session(c).store_key(&id, &json(&body)?).await.map(Json)
            })
            .delete(
                async |State(s): App, Extension(c): Who, Path(id): Path<KeyId>| {
                    s.session(c).delete_key(&id).await.map(Json)
                },
            ),
        )
        .route(
            "/v1/keys/{id}/release",
            post(async |State(s): App, Extension(c): Who, Path(id): Path<KeyId>, body: Bytes| {
                s.session(c).release(&id, &json(&body)?).await.map(Json)
            }),
        )
        .route(
            "/v1/policies",
            post(async |State(s): App, Extension(c): Who, body: Bytes| {
                s.session(c).show_policy(&json(&body)?).await.map(Json)
            }),
        )
        .route(
            "/v1/withhold",
            post(async |State(s): App, Extension(c): Who, body: Bytes| {
                let policy = json::<Withhold<Signed<SharingPolicy>>>(&body)?.policy;
                s.session(c).withhold(&policy).await.map(Json)
            }),
        )
        .route(
            "/v1/releases/{share}",
            get(
                async |State(s): App,
                       Extension(c): Who,
                       Path(share): Path<ShareId>,
                       Query(query): Query<Behind<Digest>>| {
                    s.session(c).releases(&share, query.after.as_ref()).await.map(Json)
                },
            ),
        )
        .route(
            "/v1/revocations",
            post(async |State(s): App, Extension(c): Who, body: Bytes| {
                s.session(c).revoke_token(&json(&body)?).await.map(Json)
            }),
        )
        .route(
            "/v1/users",
            post(async |State(s): App, Extension(c): Who, body: Bytes| {
                s.session(c).set_user(&json(&body)?).await.map(Json)
            }),
        )
        .with_state(service)
}

/// A key server over HTTP.
#[derive(Clone)]
pub struct KeyServerClient(pub Http);

#[async_trait]
impl KeyServer for KeyServerClient {
    async fn register_key(&self) -> Result<KeyReference> {
        self.0.call(Method::POST, "/v1/keys", None).await
    }

    async fn store_key(&self, id: &KeyId, key: &StoreKey) -> Result<KeyStatus> {
        self.0.call(Method::PUT, &format!("/v1/keys/{id}"), Some(to_json(key)?)).await
    }

    async fn key_status(&self, id: &KeyId) -> Result<KeyStatus> {
        self.0.get(&format!("/v1/keys/{id}")).await
    }

    async fn keys(&self, after: Option<&KeyId>) -> Result<Vec<KeyStatus>> {
        self.0.get(&with_query("/v1/keys", &Behind { after: after.copied() })?).await
    }

    async fn delete_key(&self, id: &KeyId) -> Result<()> {
        self.0.call(Method::DELETE, &format!("/v1/keys/{id}"), None).await
    }

    async fn show_policy(&self, shown: &ShownPolicy) -> Result<()> {
        self.0.post("/v1/policies", shown).await
    }

    async fn withhold(&self, policy: &Signed<SharingPolicy>) -> Result<()> {
        self.0.post("/v1/withhold", &Withhold { policy }).await
    }

    async fn revoke_token(&self, revocation: &TokenRevocation) -> Result<()> {
        self.0.post("/v1/revocations", revocation).await
    }

    async fn set_user(&self, notice: &UserNotice) -> Result<()> {
        self.0.post("/v1/users", notice).await
    }

    async fn release(&self, id: &KeyId, release: &ReleaseKey) -> Result<ReleasedKey> {
        self.0.post(&format!("/v1/keys/{id}/release"), release).await
    }

    async fn releases(&self, share: &ShareId, after: Option<&Digest>) -> Result<Vec<ReleaseEntry>> {
        let query = Behind { after: after.copied() };
        self.0.get(&with_query(&format!("/v1/releases/{share}"), &query)?).await
    }
}
