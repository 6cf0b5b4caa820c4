//! What management offers (6.2.2): one trait, implemented by its service for one caller and by the
//! HTTP client.

use async_trait::async_trait;
use datapact_core::commitment::Opening;
use datapact_core::contract::{
    AccessRecord, Attributes, Refusal, RequestedPermission, UsageRecord,
};
use datapact_core::document::{AccessRequest, UsageReport};
use datapact_core::id::{AccountId, Digest, KeyId, PackageId, ShareId, SubscriptionId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signed;
use datapact_core::policy::{ShareState, SharingInformation, SharingPolicy};
use datapact_core::terms::{Country, Industry, Name};
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::administration::{Action, Erasure};
use crate::endpoint::Endpoint;
use crate::problem::Result;
use crate::subscription::{DeadLetter, NewSubscription, Redelivery, Subscription};

/// Management, as one caller sees it.
#[async_trait]
pub trait Management: Send + Sync {
    /// The ledger, its keys and the servers that go with this management.
    async fn info(&self) -> Result<ManagementInfo>;
    /// Binds the caller's identity to the account that an invitation promised (PR-10). A repeat
    /// answers the same.
    async fn join(&self, code: &str) -> Result<Account>;
    /// The caller's own account.
    async fn account(&self) -> Result<Account>;
    /// Administrators: promises an account to whoever brings the code (MG-1).
    async fn invite(&self, invitation: &NewInvitation) -> Result<Invitation>;
    /// Administrators: the accounts behind `after`, by identifier; pages hold 200 (MG-1).
    async fn accounts(&self, after: Option<&AccountId>) -> Result<Vec<Account>>;
    /// Administrators: one of them.
    async fn account_of(&self, id: &AccountId) -> Result<Account>;
    /// Administrators: sets role, attributes or status.
    async fn update_account(&self, id: &AccountId, update: &AccountUpdate) -> Result<Account>;
    /// Administrators: disables an account at once on all servers and erases it, and everything
    /// that names its holder, once the configured retention is over, or right now (MG-1, PR-1). The
    /// account as it is until then.
    async fn delete_account(&self, id: &AccountId, now: bool) -> Result<Account>;
    /// Administrators: what was done to accounts, oldest first, behind `after`; pages hold 200.
    async fn actions(&self, after: u64) -> Result<Vec<Action>>;
    /// Providers: sets a policy version, the first or a successor (MG-3 to MG-6). A repeat answers
    /// the same.
    async fn set_policy(&self, policy: &Signed<SharingPolicy>) -> Result<PolicyReceipt>;
    /// Providers: their own shares, those changed longest ago first, behind the event `after`;
    /// pages hold 200 (MG-7, DP-10).
    async fn shares(&self, after: u64) -> Result<Vec<OwnShare>>;
    /// Providers: one of their own shares.
    async fn share(&self, id: &ShareId) -> Result<OwnShare>;
    /// Published information, newest first (MG-14).
    async fn catalog(&self, query: &CatalogQuery) -> Result<Vec<CatalogEntry>>;
    /// One share, with its signed policy, and whether the caller would be granted access for
    /// `purpose`.
    async fn catalog_entry(&self, share: &ShareId, purpose: Option<&Name>)
    -> Result<CatalogDetail>;
    /// New and changed information as it is published, from behind the event `after` (MG-15).
    async fn publications(
        &self,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Result<CatalogEntry>>>;
    /// The caller's subscriptions, oldest first.
    async fn subscriptions(&self) -> Result<Vec<Subscription>>;
    /// One of them.
    async fn subscription(&self, id: &SubscriptionId) -> Result<Subscription>;
    /// Keeps a subscription under an id that the caller has drawn, or replaces what it says. A
    /// repeat answers the same.
    async fn set_subscription(
        &self,
        id: &SubscriptionId,
        new: &NewSubscription,
    ) -> Result<Subscription>;
    /// Ends a subscription; what waits to be sent is dropped.
    async fn delete_subscription(&self, id: &SubscriptionId) -> Result<()>;
    /// What a subscription is about, as it is published, from behind the event `after`; from its
    /// beginning if none.
    async fn follow_subscription(
        &self,
        id: &SubscriptionId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Result<CatalogEntry>>>;
    /// What could not be sent to a webhook, behind the event `after`; pages hold 200.
    async fn dead_letters(&self, id: &SubscriptionId, after: u64) -> Result<Vec<DeadLetter>>;
    /// Sends dead letters again.
    async fn redeliver(&self, id: &SubscriptionId, again: &Redelivery) -> Result<()>;
    /// Consumers: asks the contract for one access (MG-8 to MG-12). A repeat answers with the first
    /// receipt.
    async fn request_access(&self, request: &Signed<AccessRequest>) -> Result<AccessGrant>;
    /// The caller's own accesses, and those to its own shares (MG-13), with what opens them.
    async fn accesses(&self, query: &RecordQuery) -> Result<Vec<AccessEntry>>;
    /// Consumers: records what was done under an access (UR-2).
    async fn report_usage(&self, report: &Signed<UsageReport>) -> Result<UsageReceipt>;
    /// The caller's own usage reports, and those on its own shares.
    async fn usages(&self, query: &RecordQuery) -> Result<Vec<UsageEntry>>;
    /// Providers: the entries about their shares whose documents were erased with the users who
    /// signed them.
    async fn erasures(&self, query: &RecordQuery) -> Result<Vec<Erasure>>;
    /// The caller's notifications, oldest first (US-5); pages hold 200.
    async fn notifications(&self, query: &NotificationQuery) -> Result<Vec<Notification>>;
    /// Acknowledges the caller's notifications up to `sequence`: until then they are kept, however
    /// long.
    async fn acknowledge(&self, sequence: u64) -> Result<()>;
    /// A C2SP tlog-proof of the entry at `position`, with the cosignatures that the log's policy
    /// demands; waits for them a few seconds.
    async fn proof(&self, position: u64) -> Result<LedgerProof>;
    /// Servers: hands in a cosigned checkpoint (C2SP tlog-cosignature).
    async fn add_cosignature(&self, note: &str) -> Result<()>;
    /// Servers: whether a token is good (RFC 7662).
    async fn introspect(&self, token: &str) -> Result<Introspection>;
    /// The consumer, the provider and administrators: whether the access token of an access, named
    /// by the document id of its request, is good.
    async fn token(&self, request: &Digest) -> Result<Introspection>;
    /// The same: the access token of an access is good for nothing from now on, at the key server
    /// too. A repeat changes nothing; what was released before stays released.
    async fn revoke_token(&self, request: &Digest) -> Result<()>;
}

/// What goes with a management.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagementInfo {
    /// Its name, the issuer of its tokens.
    pub name: String,
    /// The ledger's kind: `embedded`, or that of the chain which the log mirrors.
    pub ledger_kind: String,
    /// The contract on a chain that all shares' contracts come from (CAIP-10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_contract: Option<String>,
    /// The ledger's id, the audience of what it records.
    pub ledger: String,
    /// How many entries it has.
    pub size: u64,
    /// The number of the newest publication; 0 if there is none.
    pub published: u64,
    /// Key servers, the first is the default.
    pub key_servers: Vec<Endpoint>,
    /// Storage servers, the first is the default.
    pub storage_servers: Vec<Endpoint>,
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// An invitation to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// The realm whose CA must certify who joins.
    pub realm: String,
    /// The role.
    pub role: Role,
    /// The attributes.
    pub attributes: Attributes,
    /// For how many seconds it may be taken, at most 30 days.
    pub seconds: u64,
}

/// An invitation: the code works once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// The one-time code, a secret.
    pub code: String,
    /// Until when.
    pub expires: Timestamp,
    /// What else who joins must know.
    pub enrolment: Enrolment,
}

/// What a user is configured with (US-4, PR-10): addresses, CAs, and the keys that bind the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Management.
    pub management: Endpoint,
    /// Its public listener: health, keys, revocation lists, log.
    pub public: Endpoint,
    /// Key servers, the first is the default.
    pub key_servers: Vec<Endpoint>,
    /// Storage servers, the first is the default.
    pub storage_servers: Vec<Endpoint>,
    /// The ledger's id.
    pub ledger: String,
    /// The log's and witnesses' keys and how many must have cosigned (C2SP tlog-policy).
    pub log_policy: String,
    /// The CAs of each realm, PEM; `server` is the servers'.
    pub realms: std::collections::BTreeMap<String, String>,
}

