//! A session: the servers of a profile, as its user sees them. No other server is ever contacted.

mod enrolment;
mod refresh;

pub use enrolment::Refreshed;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datapact_api::client::{Http, as_one_call};
use datapact_api::endpoint::Endpoint;
use datapact_api::key_server::KeyServer;
use datapact_api::management::{
    Account, Acknowledged, Introspection, Join, Management, ManagementInfo, Notification,
    NotificationQuery,
};
use datapact_api::problem::Problem;
use datapact_api::public::Public;
use datapact_api::storage_server::StorageServer;
use datapact_api::tls::client_config;
use datapact_core::id::{Digest, Timestamp, random};
use datapact_log::clock::Clock;
use datapact_log::clock::system_clock;
use serde::Serialize;

use crate::error::{ClientError, Result};
use crate::profile::Profile;

/// How often something is tried that fails for the moment.
pub(crate) const TRIES: u32 = 3;
/// How long to wait before the second try; before the third, twice as long.
pub(crate) const BACKOFF: Duration = Duration::from_millis(300);

/// The servers of a profile.
#[derive(Clone)]
pub struct Session {
    pub(crate) profile: Arc<Profile>,
    pub(crate) management: Arc<dyn Management>,
    pub(crate) public: Arc<dyn Public>,
    key_servers: Vec<(Endpoint, Arc<dyn KeyServer>)>,
    storage_servers: Vec<(Endpoint, Arc<dyn StorageServer>)>,
    clock: Clock,
}

