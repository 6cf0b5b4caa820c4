//! What management says of users (MG-1, PR-1).

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::problem::Result;
use datapact_api::user::{self, UserNotice, UserStatus};

use super::base::Base;
use super::objects::Objects;
use super::registry::{Registry, table};
use super::tidying::Tidying;
use crate::called::Called;
use crate::users::Users;

/// Takes management's word about users, and destroys the packages of an erased one.
pub(super) struct UserService {
    users: Arc<Users>,
    registry: Arc<Registry>,
    objects: Arc<Objects>,
    pub(super) tidying: Arc<Tidying>,
}

impl UserService {
    pub(super) fn new(base: &Base, tidying: Arc<Tidying>) -> Self {
        let Base { users, registry, objects, .. } = base.clone();
        Self { users, registry, objects, tidying }
    }
}

#[async_trait]
impl user::Users for Called<UserService> {
    async fn set_user(&self, notice: &UserNotice) -> Result<()> {
        self.users.require_management(&self.caller)?;
        let (mark, notice) = (self.users.marker.of(&notice.identity), notice.clone());
        let set = self.registry.write(move |tx| {
            if Users::take(tx, &mark, &notice)? && notice.status == UserStatus::Erased {
                table::erase(tx, &notice.identity)
            } else {
                Ok(Vec::new())
            }
        });
        for object in set.await? {
            self.objects.delete(&object).await?;
        }
        self.tidying.forget_parts().await
    }
}