/// What an administrator changes on an account; what is not given stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountUpdate {
    /// The role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// All attributes anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
    /// Whether it may do anything at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

/// What a provider gets for a policy (DP-9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyReceipt {
    /// The share.
    pub share: ShareId,
    /// The version.
    pub version: u32,
    /// The policy's document id.
    pub policy: Digest,
    /// The contract's address.
    pub contract: String,
    /// Where it stands in the ledger.
    pub position: u64,
    /// What opens the commitment to the provider.
    pub owner: Opening,
    /// What opens the commitments to the users named.
    pub users: Vec<Opening>,
}

/// A provider's view of its own share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnShare {
    /// The event of its newest change: its number among the publications.
    pub event: u64,
    /// What stands about the newest version.
    pub receipt: PolicyReceipt,
    /// The newest policy.
    pub policy: Signed<SharingPolicy>,
    /// How many accesses were granted.
    pub accesses: u64,
}

/// What to search for; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogQuery {
    /// Words in title, introduction or usage: whole ones, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Name>,
    /// The realm of the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The provider, `realm:subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// An industry that the terms admit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub industry: Option<Industry>,
    /// A country that the terms admit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
    /// The highest price, in minor units of `currency`; 0 alone finds what costs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_max: Option<u64>,
    /// The currency of `price_max` (ISO 4217).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Only what may be accessed at this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_at: Option<Timestamp>,
    /// At most this many, 1 to 100; 50 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only what was published before this event, for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// Published information about a share. Named users do not stand in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogEntry {
    /// The number of the publication, growing.
    pub event: u64,
    /// The share.
    pub share: ShareId,
    /// The version.
    pub version: u32,
    /// The newest policy's document id.
    pub policy: Digest,
    /// The contract's address.
    pub contract: String,
    /// Whether it gives access.
    pub state: ShareState,
    /// The provider.
    pub provider: Identity,
    /// The information.
    pub information: SharingInformation,
    /// The expiration time.
    pub expires: Timestamp,
}

