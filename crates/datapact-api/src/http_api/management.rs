//! Management's routes and client.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use datapact_core::document::{AccessRequest, UsageReport};
use datapact_core::id::{AccountId, Digest, ShareId, SubscriptionId};
use datapact_core::jws::Signed;
use datapact_core::policy::SharingPolicy;
use datapact_core::terms::Name;
use eventsource_stream::Eventsource as _;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Method, header};
use serde::{Deserialize, Serialize};

use super::client::{Http, to_json, with_query};
use super::{Behind, Path, Query, gated, json};
use crate::administration::{Action, Erasure};
use crate::gate::{Caller, Gate};
use crate::management::*;
use crate::problem::{Kind, Problem, Result};
use crate::subscription::*;

/// Makes management as one caller sees it.
pub trait ManagementService: Send + Sync + 'static {
    /// For `caller`, who has passed the gate.
    fn session(self: Arc<Self>, caller: Caller) -> Box<dyn Management>;
}

/// The media type of forms.
const FORM: &str = "application/x-www-form-urlencoded";

type App = State<Arc<dyn ManagementService>>;
type Who = Extension<Caller>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    code: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct After {
    #[serde(default)]
    after: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledged {
    sequence: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    #[serde(default)]
    now: bool,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Purpose {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purpose: Option<Name>,
}

/// A body that is one signed document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<T> {
    document: T,
}

/// The routes of management.
pub fn management_router(service: Arc<dyn ManagementService>, gate: Arc<Gate>) -> Router {
    gated(routes(service), gate)
}

pub(crate) fn routes(service: Arc<dyn ManagementService>) -> Router {
    Router::new()
        .route(
            "/v1/info",
            get(async |State(s): App, Extension(c): Who| s.session(c).info().await.map(Json)),
        )
        .route(
            "/v1/join",
            post(async |State(s): App, Extension(c): Who, body: Bytes| {
                s.session(c).join(&json::<Join>(&body)?.code).await.map(Json)
            }),
        )
        .route(
            "/v1/account",
            get(async |State(s): App, Extension(c): Who| s.session(c).account().await.map(tagged)),
        )
        .route(
            "/v1/invitations",
            post(async |State(s): App, Extension(c): Who, body: Bytes| {
                s.session(c).invite(&json(&body)?).await.map(Json)
            }),
        )
        .route(
            "/v1/accounts",
            get(
                async |State(s): App, Extension(c): Who, Query(query): Query<Behind<AccountId>>| {
                    s.session(c).accounts(query.after.as_ref()).await.map(Json)
                },
            ),
        )
        .route(
            "/v1/accounts/{id}",
            get(async |State(s): App, Extension(c): Who, Path(id): Path<AccountId>| {
                s.session(c).account_of(&id).await.map(tagged)
            })
            .patch(
                async |State(s): App, Extension(c): Who, Path(id): Path<AccountId>, body: Bytes| {
                    s.session(c).update_account(&id, &json(&body)?).await.map(tagged)
                },
            )
            .delete(
                async |State(s): App,
                       Extension(c): Who,
                       Path(id): Path<AccountId>,
                       Query(when): Query<When>| {
                    s.session(c).delete_account(&id, when.now).await.map(tagged)
                },
            ),
        )
        .route(
            "/v1/actions",
            get(async |State(s): App, Extension(c): Who, Query(query): Query<After>| {
                s.session(c).actions(query.after).await.map(Json)
            }),
        )
        .route(
            "/v1/shares",
            get(async |State(s): App, Extension(c): Who, Query(query): Query<After>| {
                s.session(c).shares(query.after).await.map(Json)
            })
            .post(async |State(s): App, Extension(c): Who, body: Bytes| {
                s.session(c).set_policy(&signed::<SharingPolicy>(&body)?).await.map(Json)
            }),
        )
        .route(
            "/v1/shares/{id}",
            get(async |State(s): App, Extension(c): Who, Path(id): Path<ShareId>| {
                s.session(c).share(&id).await.map(Json)
            }),
        )
        .route(
            "/v1/catalog",
            get(async |State(s): App, Extension(c): Who, Query(query): Query<CatalogQuery>| {
                s.session(c).catalog(&query).await.map(Json)
            }),
        )
        .route(
            "/v1/catalog/{share}",
            get(
                async |State(s): App,
                       Extension(c): Who,
                       Path(id): Path<ShareId>,
                       Query(q): Query<Purpose>| {
                    s.session(c).catalog_entry(&id, q.purpose.as_ref()).await.map(Json)
                },
            ),
        )
        .route("/v1/publications", get(publications))
        .route(
            "/v1/subscriptions",
            get(async |State(s): App, Extension(c): Who| {
                s.session(c).subscriptions().await.map(Json)
            }),
        )
        .route(
            "/v1/subscriptions/{id}",
            get(async |State(s): App, Extension(c): Who, Path(id): Path<SubscriptionId>| {
                s.session(c).subscription(&id).await.map(Json)
            })
            .put(
                async |State(s): App,
                       Extension(c): Who,
                       Path(id): Path<SubscriptionId>,
                       body: Bytes| {
                    s.session(c).set_subscription(&id, &json(&body)?).await.map(Json)
                },
            )
            .delete(
                async |State(s): App, Extension(c): Who, Path(id): Path<SubscriptionId>| {
                    s.session(c).delete_subscription(&id).await.map(Json)
                },
            ),
        )
        .route("/v1/subscriptions/{id}/publications", get(follow))
        .route(
            "/v1/subscriptions/{id}/dead-letters",
            get(
                async |State(s): App,
                       Extension(c): Who,
                       Path(id): Path<SubscriptionId>,
                       Query(query): Query<After>| {
                    s.session(c).dead_letters(&id, query.after).await.map(Json)
                },
            ),
        )
        .route(
            "/v1/subscriptions/{id}/redeliveries",
            post(
                async |State(s): App,
                       Extension(c): Who,
                       Path(id): Path<SubscriptionId>,
                       body: Bytes| {
                    s.session(c).redeliver(&id, &json(&body)?).await.map(Json)
                },
            ),
        )
        .route(
            "/v1/accesses",
            get(async |State(s): App, Extension(c): Who, Query(query): Query<RecordQuery>| {
                s.session(c).accesses(&query).await.map(Json)
            })
            .post(async |State(s): App, Extension(c): Who, body: Bytes| {
                s.session(c).request_access(&signed::<AccessRequest>(&body)?).await.map(Json)
            }),
        )
        .route(
            "/v1/accesses/{request}/token",
            get(async |State(s): App, Extension(c): Who, Path(request): Path<Digest>| {
                s.session(c).token(&request).await.map(Json)
            })
            .delete(
                async |State(s): App, Extension(c): Who, Path(request): Path<Digest>| {
                    s.session(c).revoke_token(&request).await.map(Json)
                },
            ),
        )
        .route(
            "/v1/usages",
            get(async |State(s): App, Extension(c): Who, Query(query): Query<RecordQuery>| {
                s.session(c).usages(&query).await.map(Json)
            })
            .post(async |State(s): App, Extension(c): Who, body: Bytes| {
                s.session(c).report_usage(&signed::<UsageReport>(&body)?).await.map(Json)
            }),
        )
        .route(
            "/v1/erasures",
            get(async |State(s): App, Extension(c): Who, Query(query): Query<RecordQuery>| {
                s.session(c).erasures(&query).await.map(Json)
            }),
        )
        .route(
            "/v1/notifications",
            get(
                async |State(s): App, Extension(c): Who, Query(query): Query<NotificationQuery>| {
                    s.session(c).notifications(&query).await.map(Json)
                },
            ),
        )
        .route(
            "/v1/notifications/acknowledged",
            post(async |State(s): App, Extension(c): Who, body: Bytes| {
                s.session(c).acknowledge(json::<Acknowledged>(&body)?.sequence).await.map(Json)
            }),
        )
        .route(
            "/v1/log/proofs/{position}",
            get(async |State(s): App, Extension(c): Who, Path(position): Path<u64>| {
                s.session(c).proof(position).await.map(Json)
            }),
        )
        .route(
            "/v1/log/cosignatures",
            post(async |State(s): App, Extension(c): Who, body: Bytes| {
                let note = json::<Document<String>>(&body)?.document;
                s.session(c).add_cosignature(&note).await.map(Json)
            }),
        )
        .route(
            "/v1/introspect",
            post(async |State(s): App, Extension(c): Who, headers: HeaderMap, body: Bytes| {
                let told = s.session(c).introspect(&token_parameter(&headers, &body)?).await?;
                Ok::<_, Problem>(([(header::CACHE_CONTROL, "no-store")], Json(told)))
            }),
        )
        .with_state(service)
}

async fn publications(
    State(s): App,
    Extension(c): Who,
    headers: HeaderMap,
) -> Result<impl IntoResponse> {
    s.session(c).publications(last_event(&headers)?).await.map(event_stream)
}

async fn follow(
    State(s): App,
    Extension(c): Who,
    Path(id): Path<SubscriptionId>,
    headers: HeaderMap,
) -> Result<impl IntoResponse> {
    s.session(c).follow_subscription(&id, last_event(&headers)?).await.map(event_stream)
}

fn last_event(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let id = id.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| Problem::malformed("`Last-Event-ID` must be a number"))
}

