//! What a new user is configured with (US-4).

use std::sync::Arc;

use datapact_api::endpoint::Endpoint;
use datapact_api::gate::Source;
use datapact_api::management::Enrolment;
use datapact_core::trust::Trust;

use crate::management::keys::to_pem;
use crate::management::peers::Peers;

/// Where an enrolment is taken from; servers and CAs may be reloaded.
pub(crate) struct EnrolmentSource {
    pub(crate) management: Endpoint,
    pub(crate) public: Endpoint,
    pub(crate) ledger: String,
    /// C2SP tlog-policy.
    pub(crate) log_policy: String,
    pub(crate) peers: Arc<Peers>,
    pub(crate) trust: Source<Trust>,
}

impl EnrolmentSource {
    pub(super) fn enrolment(&self) -> Enrolment {
        let trust = (self.trust)();
        let cas = |realm: &str| {
            trust.cas(realm).map(|der| to_pem("CERTIFICATE", der).to_string()).collect()
        };
        Enrolment {
            management: self.management.clone(),
            public: self.public.clone(),
            key_servers: self.peers.key_server_endpoints(),
            storage_servers: self.peers.storage_server_endpoints(),
            ledger: self.ledger.clone(),
            log_policy: self.log_policy.clone(),
            realms: trust.realms().map(|realm| (realm.to_owned(), cas(realm))).collect(),
        }
    }

    /// Whether a CA of `realm` is trusted.
    pub(super) fn has_realm(&self, realm: &str) -> bool {
        (self.trust)().realms().any(|known| known == realm)
    }
}
