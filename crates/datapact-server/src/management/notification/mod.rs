//! Notifications (US-5): what a user should know, kept until it is acknowledged.

pub(super) mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use datapact_api::management::{Acknowledged, Notification, NotificationQuery, Notifications};
use datapact_api::problem;
use datapact_store::Store;

use super::account::admission::Admission;
use super::base::Base;
use super::failure::Failure;
use crate::called::Called;

/// Shows users their notifications.
pub(super) struct NotificationService {
    store: Store,
    admission: Arc<Admission>,
}

impl NotificationService {
    pub(super) fn new(base: &Base) -> Self {
        let Base { store, admission, .. } = base.clone();
        Self { store, admission }
    }
}

#[async_trait]
impl Notifications for Called<NotificationService> {
    async fn notifications(&self, query: &NotificationQuery) -> problem::Result<Vec<Notification>> {
        let holder = self.admission.account(&self.caller).await?.identity;
        let query = query.clone();
        let read =
            self.store.read(move |db| table::page(db, &holder, &query).map_err(Failure::from));
        Ok(read.await?)
    }

    async fn acknowledge(&self, acknowledged: &Acknowledged) -> problem::Result<()> {
        let holder = self.admission.account(&self.caller).await?.identity;
        let sequence = acknowledged.sequence;
        let write = self
            .store
            .write(move |tx| table::acknowledge(tx, &holder, sequence).map_err(Failure::from));
        Ok(write.await?)
    }
}
