//! The tasks that empty the outbox.

use std::sync::Arc;
use std::time::Duration;

use datapact_api::key_server::{KeyServer, TokenRevocation};
use datapact_api::problem::{self, Kind};
use datapact_api::storage_server::StorageServer;
use datapact_api::user::{UserNotice, UserStatus};
use tokio::task::JoinHandle;

use super::{Outbox, revocation, table};
use crate::erasures;
use crate::management::failure::{Failure, Result};

/// How long a server that is away is left alone, at first and at the longest.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(15);
/// How often the outbox is looked at where several processes share it.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A server that is told.
enum Receiver {
    Key(Arc<dyn KeyServer>),
    Storage(Arc<dyn StorageServer>),
}

impl Receiver {
    async fn set_user(&self, notice: &UserNotice) -> problem::Result<()> {
        match self {
            Self::Key(server) => server.set_user(notice).await,
            Self::Storage(server) => server.set_user(notice).await,
        }
    }
}

/// Starts a task for each server.
pub(super) fn start(outbox: &Arc<Outbox>) -> Vec<JoinHandle<()>> {
    let (peers, names) = (&outbox.peers, outbox.servers());
    let keys = peers.key_servers().iter().map(|server| Receiver::Key(server.client.clone()));
    let storage = peers.storage_servers().iter();
    let storage = storage.map(|server| Receiver::Storage(server.client.clone()));
    // In the order of the names.
    let receivers = names.into_iter().zip(keys.chain(storage));
    receivers.map(|(name, to)| tokio::spawn(deliver(Arc::clone(outbox), name, to))).collect()
}

async fn deliver(outbox: Arc<Outbox>, name: String, to: Receiver) {
    let mut posted = outbox.posted.subscribe();
    let mut retry = RETRY_MIN;
    loop {
        // Before the look, so that what is posted after the look ends the sleep.
        posted.borrow_and_update();
        match deliver_batch(&outbox, &name, &to).await {
            Ok(true) => retry = RETRY_MIN,
            Ok(false) => {
                retry = RETRY_MIN;
                // Another process may have posted something before it ended, and cannot wake us.
                let is_shared = outbox.store.location().is_shared();
                let look = if is_shared { LOOK_AGAIN } else { Duration::MAX };
                if let Ok(Err(_)) = tokio::time::timeout(look, posted.changed()).await {
                    return;
                }
            }
            Err(Failure(problem)) => {
                tracing::warn!(server = name, %problem, "a notice was not delivered; trying again");
                let _ = tokio::time::timeout(retry, posted.changed()).await;
                retry = RETRY_MAX.min(retry * 2);
            }
        }
    }
}

/// Delivers what is in the outbox for a server: revocations of tokens first. Returns whether there
/// was anything.
async fn deliver_batch(outbox: &Outbox, name: &str, to: &Receiver) -> Result<bool> {
    let server = name.to_owned();
    if let Receiver::Key(key_server) = to {
        let server = server.clone();
        let revocations = outbox.store.read(move |db| revocation::waiting(db, &server)).await?;
        if !revocations.is_empty() {
            deliver_revocations(outbox, &**key_server, revocations).await?;
            return Ok(true);
        }
    }
    let notices = outbox.store.read(move |db| table::waiting(db, &server)).await?;
    let found = !notices.is_empty();
    let mut refused = None;
    for notice in notices {
        match to.set_user(&notice).await {
            Ok(()) => {}
            // An erasure without the statement that the server wants holds up no other notice.
            Err(problem) if problem.kind == Kind::Forbidden => {
                refused = Some(problem);
                continue;
            }
            Err(problem) => return Err(problem.into()),
        }
        let server = name.to_owned();
        let (is_erased, now) = (notice.status == UserStatus::Erased, (outbox.clock)());
        let done = outbox.store.write(move |tx| {
            table::delivered(tx, &server, &notice)?;
            if is_erased { erasures::note_rest(tx, now) } else { Ok(()) }
        });
        done.await?;
        outbox.delivered.send_replace(());
        if is_erased {
            outbox.erasures.settle_soon().await;
        }
    }
    refused.map_or(Ok(found), |problem| Err(problem.into()))
}

async fn deliver_revocations(
    outbox: &Outbox,
    key_server: &dyn KeyServer,
    revocations: Vec<TokenRevocation>,
) -> Result<()> {
    for revocation in revocations {
        key_server.revoke_token(&revocation).await?;
        let request = revocation.request;
        outbox.store.write(move |tx| revocation::delivered(tx, &request)).await?;
        outbox.delivered.send_replace(());
    }
    Ok(())
}
