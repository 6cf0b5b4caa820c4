//! What all servers are made of: certificate, key, trust configuration, access list.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use datapact_api::client::Http;
use datapact_api::endpoint::Endpoint;
use datapact_api::gate::{AccessList, CallLimits, Gate, Source};
use datapact_api::operation::Operation;
use datapact_api::tls::client_config;
use datapact_api::trust_file::ReloadableTrust;
use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use datapact_log::clock::{Clock, system_clock};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::ServeError;
use super::access::ReloadableAccess;
use crate::config::{BURST_SECONDS, Common, ConfigError, Limits};
use crate::operator::traces::Traces;

/// A server's files, read; [`super::listening`] serves with them.
pub(super) struct Host {
    /// `management`, `key` or `storage`.
    pub(super) role: &'static str,
    pub(super) name: String,
    pub(super) common: Common,
    pub(super) trust: Arc<ReloadableTrust>,
    pub(super) access: Arc<ReloadableAccess>,
    pub(super) clock: Clock,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) traces: Arc<Traces>,
    /// The names of the servers that the configuration names: callers' limits are not theirs.
    pub(super) own_servers: Vec<String>,
}

impl Host {
    /// Reads what the configuration file `path` names, and makes the data folder.
    pub(super) fn load(
        path: &Path,
        common: &Common,
        role: &'static str,
        read_access: fn(&Path) -> Result<AccessList, ConfigError>,
        own_servers: &[&Endpoint],
    ) -> Result<Self, ServeError> {
        // Before any secret is read.
        crate::memory::forbid_dumps().map_err(ServeError::Dumps)?;
        let name = common.name().map_err(|e| ConfigError::Wrong(path.to_owned(), e))?;
        std::fs::create_dir_all(&common.data)
            .and_then(|()| {
                std::fs::set_permissions(&common.data, std::fs::Permissions::from_mode(0o700))
            })
            .map_err(|e| ServeError::File(common.data.clone(), e.to_string()))?;
        crate::backup::check_finished(&common.data, role)
            .map_err(|why| ServeError::File(common.data.clone(), why.to_owned()))?;
        let trust = ReloadableTrust::load(&common.tls.trust)?;
        let wrong =
            |detail: &str| ServeError::File(common.tls.certificate.clone(), detail.to_owned());
        let chain = CertificateDer::pem_file_iter(&common.tls.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| wrong(&format!("no certificate chain in PEM: {e}")))?;
        let clock = system_clock();
        trust
            .current()
            .identify_server(&chain, &name, clock())
            .map_err(|e| wrong(&e.to_string()))?;
        let key = private_key(&common.tls.private_key)?;
        let access = Arc::new(ReloadableAccess::load(path, read_access)?);
        let traces = Traces::start(common.operator.traces.as_ref(), role, &name)
            .map_err(|e| ConfigError::Wrong(path.to_owned(), e))?;
        let own_servers = own_servers.iter().filter_map(|server| server.name().ok());
        Ok(Self {
            role,
            name,
            common: common.clone(),
            trust,
            access,
            clock,
            chain,
            key,
            traces,
            own_servers: own_servers.map(str::to_owned).collect(),
        })
    }

    /// Calls to another server, with this server's certificate.
    pub(super) fn client(&self, endpoint: &Endpoint) -> Result<Http, ServeError> {
        let certificate = (self.chain.clone(), self.key.clone_key());
        let config = client_config(self.trust.clone(), Some(certificate))
            .map_err(|e| ServeError::File(self.common.tls.private_key.clone(), e.to_string()))?;
        Http::new(endpoint, config, None, self.clock.clone())
            .map_err(|e| ServeError::File(self.common.tls.certificate.clone(), e.to_string()))
    }

    /// What signs as this server.
    pub(super) fn signer(&self) -> Result<Signer, ServeError> {
        let wrong = |detail: String| ServeError::File(self.common.tls.private_key.clone(), detail);
        Signer::new(self.key.secret_der(), self.chain.clone(), Identity::server(&self.name))
            .map_err(|e| wrong(e.to_string()))
    }

    /// The gate in front of the routes; `operations` are those that may take packages.
    pub(super) fn gate(&self, operations: &[Operation]) -> Arc<Gate> {
        let access = self.access.clone();
        let access: Source<AccessList> = Arc::new(move || access.current());
        let Limits { calls, calls_a_second, .. } = self.common.limits;
        let limits = CallLimits {
            under_way: calls,
            a_second: calls_a_second,
            burst: calls_a_second.saturating_mul(BURST_SECONDS),
        };
        let gate = Gate::new(&self.name, self.trust.source(), access, self.clock.clone());
        let packages = operations.iter().filter(|operation| operation.takes_package());
        let packages = packages.map(|operation| (operation.method, operation.path));
        Arc::new(gate.limited(limits, &self.own_servers).taking_packages(packages))
    }
}

/// Reads a private key (PKCS#8, PEM) that only its owner may read.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ServeError> {
    let failed = |detail: String| ServeError::File(path.to_owned(), detail);
    let mode = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(failed(format!(
            "others may read this private key (mode {:o}); use `chmod 600`",
            mode & 0o777
        )));
    }
    PrivateKeyDer::from_pem_file(path).map_err(|e| failed(format!("no private key in PEM: {e}")))
}
