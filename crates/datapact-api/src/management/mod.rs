//! What management offers (6.2.2), a folder a noun.

pub mod access;
pub mod account;
pub mod catalog;
pub mod directory;
pub mod enrolment;
pub mod log;
pub mod notification;
pub mod policy;
pub mod subscription;
pub mod token;

pub use access::{
    AccessEntry, AccessGrant, Accesses, Erasure, RecordQuery, UsageEntry, UsageReceipt,
};
pub use account::{
    Account, AccountUpdate, Accounts, Action, ActionError, ActionRecord, Deed, InvitationCode,
    Join, NewInvitation, Role, check_actions,
};
pub use catalog::{
    Catalog, CatalogDetail, CatalogEntry, CatalogFilter, CatalogQuery, Publications, Purpose,
};
pub use directory::Directory;
pub use enrolment::{EnrolmentDraft, EnrolmentProgress, Enrolments, InvitationFile};
pub use log::{LedgerProof, Log, ManagementInfo};
pub use notification::{
    Acknowledged, Notification, NotificationEvent, NotificationQuery, Notifications,
};
pub use policy::{OwnShare, Policies, PolicyReceipt};
pub use subscription::{
    DeadLetter, NewSubscription, NewWebhook, Redelivery, Subscription, Subscriptions,
};
pub use token::{Introspection, TokenDescription, TokenForm, Tokens};

use axum::Router;

use crate::gate::Caller;
use crate::operation::Operation;

/// Management, as users see it: all of their nouns. Its [`Directory`] is for servers alone.
pub trait Management:
    // Who takes part, and what they trust.
    Accounts
    + Enrolments
    + Policies
    + Accesses
    + Tokens
    + Catalog
    + Subscriptions
    + Notifications
    + Log
{
}

impl<T> Management for T where
    T: Accounts
        + Enrolments
        + Policies
        + Accesses
        + Tokens
        + Catalog
        + Subscriptions
        + Notifications
        + Log
{
}

/// All operations of management.
pub const OPERATIONS: [&[Operation]; 10] = [
    account::OPERATIONS,
    enrolment::OPERATIONS,
    policy::OPERATIONS,
    access::OPERATIONS,
    token::OPERATIONS,
    catalog::OPERATIONS,
    subscription::OPERATIONS,
    notification::OPERATIONS,
    log::OPERATIONS,
    directory::OPERATIONS,
];

/// The routes of all nouns, behind the gate. `called` makes management as one caller sees it.
pub fn routes<T, F>(called: F) -> Router
where
    T: Management + Directory + 'static,
    F: Fn(Caller) -> T + Clone + Send + Sync + 'static,
{
    account::routes(called.clone())
        .merge(enrolment::routes(called.clone()))
        .merge(policy::routes(called.clone()))
        .merge(access::routes(called.clone()))
        .merge(token::routes(called.clone()))
        .merge(catalog::routes(called.clone()))
        .merge(subscription::routes(called.clone()))
        .merge(notification::routes(called.clone()))
        .merge(log::routes(called.clone()))
        .merge(directory::routes(called))
}