/// Server-sent events; each event's id is the publication's number, so that a client resumes with
/// Last-Event-ID.
fn event_stream(entries: BoxStream<'static, Result<CatalogEntry>>) -> impl IntoResponse {
    let events = entries.map(|entry| {
        let event = match entry {
            Ok(entry) => {
                Event::default().event("publication").id(entry.event.to_string()).json_data(&entry)
            }
            Err(problem) => Event::default().event("problem").json_data(problem.to_json()),
        };
        Ok::<_, Infallible>(event.unwrap_or_default())
    });
    Sse::new(events.boxed()).keep_alive(KeepAlive::default())
}

/// An account with its entity tag (RFC 9110).
fn tagged(account: Account) -> impl IntoResponse {
    ([(header::ETAG, account.entity_tag())], Json(account))
}

/// The parameter `token` of a form (RFC 7662). Others, such as `token_type_hint`, change nothing;
/// none stands twice (RFC 6749).
fn token_parameter(headers: &HeaderMap, body: &Bytes) -> Result<String> {
    let media_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM) {
        return Err(Problem::malformed(format!("the body must be `{FORM}`")));
    }
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(body)
        .map_err(|e| Problem::malformed(format!("the body is no form: {e}")))?;
    let mut names = BTreeSet::new();
    if !pairs.iter().all(|(name, _)| names.insert(name)) {
        return Err(Problem::malformed("a parameter stands twice"));
    }
    let token = pairs.iter().find(|(name, _)| name == "token").map(|(_, token)| token.clone());
    token
        .filter(|token| !token.is_empty())
        .ok_or_else(|| Problem::malformed("there is no parameter `token`"))
}

