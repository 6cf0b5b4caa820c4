//! Management (6.2.2): accounts, policies, accesses, tokens, publication, and the embedded ledger.
//!
//! A folder a noun: its service, which implements the noun's trait of the API for one caller
//! (`crate::called`), its tables and its tests. What goes on the ledger passes `submit`.
//!
//! Architecture invariants: nothing here decides access, [`datapact_core::contract`] does, on the
//! ledger; no key and no plaintext ever comes here; what a chain records was stored before as an
//! intent, and what users read was applied by the one projector, so a crash at any step loses
//! nothing and doubles nothing. What the embedded ledger records is one transaction with what users
//! read.

mod access;
mod account;
mod admission;
mod catalog;
mod failure;
mod figures;
mod keys;
mod log;
mod notice;
mod notification;
mod open;
mod peers;
mod policy;
mod public;
mod stored;
mod submit;
mod subscription;
#[cfg(test)]
mod tests;
mod tidying;
mod token;

use std::fs::File;
use std::sync::Arc;

use axum::Router;
use datapact_api::gate::Source;
use datapact_api::management::{self as api, Enrolment};
use datapact_core::trust::Trust;
use datapact_log::clock::Clock;
use datapact_store::{Migration, Store};
use tokio::task::JoinHandle;

use crate::called::called;
use access::AccessService;
use account::AccountService;
use admission::Admission;
use catalog::CatalogService;
use catalog::publications::Publications;
pub(crate) use keys::SECRET_FILES;
pub use keys::{Keys, KeysError};
use log::LogService;
use notification::NotificationService;
pub use open::OpenError;
use peers::Peers;
pub use peers::{KeyServers, StorageServers};
use policy::PolicyService;
use submit::Submit;
use subscription::SubscriptionService;
use token::{Issuer, TokenService};

/// The database, in the data folder.
pub(crate) const DATABASE_FILE: &str = "management.sqlite";

/// Management, running: the services behind its routes and its public listener. It stops when it is
/// dropped.
pub struct ManagementServer {
    base: Base,
    services: Services,
    submit: Arc<Submit>,
    publications: Arc<Publications>,
    issuer: Arc<Issuer>,
    /// None of them ends before the server does.
    tasks: Vec<JoinHandle<()>>,
    /// Held so that no other process works on the same database file.
    _lock: Option<File>,
}

/// What most services need.
#[derive(Clone)]
struct Base {
    store: Store,
    clock: Clock,
    trust: Source<Trust>,
    admission: Arc<Admission>,
    peers: Arc<Peers>,
}

/// The service of each noun.
struct Services {
    accounts: Arc<AccountService>,
    policies: Arc<PolicyService>,
    accesses: Arc<AccessService>,
    tokens: Arc<TokenService>,
    catalog: Arc<CatalogService>,
    subscriptions: Arc<SubscriptionService>,
    notifications: Arc<NotificationService>,
    log: Arc<LogService>,
}

impl ManagementServer {
    /// The routes of all nouns, to be put behind the gate.
    pub fn router(&self) -> Router {
        let services = &self.services;
        api::account::routes(called(&services.accounts))
            .merge(api::policy::routes(called(&services.policies)))
            .merge(api::access::routes(called(&services.accesses)))
            .merge(api::token::routes(called(&services.tokens)))
            .merge(api::catalog::routes(called(&services.catalog)))
            .merge(api::subscription::routes(called(&services.subscriptions)))
            .merge(api::notification::routes(called(&services.notifications)))
            .merge(api::log::routes(called(&services.log)))
    }

    /// What users are configured with (US-4).
    pub fn enrolment(&self) -> Enrolment {
        self.services.accounts.enrolment()
    }

    /// Reads the other servers' certificates again.
    ///
    /// # Errors
    /// [`OpenError::Configuration`] names the file that cannot be read; the former content stays
    /// then.
    pub fn reload(&self) -> Result<(), OpenError> {
        self.base.peers.reload()
    }
}

impl Drop for ManagementServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// All tables in management's database.
pub(crate) fn schema() -> Vec<Migration> {
    let own = [
        crate::users::MARKS,
        account::table::SCHEMA,
        notice::table::SCHEMA,
        policy::table::SCHEMA,
        access::table::SCHEMA,
        token::table::SCHEMA,
        submit::SCHEMA,
        catalog::table::SCHEMA,
        notification::table::SCHEMA,
        subscription::table::SCHEMA,
    ];
    [datapact_ledger::tables::MIGRATIONS, &own].concat()
}
