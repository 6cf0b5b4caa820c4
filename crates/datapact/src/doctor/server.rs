//! A server's configuration and folder, and the servers that it needs.

use std::path::{Path, PathBuf};

use datapact_api::client::Http;
use datapact_api::endpoint::Endpoint;
use datapact_api::tls::client_config;
use datapact_api::trust_file::ReloadableTrust;
use datapact_client::key_file::PrivateKey;
use datapact_core::trust::validity;
use datapact_log::clock::system_clock;
use datapact_server::config::{
    Common, KeyServerConfig, ManagementConfig, Peer, ServerConfig, StorageServerConfig, load,
};
use datapact_server::operator::expiry::{Ends, end_of_file, ends_of_trust};
use datapact_server::storage::{PACKAGES_FOLDER, look_at_objects};
use datapact_store::{Location, Store};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{Finding, Findings};
use crate::context::{Context, now};

const CORRECT: &str = "correct the configuration or the file";

/// Looks at management.
pub(crate) fn management(context: &Context, path: &Path) -> Vec<Finding> {
    examine(
        context,
        path,
        "management.sqlite",
        async |config: &ManagementConfig, findings, client| {
            for peer in config.key_servers.iter().chain(&config.storage_servers) {
                peer_certificate(findings, peer);
            }
            for peer in &config.key_servers {
                client.ask(findings, "key server", &peer.endpoint()).await;
            }
            for peer in &config.storage_servers {
                client.ask(findings, "storage server", &peer.endpoint()).await;
            }
            let witnesses =
                config.ledger.witnesses.len() + config.ledger.independent_witnesses.len();
            if witnesses == 0 {
                let advice = "name the witness keys of the key servers: clients do not believe a \
                              proof without cosignatures";
                findings.warning("ledger", &config.ledger.id, "it has no witnesses", advice);
            }
        },
    )
}

/// Looks at a key server.
pub(crate) fn key(context: &Context, path: &Path) -> Vec<Finding> {
    examine(context, path, "key.sqlite", async |config: &KeyServerConfig, findings, client| {
        if config.kek.exists() {
            findings.private(&config.kek);
        }
        client.ask(findings, "management", &config.management.endpoint()).await;
        match config.log_key.parse() {
            Ok(log) => {
                if let Some(http) = client.http(findings, &config.management_public) {
                    findings.management(http, &config.ledger, &log).await;
                }
            }
            Err(error) => {
                let advice = "put in the key that `datapact config init management` printed";
                findings.error(
                    "ledger",
                    &config.ledger,
                    format_args!("`log_key`: {error}"),
                    advice,
                );
            }
        }
    })
}

/// Looks at a storage server.
pub(crate) fn storage(context: &Context, path: &Path) -> Vec<Finding> {
    examine(
        context,
        path,
        "storage.sqlite",
        async |config: &StorageServerConfig, findings, client| {
            client.ask(findings, "management", &config.management).await;
            if let Some(secret) =
                config.objects.as_ref().and_then(|bucket| bucket.secret_key_file.as_ref())
            {
                findings.private(secret);
            }
            objects(findings, config).await;
        },
    )
}

/// Whether the packages can be had.
async fn objects(findings: &mut Findings, config: &StorageServerConfig) {
    let folder = config.server.data.join(PACKAGES_FOLDER);
    let (subject, advice) = match &config.objects {
        None if !folder.exists() => {
            return findings.good("objects", folder.display(), "it is made at the first start");
        }
        None => {
            (folder.display().to_string(), "mount the disk, or correct the folder's owner and mode")
        }
        Some(bucket) => (
            format!("bucket `{}`", bucket.bucket),
            "check that the object store runs, and that endpoint, bucket, access key and `ca` in \
             `[objects]` are right",
        ),
    };
    match look_at_objects(config).await {
        Ok(()) => findings.good("objects", subject, "it answers"),
        Err(error) => findings.error("objects", subject, error, advice),
    }
}

/// What all servers have, and then `rest`.
fn examine<C: ServerConfig>(
    context: &Context,
    path: &Path,
    database: &str,
    rest: impl AsyncFnOnce(&C, &mut Findings, &Client),
) -> Vec<Finding> {
    let mut findings = Findings::default();
    let config: C = match load(path) {
        Ok(config) => config,
        Err(error) => {
            let advice = "`datapact config init` writes an example";
            findings.error("configuration", path.display(), error, advice);
            return findings.0;
        }
    };
    findings.good("configuration", path.display(), "it can be read");
    let common = config.common();
    findings.private(&common.tls.private_key);
    files(&mut findings, common);
    let client = certificate(&mut findings, common);
    let done = context.block_on(async {
        state(&mut findings, common, database).await;
        if let Some(client) = &client {
            rest(&config, &mut findings, client).await;
        }
        Ok(())
    });
    if let Err(failure) = done {
        findings.error("program", "this program", failure.detail(), "try again");
    }
    findings.0
}