/// One share in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogDetail {
    /// What is published.
    pub entry: CatalogEntry,
    /// The signed policy; not given to somebody whom the provider has not named, since it names the
    /// others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Signed<SharingPolicy>>,
    /// How many accesses the caller was granted.
    pub granted: u32,
    /// Why the contract would refuse the caller now; none if it would grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// What a consumer gets for a granted access (AX-11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessGrant {
    /// The access token.
    pub token: String,
    /// The requested permission.
    pub permission: RequestedPermission,
    /// The policy that the record names.
    pub policy: Signed<SharingPolicy>,
    /// The contract's address.
    pub contract: String,
    /// Where the record stands in the ledger.
    pub position: u64,
    /// The record.
    pub record: AccessRecord,
    /// What opens the record's commitment to the consumer.
    pub consumer: Opening,
    /// The key server's certificate chain, PEM.
    pub key_server_certificate: String,
    /// The storage server's certificate chain, PEM.
    pub storage_server_certificate: String,
}

/// Which records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordQuery {
    /// Only of this share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareId>,
    /// Only behind this position, for the next page; pages hold 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// An access with what opens its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessEntry {
    /// Where the record stands in the ledger.
    pub position: u64,
    /// The record.
    pub record: AccessRecord,
    /// The consumer's signed request.
    pub request: Signed<AccessRequest>,
    /// What opens the commitment to the consumer.
    pub consumer: Opening,
}

/// What a consumer gets for a usage report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageReceipt {
    /// Where it stands in the ledger.
    pub position: u64,
    /// The record.
    pub record: UsageRecord,
}

/// A usage report with its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageEntry {
    /// Where the record stands in the ledger.
    pub position: u64,
    /// The record.
    pub record: UsageRecord,
    /// The consumer's signed report.
    pub report: Signed<UsageReport>,
}

/// Which notifications.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotificationQuery {
    /// Only those behind this sequence number, for the next page.
    #[serde(default)]
    pub after: u64,
    /// Those that were acknowledged, too; they are kept for 90 days.
    #[serde(default)]
    pub all: bool,
}

/// Something that a user should know (US-5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// Growing.
    pub sequence: u64,
    /// When.
    pub time: Timestamp,
    /// What about.
    pub share: ShareId,
    /// What happened.
    pub event: NotificationEvent,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum NotificationEvent {
    /// To the provider: the smart contract exists, or has a new version (DP-9).
    PolicySet {
        /// The version.
        version: u32,
        /// Whether it gives access.
        state: ShareState,
        /// The contract's address.
        contract: String,
    },
    /// To provider and consumer: an access was granted.
    AccessGranted {
        /// The access request's document id.
        request: Digest,
        /// The consumer.
        consumer: Identity,
        /// Which of this consumer.
        access: u32,
    },
    /// To the provider: a consumer reported usage.
    UsageReported {
        /// The access request's document id.
        request: Digest,
        /// The consumer.
        consumer: Identity,
        /// What was done.
        action: datapact_core::document::UsageAction,
    },
}

/// A proof that an entry is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerProof {
    /// The entry's exact bytes, as text.
    pub entry: String,
    /// The C2SP tlog-proof.
    pub proof: String,
}

/// Whether a token is good (RFC 7662).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introspection {
    /// Whether it is.
    pub active: bool,
    /// What it says, if it is.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenDescription>,
}

/// What others than its holder are told of an access token: nothing that opens a commitment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenDescription {
    /// The management's name.
    pub iss: String,
    /// The consumer's account.
    pub sub: AccountId,
    /// The same.
    pub client_id: AccountId,
    /// The key server's name.
    pub aud: String,
    /// The access record's time.
    pub iat: Timestamp,
    /// The token is dead from this second on.
    pub exp: Timestamp,
    /// The token's identifier, told to who has shown the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<Digest>,
    /// The certificate that it is bound to, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<datapact_core::token::Confirmation>,
    /// The share.
    pub share: ShareId,
    /// The key that it gets.
    pub key: KeyId,
    /// The package that the key opens.
    pub package: PackageId,
}