/// Steps that take long, for progress bars; lengths in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Progress {
    /// Plaintext sealed so far; how much there is, is not known.
    Sealing {
        /// So far.
        done: u64,
    },
    /// Package bytes uploaded.
    Uploading {
        /// So far.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// Package bytes downloaded, when the package is kept.
    Downloading {
        /// So far.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// Plaintext opened.
    Opening {
        /// So far.
        done: u64,
        /// Of how many.
        total: u64,
    },
}

/// What progress is reported to.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// Reports progress to no one.
pub fn no_progress() -> ProgressSink {
    Arc::new(|_| ())
}

impl Session {
    /// Prepares the connections; nothing is sent yet.
    pub fn connect(profile: Profile) -> Result<Self> {
        let clock = system_clock();
        let tls = |shown: bool| {
            let certificate = if shown {
                Some((profile.signer().chain().to_vec(), profile.tls_key()))
            } else {
                None
            };
            client_config(profile.reloadable_trust(), certificate).map_err(|e| {
                ClientError::usage(
                    format!("the key or certificate cannot be used: {e}"),
                    "join again",
                )
            })
        };
        // A public listener is not told who asks.
        let mutual = tls(true)?;
        let user = |endpoint: &Endpoint| {
            Http::new(
                endpoint,
                mutual.clone(),
                Some(Arc::clone(profile.signer())),
                Arc::clone(&clock),
            )
        };
        let enrolment = profile.enrolment();
        let mut key_servers: Vec<(Endpoint, Arc<dyn KeyServer>)> = Vec::new();
        for endpoint in &enrolment.key_servers {
            key_servers.push((endpoint.clone(), Arc::new(user(endpoint)?)));
        }
        let mut storage_servers: Vec<(Endpoint, Arc<dyn StorageServer>)> = Vec::new();
        for endpoint in &enrolment.storage_servers {
            storage_servers.push((endpoint.clone(), Arc::new(user(endpoint)?)));
        }
        let management = Arc::new(user(&enrolment.management)?);
        let public = Http::new(&enrolment.public, tls(false)?, None, Arc::clone(&clock))?;
        Ok(Self {
            management,
            public: Arc::new(public),
            key_servers,
            storage_servers,
            clock,
            profile: Arc::new(profile),
        })
    }

    /// A session with servers of the caller's making.
    #[cfg(test)]
    pub(crate) fn with(
        profile: Profile,
        management: Arc<dyn Management>,
        public: Arc<dyn Public>,
        key_server: Arc<dyn KeyServer>,
        storage_server: Arc<dyn StorageServer>,
    ) -> Self {
        let first =
            |endpoints: &[Endpoint]| endpoints.first().cloned().expect("an enrolment has servers");
        let key_servers = vec![(first(&profile.enrolment().key_servers), key_server)];
        let storage_servers = vec![(first(&profile.enrolment().storage_servers), storage_server)];
        let clock = system_clock();
        Self { management, public, key_servers, storage_servers, clock, profile: Arc::new(profile) }
    }

    /// The profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Management, for calls that need nothing else.
    pub fn management(&self) -> &dyn Management {
        &*self.management
    }

    /// Management's public listener.
    pub fn public(&self) -> Arc<dyn Public> {
        Arc::clone(&self.public)
    }

    /// The ledger, its size, and the servers that management goes with.
    pub async fn info(&self) -> Result<ManagementInfo> {
        retry(|| self.management.info()).await
    }

    /// The account as it is now.
    pub async fn account(&self) -> Result<Account> {
        retry(|| self.management.account()).await
    }

    pub(crate) async fn join(&self, code: &str) -> Result<Account> {
        let join = Join { code: code.to_owned() };
        retry(|| self.management.join(&join)).await
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The audience of what the ledger records.
    pub(crate) fn ledger(&self) -> &str {
        &self.profile.enrolment().ledger.id
    }

    pub(crate) fn state(&self) -> Result<PathBuf> {
        self.profile.state()
    }

    /// The key server that `address` is on, one of the enrolment's.
    pub fn key_server_of(&self, address: &str) -> Result<(&Endpoint, &Arc<dyn KeyServer>)> {
        let found = self.key_servers.iter().find(|(endpoint, _)| endpoint.serves(address));
        found.map(|(endpoint, server)| (endpoint, server)).ok_or_else(|| foreign("key", address))
    }

    /// The storage server that `address` is on, one of the enrolment's.
    pub fn storage_server_of(&self, address: &str) -> Result<(&Endpoint, &Arc<dyn StorageServer>)> {
        let found = self.storage_servers.iter().find(|(endpoint, _)| endpoint.serves(address));
        found
            .map(|(endpoint, server)| (endpoint, server))
            .ok_or_else(|| foreign("package", address))
    }

    /// The key server with this name or URL; without one, the first.
    pub(crate) fn choose_key_server(
        &self,
        wanted: Option<&str>,
    ) -> Result<(&Endpoint, &Arc<dyn KeyServer>)> {
        choose("key server", &self.key_servers, wanted)
    }

    /// The storage server with this name or URL; without one, the first.
    pub(crate) fn choose_storage_server(
        &self,
        wanted: Option<&str>,
    ) -> Result<(&Endpoint, &Arc<dyn StorageServer>)> {
        choose("storage server", &self.storage_servers, wanted)
    }

    /// Notifications that were not acknowledged, or all that are kept (US-5), oldest first.
    pub async fn notifications(&self, all: bool) -> Result<Vec<Notification>> {
        let mut found: Vec<Notification> = Vec::new();
        loop {
            let after = found.last().map_or(0, |notification| notification.sequence);
            let query = NotificationQuery { after: Some(after), all };
            let page = retry(|| self.management.notifications(&query)).await?;
            if page.first().is_none_or(|first| first.sequence <= after) {
                return Ok(found);
            }
            found.extend(page);
        }
    }

    /// Acknowledges the notifications up to `sequence`: management need not keep them any longer.
    pub async fn acknowledge(&self, sequence: u64) -> Result<()> {
        let acknowledged = Acknowledged { sequence };
        retry(|| self.management.acknowledge(&acknowledged)).await
    }

    /// Whether the access token of an access is good; `request` is the document id of the access
    /// request (MG-16).
    pub async fn token(&self, request: &Digest) -> Result<Introspection> {
        retry(|| self.management.token(request)).await
    }

    /// Revokes the access token of an access, one's own or one to an own share; administrators any.
    /// Once this returns, the key server releases nothing for it any more.
    pub async fn revoke_token(&self, request: &Digest) -> Result<()> {
        retry(|| self.management.revoke_token(request)).await
    }

    pub(crate) fn key_servers(&self) -> &[(Endpoint, Arc<dyn KeyServer>)] {
        &self.key_servers
    }

    pub(crate) fn storage_servers(&self) -> &[(Endpoint, Arc<dyn StorageServer>)] {
        &self.storage_servers
    }
}

fn choose<'a, S: ?Sized>(
    kind: &str,
    servers: &'a [(Endpoint, Arc<S>)],
    wanted: Option<&str>,
) -> Result<(&'a Endpoint, &'a Arc<S>)> {
    let is_wanted = |endpoint: &Endpoint| match wanted {
        Some(wanted) => endpoint.url == wanted || endpoint.name().is_ok_and(|name| name == wanted),
        None => true,
    };
    let found = servers.iter().find(|(endpoint, _)| is_wanted(endpoint));
    found.map(|(endpoint, server)| (endpoint, server)).ok_or_else(|| {
        let known: Vec<&str> =
            servers.iter().filter_map(|(endpoint, _)| endpoint.name().ok()).collect();
        let detail = format!("there is no configured {kind} `{}`", wanted.unwrap_or("at all"));
        ClientError::not_found(
            detail,
            format!("the profile's enrolment knows: {}", known.join(", ")),
        )
    })
}

fn foreign(what: &str, address: &str) -> ClientError {
    let detail =
        format!("the {what} is at `{address}`, which is on no server of this profile's enrolment");
    ClientError::Problem(Problem::new(datapact_api::problem::Kind::Untrusted, detail).hint(
        "it was not contacted; if the server is new, ask management's operator for a new enrolment",
    ))
}

/// How long a server may ask to wait before the next try; what takes longer is the caller's to
/// repeat.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// Does something up to [`TRIES`] times, as long as it fails only for the moment.
pub(crate) async fn retry<T, E: Into<ClientError>, F>(mut act: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = std::result::Result<T, E>>,
{
    let mut tries = Tries::default();
    // What the servers cannot know as a repeat by what is sent, they know by this.
    let key = hex::encode(random::<16>());
    loop {
        match as_one_call(&key, act()).await.map_err(Into::into) {
            Ok(value) => return Ok(value),
            Err(error) => tries.after(error).await?,
        }
    }
}

/// How often something was tried.
#[derive(Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// Waits before the next try; the error itself if another try cannot help.
    pub(crate) async fn after(&mut self, error: ClientError) -> Result<()> {
        self.0 += 1;
        let is_soon = error.retry_after().is_none_or(|after| after <= RETRY_AFTER_MAX);
        if self.0 >= TRIES || !error.is_temporary() || !is_soon {
            return Err(error);
        }
        tokio::time::sleep(error.retry_after().unwrap_or_default().max(BACKOFF * self.0)).await;
        Ok(())
    }
}