/// The data folder and the secrets in it.
fn files(findings: &mut Findings, common: &Common) {
    if !common.data.exists() {
        return findings.good("data", common.data.display(), "it is made at the first start");
    }
    findings.private(&common.data);
    findings.disk(&common.data);
    for name in ["log.key", "token.key", datapact_server::key::WITNESS_FILE] {
        let path = common.data.join(name);
        if path.exists() {
            findings.private(&path);
        }
    }
    if let Some(password) =
        common.database.as_ref().and_then(|database| database.password_file.as_ref())
    {
        findings.private(password);
    }
}

/// Whether the database can be read.
async fn state(findings: &mut Findings, common: &Common, file: &str) {
    let location = match common.database(file) {
        Ok(location) => location,
        Err(error) => return findings.error("database", "database", error, CORRECT),
    };
    if let Location::Sqlite(path) = &location
        && !path.exists()
    {
        return findings.good("database", path.display(), "it is made at the first start");
    }
    match Store::look(&location).await {
        Ok(()) => findings.good("database", &location, "it answers"),
        Err(error) => {
            let advice =
                "check that the database server runs and that address, role and password are right";
            findings.error("database", &location, error, advice);
        }
    }
}

/// The server's own certificate and the trust configuration; a client with both, if they can be
/// used.
fn certificate(findings: &mut Findings, common: &Common) -> Option<Client> {
    let trust = match ReloadableTrust::load(&common.tls.trust) {
        Ok(trust) => trust,
        Err(error) => {
            findings.error(
                "trust",
                common.tls.trust.display(),
                error,
                "`datapact ca trust` writes it",
            );
            return None;
        }
    };
    for ends in ends_of_trust(&trust.current()) {
        findings.ends(&ends, None);
    }
    let chain = CertificateDer::pem_file_iter(&common.tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| error.to_string());
    let name = common.name().unwrap_or_default();
    let usable = chain.and_then(|chain| {
        trust.current().identify_server(&chain, &name, now()).map_err(|error| error.to_string())?;
        Ok(chain)
    });
    // First its end: an expired certificate is unusable, and this says why.
    if let Some(ends) = end_of_file("server", &name, &common.tls.certificate) {
        findings.ends(&ends, None);
    }
    let chain = match usable {
        Ok(chain) => chain,
        Err(error) => {
            let advice = "have the servers' CA certify `server.csr` for this name, and put the \
                          certificate there";
            findings.error("certificate", common.tls.certificate.display(), error, advice);
            return None;
        }
    };
    findings.good(
        "certificate",
        common.tls.certificate.display(),
        format_args!("it is for `{name}`"),
    );
    let key = match PrivateKey::load(&common.tls.private_key, None) {
        Ok(key) => key,
        Err(error) => {
            findings.error("certificate", common.tls.private_key.display(), error, CORRECT);
            return None;
        }
    };
    match client_config(trust, Some((chain, key.for_tls()))) {
        Ok(tls) => Some(Client { tls, certificate: common.tls.certificate.clone() }),
        Err(error) => {
            let advice = "put in the private key that the certificate was made for";
            findings.error("certificate", common.tls.private_key.display(), error, advice);
            None
        }
    }
}

/// The certificate that consumers are told to expect of another server.
fn peer_certificate(findings: &mut Findings, peer: &Peer) {
    let endpoint = peer.endpoint();
    let name = endpoint.name().unwrap_or_default();
    let leaf = CertificateDer::from_pem_file(&peer.certificate);
    match leaf
        .map_err(|error| error.to_string())
        .and_then(|leaf| validity(&leaf).map_err(|e| e.to_string()))
    {
        Ok((_, at)) => findings.ends(&Ends { kind: "peer", name: name.to_owned(), at }, None),
        Err(error) => {
            let advice = "get that server's certificate from its operator";
            findings.error("certificate", peer.certificate.display(), error, advice);
        }
    }
}

/// Calls with the server's own certificate.
struct Client {
    tls: rustls::ClientConfig,
    certificate: PathBuf,
}

impl Client {
    fn http(&self, findings: &mut Findings, endpoint: &Endpoint) -> Option<Http> {
        match Http::new(endpoint, self.tls.clone(), None, system_clock()) {
            Ok(http) => Some(http),
            Err(error) => {
                findings.error(
                    "server",
                    &endpoint.url,
                    error,
                    &format!("check `{}`", self.certificate.display()),
                );
                None
            }
        }
    }

    async fn ask(&self, findings: &mut Findings, kind: &str, endpoint: &Endpoint) {
        if let Some(http) = self.http(findings, endpoint) {
            findings.server(kind, &http).await;
        }
    }
}