fn signed<B: datapact_core::document::Body>(body: &Bytes) -> Result<Signed<B>> {
    json::<Document<Signed<B>>>(body).map(|body| body.document)
}

/// Management over HTTP.
#[derive(Clone)]
pub struct ManagementClient(pub Http);

impl ManagementClient {
    async fn events(
        &self,
        target: &str,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Result<CatalogEntry>>> {
        let mut request = self.0.request(Method::GET, target, None);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let http = self.0.clone();
        let events = self.0.send(request).await?.bytes_stream().eventsource();
        let entries = events.filter_map(move |event| {
            let entry = match event {
                Ok(event) if event.event == "publication" => {
                    Some(serde_json::from_str(&event.data).map_err(|e| {
                        Problem::new(Kind::Untrusted, format!("a malformed event: {e}"))
                    }))
                }
                Ok(event) if event.event == "problem" => Some(Err(Problem::from_answer(
                    http::StatusCode::SERVICE_UNAVAILABLE,
                    event.data.as_bytes(),
                ))),
                Ok(_) => None,
                Err(_) => Some(Err(Problem::new(
                    Kind::Unavailable,
                    format!("the connection to `{}` ended", http.name()),
                ))),
            };
            std::future::ready(entry)
        });
        Ok(entries.boxed())
    }
}

#[async_trait]
impl Management for ManagementClient {
    async fn info(&self) -> Result<ManagementInfo> {
        self.0.get("/v1/info").await
    }

    async fn join(&self, code: &str) -> Result<Account> {
        self.0.post("/v1/join", &Join { code: code.to_owned() }).await
    }

    async fn account(&self) -> Result<Account> {
        self.0.get("/v1/account").await
    }

    async fn invite(&self, invitation: &NewInvitation) -> Result<Invitation> {
        self.0.post("/v1/invitations", invitation).await
    }

    async fn accounts(&self, after: Option<&AccountId>) -> Result<Vec<Account>> {
        self.0.get(&with_query("/v1/accounts", &Behind { after: after.copied() })?).await
    }

    async fn account_of(&self, id: &AccountId) -> Result<Account> {
        self.0.get(&format!("/v1/accounts/{id}")).await
    }

    async fn update_account(&self, id: &AccountId, update: &AccountUpdate) -> Result<Account> {
        self.0.call(Method::PATCH, &format!("/v1/accounts/{id}"), Some(to_json(update)?)).await
    }

    async fn delete_account(&self, id: &AccountId, now: bool) -> Result<Account> {
        let target = with_query(&format!("/v1/accounts/{id}"), &When { now })?;
        self.0.call(Method::DELETE, &target, None).await
    }

    async fn actions(&self, after: u64) -> Result<Vec<Action>> {
        self.0.get(&with_query("/v1/actions", &After { after })?).await
    }

