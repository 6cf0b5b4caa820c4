//! Notifications (US-5): what a user should know.

use datapact_core::document::UsageAction;
use datapact_core::id::{Digest, ShareId, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::policy::ShareState;
use serde::{Deserialize, Serialize};

use crate::operation::operations;

operations! {
    /// The notifications of the caller.
    pub trait Notifications {
        /// The caller's notifications, oldest first, 200 a page.
        ///
        /// (US-5.)
        get "/v1/notifications" for Users;
        fn notifications(query query: &NotificationQuery) -> Vec<Notification> as Json;

        /// Acknowledge notifications.
        ///
        /// Until then they are kept, however long.
        post "/v1/notifications/acknowledged" for Users;
        fn acknowledge(body acknowledged: &Acknowledged) -> () as Json;
    }
}

/// Which notifications.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NotificationQuery {
    /// Only those behind this sequence number, for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Those that were acknowledged, too; they are kept for 90 days.
    #[serde(default)]
    pub all: bool,
}

/// Which notifications the caller has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Acknowledged {
    /// All up to this sequence number.
    pub sequence: u64,
}

/// Something that a user should know (US-5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
        action: UsageAction,
    },
}
