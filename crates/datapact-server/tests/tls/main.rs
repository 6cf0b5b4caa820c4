//! TLS over real sockets: who is let in, who is not, and that a revocation counts at once.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod trust_file;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use datapact_api::tls::client_config;
use datapact_server::tls::{Bounds, Deadlines, Limits, Listener};
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use world::{Ca, Client, HOUR, World, refusal};

#[tokio::test]
async fn ac_1_users_and_servers_are_authenticated() {
    let world = World::new().await;
    let mut ann = world.connect(world.ann()).await.unwrap();
    assert_eq!(ann.get("/who").await.unwrap(), "clinic:CN=Ann");
    let server = world.servers.issue("Management", &["management.example"], 2, HOUR);
    let mut server = world.connect(Some(server)).await.unwrap();
    assert_eq!(server.get("/who").await.unwrap(), "server:management.example");
    let (_, connection) = ann.0.get_ref();
    assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let group = connection.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn ac_1_whoever_is_not_certified_is_refused() {
    let world = World::new().await;
    let cases = [
        (None, "CertificateRequired"),
        (Some(Ca::new("Clinic CA").issue("Ann", &[], 1, HOUR)), "UnknownCA"),
        (Some(world.clinic.issue("Ann", &[], 1, Duration::ZERO)), "CertificateExpired"),
    ];
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for (certificate, expected) in cases {
        let told = refusal(world.connect(certificate).await).await;
        assert!(told.contains(expected), "{told}");
    }
}

#[tokio::test]
async fn ac_1_a_revocation_counts_at_once() {
    let world = World::new().await;
    let ann = world.clinic.issue("Ann", &[], 7, HOUR);
    let again = (ann.0.clone(), ann.1.clone_key());
    let mut open = world.connect(Some(ann)).await.unwrap();
    assert_eq!(open.get("/now").await.unwrap(), "clinic:CN=Ann");
    assert!(!world.trust.reload_if_changed().unwrap());
    std::fs::write(world.path("clinic.crl"), world.clinic.crl(&[7])).unwrap();
    assert!(world.trust.reload_if_changed().unwrap());
    assert!(!world.trust.reload_if_changed().unwrap());
    assert!(open.get("/now").await.unwrap().contains("revoked"), "also on the open connection");
    let told = refusal(world.connect(Some(again)).await).await;
    assert!(told.contains("CertificateRevoked"), "{told}");
    let mut bob = world.connect(Some(world.clinic.issue("Bob", &[], 8, HOUR))).await.unwrap();
    assert_eq!(bob.get("/who").await.unwrap(), "clinic:CN=Bob");
}

#[tokio::test]
async fn a_running_server_notices_changed_files() {
    let world = World::new().await;
    let watching = tokio::spawn(world.trust.clone().watch());
    let mut open = world.connect(Some(world.clinic.issue("Ann", &[], 7, HOUR))).await.unwrap();
    assert_eq!(open.get("/now").await.unwrap(), "clinic:CN=Ann");
    std::fs::write(world.path("clinic.crl"), world.clinic.crl(&[7])).unwrap();
    let noticed = tokio::time::timeout(Duration::from_secs(60), async {
        while !open.get("/now").await.unwrap().contains("revoked") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    noticed.await.unwrap();
    watching.abort();
}

#[tokio::test]
async fn ac_2_clients_check_the_server() {
    let world = World::new().await;
    for name in ["storage.example", "127.0.0.1"] {
        let told = refusal(world.connect_to(name, world.ann()).await).await;
        assert!(told.contains("NotValidForName"), "{told}");
    }
    let other = World::new().await;
    let config = client_config(other.trust.clone(), world.ann()).unwrap();
    let told = refusal(Client::connect(world.address, "keys.example", config).await).await;
    assert!(told.contains("UnknownIssuer"), "{told}");

    std::fs::write(world.path("servers.crl"), world.servers.crl(&[1])).unwrap();
    world.trust.reload().unwrap();
    let told = refusal(world.connect(world.ann()).await).await;
    assert!(told.contains("Revoked"), "{told}");
}

#[tokio::test]
async fn ac_2_a_users_certificate_makes_no_server() {
    let world = World::new().await;
    let (chain, key) = world.clinic.issue("Ann", &["keys.example"], 1, HOUR);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let posing = Listener::bind(any, chain, key, None, &Bounds::default()).await.unwrap();
    let address = posing.local_addr().unwrap();
    tokio::spawn(posing.serve(Router::new(), std::future::pending()));
    let config = client_config(world.trust.clone(), None).unwrap();
    let told = refusal(Client::connect(address, "keys.example", config).await).await;
    assert!(told.contains("NotValidForName"), "{told}");
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let world = World::new().await;
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.tls13().is_none());
    let ca =
        rustls::pki_types::CertificateDer::from_pem_slice(world.servers.pem.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca).unwrap();
    let (chain, key) = world.ann().unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    let told = refusal(Client::connect(world.address, "keys.example", config).await).await;
    assert!(told.contains("ProtocolVersion"), "{told}");
}

#[tokio::test]
async fn the_public_listener_knows_nobody() {
    let world = World::with(false, Bounds::default()).await;
    for certificate in [None, world.ann()] {
        let mut client = world.connect(certificate).await.unwrap();
        assert_eq!(client.get("/who").await.unwrap(), "nobody");
    }
}

#[tokio::test]
async fn slow_peers_are_cut_off_and_connections_limited() {
    let deadlines = Deadlines { handshake_seconds: 3, header_seconds: 2, ..Deadlines::default() };
    let limits = Limits { handshakes: 1, deadlines, ..Limits::default() };
    let world = World::with(true, Bounds { limits, own_servers: Vec::new() }).await;
    // It takes the only slot and says nothing; the next one takes its place at once.
    let mut silent = TcpStream::connect(world.address).await.unwrap();
    let mut ann = world.connect(world.ann()).await.unwrap();
    assert_eq!(ann.get("/who").await.unwrap(), "clinic:CN=Ann");
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
    // If no other needs it, its slot ends with the time for a handshake.
    let mut silent = TcpStream::connect(world.address).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), silent.read(&mut [0; 1])).await;
    assert_eq!(ended.unwrap().unwrap_or(0), 0);
    ann.0.write_all(b"GET /who HTTP/1.1\r\nhost:").await.unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(60), ann.0.read_to_end(&mut rest)).await;
    assert!(closed.is_ok() && !String::from_utf8_lossy(&rest).contains("200 OK"));
}

