//! The draft: what management's configuration says, and administrators may sign.

use std::path::Path;
use std::sync::Arc;

use datapact_api::endpoint::Endpoint;
use datapact_api::gate::Source;
use datapact_core::enrolment::{Administrators, Chain, Enrolment, LedgerTrust};
use datapact_core::identity::Identity;
use datapact_core::trust::Trust;
use datapact_log::log_policy::LogPolicy;

use crate::config::ManagementConfig;
use crate::management::failure::OpenError;
use crate::management::keys::to_pem;
use crate::management::peers::Peers;

/// Where a draft is taken from; servers and CAs may be reloaded.
pub(in crate::management) struct EnrolmentSource {
    administrators: Administrators,
    management: Endpoint,
    public: Endpoint,
    ledger: LedgerTrust,
    peers: Arc<Peers>,
    trust: Source<Trust>,
}

impl EnrolmentSource {
    /// From the configuration.
    ///
    /// # Errors
    /// [`OpenError`] when an administrator's identity or the chain's `ledger.toml` is wrong.
    pub(in crate::management) fn new(
        config: &ManagementConfig,
        management: Endpoint,
        log_policy: &LogPolicy,
        peers: Arc<Peers>,
        trust: Source<Trust>,
    ) -> Result<Self, OpenError> {
        let mut identities: Vec<Identity> = Vec::new();
        for line in &config.administrators.identities {
            let identity: Identity = line.parse().map_err(|e| {
                OpenError::Configuration(format!("`administrators`: `{line}`: {e}"))
            })?;
            if !identities.contains(&identity) {
                identities.push(identity);
            }
        }
        let describe =
            |path: &Path| -> Result<Chain, OpenError> { Ok(crate::chain::describe(path)?) };
        let chain = config.ledger.chain.as_deref().map(describe).transpose()?;
        Ok(Self {
            administrators: Administrators {
                identities,
                threshold: config.administrators.approvals,
            },
            management,
            public: config.public.clone(),
            ledger: LedgerTrust {
                id: config.ledger.id.clone(),
                log_policy: log_policy.to_string(),
                chain,
            },
            peers,
            trust,
        })
    }

    /// The draft as the version after `before`.
    pub(super) fn draft(&self, before: Option<&Enrolment>) -> Enrolment {
        let trust = (self.trust)();
        let cas = |realm: &str| {
            trust.cas(realm).map(|der| to_pem("CERTIFICATE", der).to_string()).collect()
        };
        let draft = Enrolment {
            version: 1,
            previous: None,
            administrators: self.administrators.clone(),
            management: self.management.clone(),
            public: self.public.clone(),
            key_servers: self.peers.key_server_endpoints(),
            storage_servers: self.peers.storage_server_endpoints(),
            ledger: self.ledger.clone(),
            realms: trust.realms().map(|realm| (realm.to_owned(), cas(realm))).collect(),
        };
        draft.following(before)
    }
}
