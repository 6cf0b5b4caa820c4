//! What management says of users (MG-1, PR-1).

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::problem::Result;
use datapact_api::user::{self, UserNotice, UserStatus};
use datapact_log::clock::Clock;

use super::base::Base;
use super::erasure;
use super::objects::Objects;
use super::registry::Registry;
use super::tidying::Tidying;
use crate::called::Called;
use crate::erasures::Erasures;
use crate::users::Users;

/// Takes management's word about users, and destroys the packages of an erased one.
pub(super) struct UserService {
    users: Arc<Users>,
    registry: Arc<Registry>,
    objects: Arc<Objects>,
    clock: Clock,
    erasures: Erasures,
    pub(super) tidying: Arc<Tidying>,
}

impl UserService {
    pub(super) fn new(base: &Base, tidying: Arc<Tidying>) -> Self {
        let Base { users, registry, objects, clock, erasures, .. } = base.clone();
        Self { users, registry, objects, clock, erasures, tidying }
    }
}

#[async_trait]
impl user::Users for Called<UserService> {
    async fn set_user(&self, notice: &UserNotice) -> Result<()> {
        self.users.require_management(&self.caller)?;
        let (marker, notice, now) = (self.users.marker, notice.clone(), (self.clock)());
        let is_erased = notice.status == UserStatus::Erased;
        let set = self.registry.write(move |tx| {
            let identity = &notice.identity;
            if Users::take(tx, &marker.of(identity), &notice)? && is_erased {
                erasure::erase(tx, identity, &marker, notice.sequence, now)
            } else {
                Ok(Vec::new())
            }
        });
        for object in set.await? {
            self.objects.delete(&object).await?;
        }
        if is_erased {
            self.erasures.settle_soon().await;
        }
        self.tidying.forget_parts().await
    }
}