#[tokio::test]
async fn who_sends_what_nobody_reads_is_answered_and_may_go_on() {
    let world = World::new().await;
    let mut ann = world.connect(world.ann()).await.unwrap();
    ann.0
        .write_all(b"GET /who HTTP/1.1\r\nhost: keys.example\r\ncontent-length: 5\r\n\r\n")
        .await
        .unwrap();
    ann.0.flush().await.unwrap();
    // The server has the head well before the body.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let next = b"12345GET /who HTTP/1.1\r\nhost: keys.example\r\nconnection: close\r\n\r\n";
    ann.0.write_all(next).await.unwrap();
    let mut answers = Vec::new();
    ann.0.read_to_end(&mut answers).await.unwrap();
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.matches("clinic:CN=Ann").count(), 2, "{answers}");
}

#[tokio::test]
async fn requests_under_way_finish_at_shutdown() {
    let world = World::new().await;
    let mut ann = world.connect(world.ann()).await.unwrap();
    let mut idle = world.connect(world.ann()).await.unwrap();
    assert_eq!(idle.get("/who").await.unwrap(), "clinic:CN=Ann");
    let asking = tokio::spawn(async move { ann.get("/slow").await });
    world.slow_started.notified().await;
    drop(world.stop);
    assert_eq!(asking.await.unwrap().unwrap(), "slow");
    assert!(idle.get("/who").await.is_err());
    assert!(TcpStream::connect(world.address).await.is_err());
}
