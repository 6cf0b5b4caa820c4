//! What management says of users (MG-1, PR-1).

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::problem;
use datapact_api::user::{self, UserNotice, UserStatus};
use datapact_log::clock::Clock;
use datapact_store::Store;

use super::base::Base;
use super::erasure;
use super::failure::Failure;
use crate::called::Called;
use crate::erasures::Erasures;
use crate::users::Users;

/// Takes management's word about users, and destroys what names an erased one.
pub(super) struct UserService {
    store: Store,
    clock: Clock,
    users: Arc<Users>,
    erasures: Erasures,
}

impl UserService {
    pub(super) fn new(base: &Base) -> Self {
        Self {
            store: base.store.clone(),
            clock: Arc::clone(&base.clock),
            users: Arc::clone(&base.users),
            erasures: base.erasures.clone(),
        }
    }
}

#[async_trait]
impl user::Users for Called<UserService> {
    async fn set_user(&self, notice: &UserNotice) -> problem::Result<()> {
        self.users.require_management(&self.caller)?;
        let (notice, marker, now) = (notice.clone(), self.users.marker, (self.clock)());
        let is_erased = notice.status == UserStatus::Erased;
        let set = self.store.write(move |tx| {
            let identity = &notice.identity;
            if Users::take(tx, &marker.of(identity), &notice)? && is_erased {
                erasure::erase(tx, identity, &marker, notice.sequence, now)?;
            }
            Ok::<_, Failure>(())
        });
        set.await?;
        if is_erased {
            self.erasures.settle_soon().await;
        }
        Ok(())
    }
}
