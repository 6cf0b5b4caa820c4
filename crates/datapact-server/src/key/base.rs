//! What most of the key server's services need.

use std::sync::Arc;

use datapact_api::gate::Source;
use datapact_core::trust::Trust;
use datapact_log::clock::Clock;
use datapact_store::Store;

use super::replica::Replica;
use crate::erasures::Erasures;
use crate::users::Users;

/// What most services need.
pub(super) struct Base {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) trust: Source<Trust>,
    pub(super) users: Arc<Users>,
    pub(super) replica: Arc<Replica>,
    pub(super) erasures: Erasures,
}
