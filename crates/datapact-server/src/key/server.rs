//! A key server, running.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use datapact_api::gate::Caller;
use datapact_api::key_server::{self as api, Keys, Releases, ShownPolicies};
use datapact_log::note::VerifyingKey;
use datapact_store::Store;
use hyper::Method;
use hyper::header::{CONNECTION, HeaderValue};
use tokio::task::JoinHandle;

use super::base::Base;
use super::custody::KeyService;
use super::release::ReleaseService;
use super::shown::ShownPolicyService;
use super::user::UserService;
use crate::called::called;

/// A key server, running: the services behind its routes, and its copy of the ledger, which it
/// follows until it is dropped.
pub struct KeyServer {
    pub(super) name: String,
    /// The origin of the log that it follows.
    pub(super) log: String,
    pub(super) base: Base,
    pub(super) services: Services,
    pub(super) witness: VerifyingKey,
    pub(super) tasks: Vec<JoinHandle<()>>,
}

/// The service of each noun.
pub(super) struct Services {
    pub(super) keys: Arc<KeyService>,
    pub(super) policies: Arc<ShownPolicyService>,
    pub(super) releases: Arc<ReleaseService>,
    pub(super) users: Arc<UserService>,
}

impl KeyServer {
    /// The routes of all nouns, to be put behind the gate.
    pub fn router(&self) -> Router {
        let services = &self.services;
        api::key::routes(called(&services.keys))
            .layer(middleware::from_fn(end_after_key))
            .merge(api::policy::routes(called(&services.policies)))
            .merge(api::release::routes(called(&services.releases)))
            .merge(datapact_api::user::routes(called(&services.users)))
    }

    /// Its keys, as `caller` sees them.
    pub fn keys(&self, caller: Caller) -> impl Keys + use<> {
        called(&self.services.keys)(caller)
    }

    /// The policies that it is shown, as `caller` sees them.
    pub fn policies(&self, caller: Caller) -> impl ShownPolicies + use<> {
        called(&self.services.policies)(caller)
    }

    /// Its releases, as `caller` sees them.
    pub fn releases(&self, caller: Caller) -> impl Releases + use<> {
        called(&self.services.releases)(caller)
    }

    /// Its users, as `caller` sees them.
    pub fn users(&self, caller: Caller) -> impl datapact_api::user::Users + use<> {
        called(&self.services.users)(caller)
    }

    /// How many entries of the ledger are replayed.
    pub fn ledger_size(&self) -> u64 {
        self.base.replica.size()
    }

    /// The public key of the cosignatures (C2SP vkey).
    pub fn witness_vkey(&self) -> String {
        self.witness.to_string()
    }

    /// The database.
    pub fn database(&self) -> &Store {
        &self.base.store
    }
}

/// Ends the connection on which a key came: its buffers, which hold the key in the clear, go with
/// it.
async fn end_after_key(request: Request, next: Next) -> Response {
    let brings_key = request.method() == Method::PUT;
    let mut response = next.run(request).await;
    if brings_key {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
