//! What most of the storage server's services need.

use std::sync::Arc;

use datapact_api::gate::Source;
use datapact_core::trust::Trust;
use datapact_log::clock::Clock;

use super::objects::Objects;
use super::parts::Parts;
use super::registry::Registry;
use crate::erasures::Erasures;
use crate::users::Users;

/// What most services need.
#[derive(Clone)]
pub(super) struct Base {
    pub(super) registry: Arc<Registry>,
    pub(super) objects: Arc<Objects>,
    pub(super) parts: Arc<Parts>,
    pub(super) users: Arc<Users>,
    pub(super) trust: Source<Trust>,
    pub(super) clock: Clock,
    pub(super) erasures: Erasures,
}