    async fn set_policy(&self, policy: &Signed<SharingPolicy>) -> Result<PolicyReceipt> {
        self.0.post("/v1/shares", &Document { document: policy }).await
    }

    async fn shares(&self, after: u64) -> Result<Vec<OwnShare>> {
        self.0.get(&with_query("/v1/shares", &After { after })?).await
    }

    async fn share(&self, id: &ShareId) -> Result<OwnShare> {
        self.0.get(&format!("/v1/shares/{id}")).await
    }

    async fn catalog(&self, query: &CatalogQuery) -> Result<Vec<CatalogEntry>> {
        self.0.get(&with_query("/v1/catalog", query)?).await
    }

    async fn catalog_entry(
        &self,
        share: &ShareId,
        purpose: Option<&Name>,
    ) -> Result<CatalogDetail> {
        let query = Purpose { purpose: purpose.cloned() };
        self.0.get(&with_query(&format!("/v1/catalog/{share}"), &query)?).await
    }

    async fn publications(
        &self,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Result<CatalogEntry>>> {
        self.events("/v1/publications", after).await
    }

    async fn subscriptions(&self) -> Result<Vec<Subscription>> {
        self.0.get("/v1/subscriptions").await
    }

    async fn subscription(&self, id: &SubscriptionId) -> Result<Subscription> {
        self.0.get(&format!("/v1/subscriptions/{id}")).await
    }

    async fn set_subscription(
        &self,
        id: &SubscriptionId,
        new: &NewSubscription,
    ) -> Result<Subscription> {
        self.0.call(Method::PUT, &format!("/v1/subscriptions/{id}"), Some(to_json(new)?)).await
    }

    async fn delete_subscription(&self, id: &SubscriptionId) -> Result<()> {
        self.0.call(Method::DELETE, &format!("/v1/subscriptions/{id}"), None).await
    }

    async fn follow_subscription(
        &self,
        id: &SubscriptionId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Result<CatalogEntry>>> {
        self.events(&format!("/v1/subscriptions/{id}/publications"), after).await
    }

    async fn dead_letters(&self, id: &SubscriptionId, after: u64) -> Result<Vec<DeadLetter>> {
        self.0
            .get(&with_query(&format!("/v1/subscriptions/{id}/dead-letters"), &After { after })?)
            .await
    }

    async fn redeliver(&self, id: &SubscriptionId, again: &Redelivery) -> Result<()> {
        self.0.post(&format!("/v1/subscriptions/{id}/redeliveries"), again).await
    }

    async fn request_access(&self, request: &Signed<AccessRequest>) -> Result<AccessGrant> {
        self.0.post("/v1/accesses", &Document { document: request }).await
    }

    async fn accesses(&self, query: &RecordQuery) -> Result<Vec<AccessEntry>> {
        self.0.get(&with_query("/v1/accesses", query)?).await
    }

    async fn report_usage(&self, report: &Signed<UsageReport>) -> Result<UsageReceipt> {
        self.0.post("/v1/usages", &Document { document: report }).await
    }

    async fn usages(&self, query: &RecordQuery) -> Result<Vec<UsageEntry>> {
        self.0.get(&with_query("/v1/usages", query)?).await
    }

    async fn erasures(&self, query: &RecordQuery) -> Result<Vec<Erasure>> {
        self.0.get(&with_query("/v1/erasures", query)?).await
    }

    async fn notifications(&self, query: &NotificationQuery) -> Result<Vec<Notification>> {
        self.0.get(&with_query("/v1/notifications", query)?).await
    }

    async fn acknowledge(&self, sequence: u64) -> Result<()> {
        self.0.post("/v1/notifications/acknowledged", &Acknowledged { sequence }).await
    }

    async fn proof(&self, position: u64) -> Result<LedgerProof> {
        self.0.get(&format!("/v1/log/proofs/{position}")).await
    }

    async fn add_cosignature(&self, note: &str) -> Result<()> {
        self.0.post("/v1/log/cosignatures", &Document { document: note }).await
    }

    async fn introspect(&self, token: &str) -> Result<Introspection> {
        let form = serde_urlencoded::to_string([("token", token)]).map_err(Problem::malformed)?;
        self.0.call_with(Method::POST, "/v1/introspect", Some((FORM, form.into_bytes()))).await
    }

    async fn token(&self, request: &Digest) -> Result<Introspection> {
        self.0.get(&format!("/v1/accesses/{request}/token")).await
    }

    async fn revoke_token(&self, request: &Digest) -> Result<()> {
        self.0.call(Method::DELETE, &format!("/v1/accesses/{request}/token"), None).await
    }
}
