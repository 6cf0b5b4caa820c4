//! The directory of users: what key and storage servers ask about a user that they were told
//! nothing of.

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::management::Directory;
use datapact_api::problem::{self, Problem};
use datapact_api::user::{UserNotice, UserStatus};
use datapact_core::identity::Identity;
use datapact_store::Store;

use super::account;
use super::account::admission::Admission;
use super::base::Base;
use super::failure::Result;
use crate::called::Called;

/// Says who has an account.
pub(super) struct DirectoryService {
    store: Store,
    admission: Arc<Admission>,
}

impl DirectoryService {
    pub(super) fn new(base: &Base) -> Self {
        Self { store: base.store.clone(), admission: Arc::clone(&base.admission) }
    }
}

#[async_trait]
impl Directory for Called<DirectoryService> {
    async fn user(&self, of: &Identity) -> problem::Result<UserNotice> {
        self.admission.own_server(&self.caller)?;
        let identity = of.clone();
        let read = self.store.read(move |db| {
            let Some(account) = account::table::find(db, &identity)? else {
                let problem = Problem::not_found(format!("`{identity}` has no account here"));
                return Err(problem.into());
            };
            let status = if account.active { UserStatus::Active } else { UserStatus::Disabled };
            let sequence = account::table::noticed(db, &account.id)?;
            Result::Ok(UserNotice { identity, status, sequence, authorisation: None })
        });
        Ok(read.await?)
    }
}
