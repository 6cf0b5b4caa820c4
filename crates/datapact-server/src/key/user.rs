//! What management says of users (MG-1, PR-1).

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::problem;
use datapact_api::user::{self, UserNotice, UserStatus};
use datapact_store::Store;

use super::base::Base;
use super::failure::Failure;
use super::{custody, policy, release};
use crate::called::Called;
use crate::users::Users;

/// Takes management's word about users, and destroys what names an erased one.
pub(super) struct UserService {
    store: Store,
    users: Arc<Users>,
}

impl UserService {
    pub(super) fn new(base: &Base) -> Self {
        Self { store: base.store.clone(), users: Arc::clone(&base.users) }
    }
}

#[async_trait]
impl user::Users for Called<UserService> {
    async fn set_user(&self, notice: &UserNotice) -> problem::Result<()> {
        self.users.require_management(&self.caller)?;
        let (notice, marker) = (notice.clone(), self.users.marker);
        let set = self.store.write(move |tx| {
            let identity = &notice.identity;
            if Users::take(tx, &marker.of(identity), &notice)?
                && notice.status == UserStatus::Erased
            {
                // Its releases first: what they say of it becomes marks on the shares.
                release::table::erase(tx, identity, |share| marker.on_share(identity, share))?;
                policy::table::erase(tx, identity)?;
                custody::table::erase(tx, identity)?;
            }
            Ok::<_, Failure>(())
        });
        Ok(set.await?)
    }
}
