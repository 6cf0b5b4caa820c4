//! Management, running.

use std::fs::File;
use std::sync::Arc;

use axum::Router;
use datapact_api::management as api;
use tokio::task::JoinHandle;

use super::access::AccessService;
use super::account::AccountService;
use super::base::Base;
use super::catalog::CatalogService;
use super::catalog::publications::Publications;
use super::directory::DirectoryService;
use super::enrolment::EnrolmentService;
use super::failure::OpenError;
use super::issuer::Issuer;
use super::log::LogService;
use super::notification::NotificationService;
use super::policy::PolicyService;
use super::submit::Submit;
use super::subscription::SubscriptionService;
use super::token::TokenService;
use crate::called::called;

/// Management, running: the services behind its routes and its public listener. It stops when it is
/// dropped.
pub struct ManagementServer {
    pub(super) base: Base,
    pub(super) services: Services,
    pub(super) submit: Arc<Submit>,
    pub(super) publications: Arc<Publications>,
    pub(super) issuer: Arc<Issuer>,
    /// None of them ends before the server does.
    pub(super) tasks: Vec<JoinHandle<()>>,
    /// Held so that no other process works on the same database file.
    pub(super) _lock: Option<File>,
}

/// The service of each noun.
pub(super) struct Services {
    pub(super) accounts: Arc<AccountService>,
    pub(super) enrolments: Arc<EnrolmentService>,
    pub(super) policies: Arc<PolicyService>,
    pub(super) accesses: Arc<AccessService>,
    pub(super) tokens: Arc<TokenService>,
    pub(super) catalog: Arc<CatalogService>,
    pub(super) subscriptions: Arc<SubscriptionService>,
    pub(super) notifications: Arc<NotificationService>,
    pub(super) log: Arc<LogService>,
    pub(super) directory: Arc<DirectoryService>,
}

impl ManagementServer {
    /// The routes of all nouns, to be put behind the gate.
    pub fn router(&self) -> Router {
        let services = &self.services;
        api::account::routes(called(&services.accounts))
            .merge(api::enrolment::routes(called(&services.enrolments)))
            .merge(api::policy::routes(called(&services.policies)))
            .merge(api::access::routes(called(&services.accesses)))
            .merge(api::token::routes(called(&services.tokens)))
            .merge(api::catalog::routes(called(&services.catalog)))
            .merge(api::subscription::routes(called(&services.subscriptions)))
            .merge(api::notification::routes(called(&services.notifications)))
            .merge(api::log::routes(called(&services.log)))
            .merge(api::directory::routes(called(&services.directory)))
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
