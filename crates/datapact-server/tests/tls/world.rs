//! A clinic's CA, a CA of servers, a running listener that trusts both, and a client of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use datapact_api::peer::AuthenticatedPeer;
use datapact_api::tls::client_config;
use datapact_api::trust_file::ReloadableTrust;
use datapact_log::clock::system_clock;
use datapact_server::tls::{Bounds, Listener};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SanType,
    SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

pub const HOUR: Duration = Duration::from_secs(3600);

pub struct Ca {
    params: CertificateParams,
    key: KeyPair,
    pub pem: String,
}

pub type Certificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = params(name, HOUR);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    pub fn issue(&self, name: &str, dns: &[&str], serial: u64, ends_in: Duration) -> Certificate {
        let mut params = params(name, ends_in);
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !dns.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.subject_alt_names =
            dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }

    pub fn crl(&self, serials: &[u64]) -> String {
        let now = SystemTime::now();
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: (now - Duration::from_secs(1)).into(),
            reason_code: None,
            invalidity_date: None,
        };
        CertificateRevocationListParams {
            this_update: now.into(),
            next_update: (now + HOUR).into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&Issuer::from_params(&self.params, &self.key))
        .unwrap()
        .pem()
        .unwrap()
    }
}

fn params(name: &str, ends_in: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (SystemTime::now() - 2 * HOUR).into();
    params.not_after = (SystemTime::now() + ends_in).into();
    params
}

pub struct World {
    directory: tempfile::TempDir,
    pub clinic: Ca,
    pub servers: Ca,
    pub trust: Arc<ReloadableTrust>,
    pub address: SocketAddr,
    pub stop: tokio::sync::oneshot::Sender<()>,
    /// Told when a request for `/slow` is under way.
    pub slow_started: &'static Notify,
}

const TRUST: &str = r#"
[[realm]]
name = "clinic"
ca = ["clinic.pem"]
crl = ["clinic.crl"]

[[realm]]
name = "server"
ca = ["servers.pem"]
crl = ["servers.crl"]
"#;

impl World {
    /// A key server that trusts the clinic's CA and, for servers, its own.
    pub async fn new() -> Self {
        Self::with(true, Bounds::default()).await
    }

    pub async fn with(authenticated: bool, bounds: Bounds) -> Self {
        let (clinic, servers) = (Ca::new("Clinic CA"), Ca::new("Server CA"));
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("clinic.pem", clinic.pem.as_str()),
            ("clinic.crl", &clinic.crl(&[])),
            ("servers.pem", &servers.pem),
            ("servers.crl", &servers.crl(&[])),
            ("trust.toml", TRUST),
        ] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let trust = ReloadableTrust::load(&directory.path().join("trust.toml")).unwrap();
        let (chain, key) = servers.issue("Keys", &["keys.example"], 1, HOUR);
        let clients = authenticated.then(|| trust.clone());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any, chain, key, clients, &bounds).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let slow_started: &'static Notify = Box::leak(Box::new(Notify::new()));
        tokio::spawn(listener.serve(router(&trust, slow_started), async move {
            let _ = stopped.await;
        }));
        Self { directory, clinic, servers, trust, address, stop, slow_started }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn ann(&self) -> Option<Certificate> {
        Some(self.clinic.issue("Ann", &[], 100, HOUR))
    }

    pub async fn connect(&self, certificate: Option<Certificate>) -> std::io::Result<Client> {
        self.connect_to("keys.example", certificate).await
    }

    pub async fn connect_to(
        &self,
        name: &str,
        certificate: Option<Certificate>,
    ) -> std::io::Result<Client> {
        let config = client_config(self.trust.clone(), certificate).unwrap();
        Client::connect(self.address, name, config).await
    }
}

/// `/who` tells who shook hands, `/now` who that is at the request, `/slow` takes its time.
fn router(trust: &Arc<ReloadableTrust>, started: &'static Notify) -> Router {
    let who = |peer: Option<Extension<AuthenticatedPeer>>| async move {
        peer.map_or("nobody".to_owned(), |Extension(peer)| peer.identity.to_string())
    };
    let source = trust.source();
    let now = |Extension(peer): Extension<AuthenticatedPeer>| async move {
        match source().identify(&peer.chain, system_clock()()) {
            Ok(identity) => identity.to_string(),
            Err(error) => error.to_string(),
        }
    };
    let slow = move || async move {
        started.notify_one();
        tokio::time::sleep(Duration::from_millis(300)).await;
        "slow"
    };
    Router::new().route("/who", get(who)).route("/now", get(now)).route("/slow", get(slow))
}

pub struct Client(pub tokio_rustls::client::TlsStream<TcpStream>);

impl Client {
    pub async fn connect(
        address: SocketAddr,
        name: &str,
        config: rustls::ClientConfig,
    ) -> std::io::Result<Self> {
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        Ok(Self(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?))
    }

    /// The answer's body; in TLS 1.3 a client learns of its refusal when it first reads.
    pub async fn get(&mut self, path: &str) -> std::io::Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: keys.example\r\n\r\n");
        self.0.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let mut lines = head.lines();
                let length = lines.find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                if body.len() >= length.parse::<usize>().unwrap() {
                    return Ok(body.to_owned());
                }
            }
            let mut buffer = [0; 4096];
            let read = self.0.read(&mut buffer).await?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            answer.extend_from_slice(&buffer[..read]);
        }
    }
}

/// What the client is told when it is refused.
pub async fn refusal(connected: std::io::Result<Client>) -> String {
    match connected {
        Err(error) => error.to_string(),
        Ok(mut client) => client.get("/who").await.unwrap_err().to_string(),
    }
}
