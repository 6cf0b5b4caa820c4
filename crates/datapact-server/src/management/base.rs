//! What most of management's services need.

use std::sync::Arc;

use datapact_api::gate::Source;
use datapact_core::trust::Trust;
use datapact_log::clock::Clock;
use datapact_store::Store;

use super::account::admission::Admission;
use super::peers::Peers;
use crate::erasures::Erasures;

/// What most services need.
#[derive(Clone)]
pub(super) struct Base {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) trust: Source<Trust>,
    pub(super) admission: Arc<Admission>,
    pub(super) peers: Arc<Peers>,
    pub(super) erasures: Erasures,
}
