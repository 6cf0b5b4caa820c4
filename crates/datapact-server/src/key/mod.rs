//! The key server (6.2.3): it keeps keys encrypted, follows the ledger on its own, and releases a
//! key only if both the provider's signed policy and its own copy of the ledger say so.
//! `docs/spec/access-token-and-key-release.md` specifies what it checks.
//!
//! A folder a noun: its service, which implements the noun's trait of the API for one caller
//! (`crate::called`), and its tables. Keys are in `custody`.

mod base;
mod custody;
mod database;
mod failure;
mod follow;
mod open;
mod policy;
mod public;
mod release;
mod replica;
mod tidying;
mod user;

use std::sync::Arc;

use axum::Router;
use datapact_api::gate::Caller;
use datapact_api::key_server::{self as api, Keys, Releases, ShownPolicies};
use datapact_log::note::VerifyingKey;
use datapact_store::Store;
use tokio::task::JoinHandle;

use crate::called::called;
use base::Base;
use custody::KeyService;
pub use custody::rekey::{Rekeyed, rotate_kek};
pub use custody::{KEYS_MAX, UNFILLED_MAX};
pub use database::DATABASE_FILE;
pub use failure::OpenError;
pub use follow::{WITNESS_FILE, witness_key};
use policy::PolicyService;
pub use release::RELEASES_MAX;
use release::ReleaseService;
use user::UserService;

pub use crate::secret_file::SecretFileError;

/// A key server, running: the services behind its routes, and its copy of the ledger, which it
/// follows until it is dropped.
pub struct KeyServer {
    name: String,
    base: Base,
    services: Services,
    witness: VerifyingKey,
    tasks: Vec<JoinHandle<()>>,
}

/// The service of each noun.
struct Services {
    keys: Arc<KeyService>,
    policies: Arc<PolicyService>,
    releases: Arc<ReleaseService>,
    users: Arc<UserService>,
}

impl KeyServer {
    /// The routes of all nouns, to be put behind the gate.
    pub fn router(&self) -> Router {
        let services = &self.services;
        api::key::routes(called(&services.keys))
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

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
