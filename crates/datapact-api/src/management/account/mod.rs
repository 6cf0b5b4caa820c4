//! Accounts (6.2.2): who takes part, and what administrators do about it.

mod action;

pub use action::{Action, ActionError, ActionRecord, Deed, check_actions};

use datapact_core::contract::Attributes;
use datapact_core::id::{AccountId, Digest, Timestamp};
use datapact_core::identity::Identity;
use serde::{Deserialize, Serialize};

use crate::operation::{Page, operations};
use crate::user::Deletion;

operations! {
    /// The accounts of users, invitations to them, and the record of what was done to them.
    pub trait Accounts {
        /// Take an invitation.
        ///
        /// Binds the caller's identity to the account that the invitation promised (PR-10). A
        /// repeat answers the same.
        post "/v1/join" for AdmittedUsers;
        fn join(body join: &Join) -> Account as Json;

        /// The caller's own account.
        get "/v1/account" for Users;
        fn account() -> Account as Tagged;

        /// Promise an account to who brings the code.
        ///
        /// (MG-1.)
        post "/v1/invitations" for Administrators with IdempotencyKey;
        fn invite(body invitation: &NewInvitation) -> InvitationCode as Json;

        /// All accounts, by id, 200 a page.
        ///
        /// (MG-1.)
        get "/v1/accounts" for Administrators;
        fn accounts(query page: Page<AccountId>) -> Vec<Account> as Json;

        /// An account.
        get "/v1/accounts/{id}" for Administrators;
        fn account_of(path id: &AccountId) -> Account as Tagged;

        /// Set role, attributes or status.
        ///
        /// Administrators cannot demote or disable themselves.
        patch "/v1/accounts/{id}" for Administrators with IfMatch;
        fn update_account(path id: &AccountId, body update: &AccountUpdate) -> Account as Tagged;

        /// Disable an account, and erase it after the retention or now.
        ///
        /// It is disabled at once on all servers. Once the configured retention is over, or right
        /// now, it is erased, and so is everything that names its holder (MG-1, PR-1). Answers the
        /// account as it is until then. The caller's statement goes to the key servers, which
        /// destroy nothing without it.
        post "/v1/accounts/{id}/deletion" for Administrators with IfMatch;
        fn delete_account(path id: &AccountId, body deletion: &Deletion) -> Account as Tagged;

        /// The record of actions, oldest first, 200 a page.
        ///
        /// What was done to accounts and invitations.
        get "/v1/actions" for Administrators;
        fn actions(query page: Page<u64>) -> Vec<Action> as Json;
    }
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Share and access.
    User,
    /// Share only.
    Provider,
    /// Access only.
    Consumer,
    /// Manage accounts; share and access nothing.
    Administrator,
}

impl Role {
    /// Whether this role may publish (SH-4).
    pub fn may_share(self) -> bool {
        matches!(self, Self::User | Self::Provider)
    }

    /// Whether this role may request access (AX-2).
    pub fn may_access(self) -> bool {
        matches!(self, Self::User | Self::Consumer)
    }
}

/// A user's account: a stable id, never reused, bound to one identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The account.
    pub id: AccountId,
    /// Who holds it.
    pub identity: Identity,
    /// What it may do.
    pub role: Role,
    /// Organisation, industry and country, as an administrator set them.
    pub attributes: Attributes,
    /// Whether it may do anything at all.
    pub active: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it is erased, once it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erase_at: Option<Timestamp>,
}

impl Account {
    /// Its entity tag: changes whenever anything of it does.
    pub fn entity_tag(&self) -> String {
        let bytes = serde_json_canonicalizer::to_vec(self).expect("an account is plain JSON");
        format!("\"{}\"", Digest::of(&bytes))
    }
}

/// The code of an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The code, a secret.
    pub code: String,
}

/// An invitation to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// The realm whose CA must certify who joins.
    pub realm: String,
    /// The role.
    pub role: Role,
    /// The attributes.
    pub attributes: Attributes,
    /// For how many seconds it may be taken, at most 30 days.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 2_592_000)))]
    pub seconds: u64,
}

/// What the invited user brings; the code works once. The administrator signs an invitation with
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InvitationCode {
    /// The one-time code, a secret.
    pub code: String,
    /// Until when.
    pub expires: Timestamp,
}

/// What an administrator changes on an account; what is not given stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AccountUpdate {
    /// The role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// All attributes; those that are not given are removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
    /// Whether it may do anything at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}
