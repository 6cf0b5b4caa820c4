//! The chaincode on real peers, by Fabric's own client.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use datapact_chaincode::contract::encoding::{Info, TrustConfiguration, canonical_text};
use datapact_chaincode::contract::{Contract, Failure, SetUp};
use datapact_chaincode::shim::{ServerTls, serve};
use datapact_core::contract::{Attributes, Call, Documents, Refusal};
use datapact_core::document::UsageAction;
use datapact_core::id::{Digest, ShareId};
use datapact_core::permission::AccessTimes;
use datapact_core::terms::Terms;
use datapact_fabric::network::Orderers;
use datapact_fabric::package::{Connection, Package};
use datapact_local::testing::{Fixture, ShareState, TestUser};
use datapact_log::clock::system_clock;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use support::cli::ORGANISATIONS;
use support::{ID, TestNetwork};

/// Has the chaincode trust the fixture's CAs.
fn trust(network: &TestNetwork, fixture: &Fixture) {
    let trust = canonical_text(&TrustConfiguration::of(&fixture.trust()));
    let by_user = network.invoke("key", "User1", &["set-trust", &trust], None).unwrap_err();
    assert!(matches!(Failure::find(&by_user), Some(Failure::Caller { .. })), "{by_user}");
    network.invoke("key", "Admin", &["set-trust", &trust], None).unwrap();
}

fn info(network: &TestNetwork, organisation: &str) -> Info {
    serde_json::from_value(network.query(organisation, &["info"]).unwrap()).unwrap()
}

fn request_id(call: &Call) -> String {
    match call {
        Call::RequestAccess(request) => request.request.to_string(),
        _ => panic!("not a request"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_decides_on_real_peers() {
    let Some(mut network) = TestNetwork::up(Orderers::Raft).await else { return };
    let fixture = Fixture::new(ID);
    let set_up: SetUp = info(&network, "management").set_up.unwrap();
    assert_eq!((set_up.ledger.as_str(), set_up.submitter.as_str()), (ID, "ManagementMSP"));
    let mut share = fixture.share(AccessTimes::Times(1), |policy| {
        policy.terms =
            Terms { organisations: ["lab.example".parse().unwrap()].into(), ..Terms::default() };
    });
    assert_eq!(network.execute(&share.set()), Err(Failure::NotSetUp), "no realm is trusted yet");
    trust(&network, &fixture);
    let digest = TrustConfiguration::of(&fixture.trust()).digest();
    assert_eq!(ORGANISATIONS.map(|it| info(&network, it).trust), [Some(digest); 2]);

    network.execute(&share.set()).unwrap();
    let ann = fixture.consumer("Ann Andersson");
    let of_lab = || Attributes {
        organisation: Some("lab.example".parse().unwrap()),
        ..Attributes::default()
    };
    let access = share.request_with(&ann, of_lab());
    network.execute(&access).unwrap();
    network.execute(&access).unwrap();
    network.execute(&share.report(&ann, &access.0, UsageAction::Opened)).unwrap();
    let refused = |call: &(Call, Documents)| match network.execute(call) {
        Err(Failure::Refused { refusal }) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refused(&share.request_with(&ann, of_lab())),
        Refusal::AccessTimes { access_times: 1 }
    );
    assert_eq!(refused(&share.request(&fixture.consumer("Bob"))), Refusal::Organisation);
    let stranger = Fixture::new(ID).share(AccessTimes::Unlimited, |_| {}).set();
    let unknown = Failure::Documents { check: "unknown".to_owned() };
    assert_eq!(network.execute(&stranger), Err(unknown));
    let by_key = network.invoke(
        "key",
        "User1",
        &["execute", &serde_json::to_string(&access.0).unwrap()],
        Some(&access.1),
    );
    assert!(matches!(Failure::find(&by_key.unwrap_err()), Some(Failure::Caller { .. })));

    // As documented, on both peers.
    let id = share.id().to_string();
    for organisation in ORGANISATIONS {
        let stored = network.query(organisation, &["share", &id]).unwrap();
        assert_eq!(stored["record"]["value"], "share");
        assert_eq!(stored["record"]["policy"]["policy"], share.policy.id().to_string());
        assert_eq!(stored["transaction"].as_str().unwrap().len(), 64);
        let stored = network.query(organisation, &["access", &request_id(&access.0)]).unwrap();
        assert_eq!(stored["record"]["access"], 1);
        let consumer = ann.opening().commitment(&share.id()).to_string();
        let stored = network.query(organisation, &["counter", &id, &consumer]).unwrap();
        assert_eq!(stored["record"]["granted"], 1);
        assert!(network.query(organisation, &["access", &"0".repeat(64)]).unwrap().is_null());
    }

    // The chaincode of one organisation dies: nothing is endorsed, nothing is lost, and it is found
    // again.
    network.network.stop_node("chaincode-key", true).await.unwrap();
    let suspend = share.next(|policy| policy.state = ShareState::Suspended);
    let arguments = ["execute", &serde_json::to_string(&suspend.0).unwrap()];
    network.invoke("management", "User1", &arguments, Some(&suspend.1)).unwrap_err();
    let before = network.query("management", &["share", &id]).unwrap();
    assert_eq!(before["record"]["policy"]["state"], "active");
    network.network.start_node(&network.programs, "chaincode-key").await.unwrap();
    network.execute(&suspend).unwrap();
    for organisation in ORGANISATIONS {
        let after = network.query(organisation, &["share", &id]).unwrap();
        assert_eq!(after["record"]["policy"]["state"], "suspended");
    }

    // The next version of the chaincode, elsewhere and one of them by TLS, finds all of it.
    for node in ORGANISATIONS.map(|organisation| format!("chaincode-{organisation}")) {
        network.network.stop_node(&node, false).await.unwrap();
    }
    let (first, second) = (next_version(&set_up, true).await, next_version(&set_up, false).await);
    network.upgrade([&first, &second], "2");
    let stored = network.query("key", &["access", &request_id(&access.0)]).unwrap();
    assert_eq!(stored["record"]["access"], 1);
    network.execute(&access).unwrap();
    network.execute(&share.next(|policy| policy.state = ShareState::Active)).unwrap();
    let consumer = ann.opening().commitment(&share.id()).to_string();
    assert_eq!(
        network.query("management", &["counter", &id, &consumer]).unwrap()["record"]["granted"],
        1
    );

    // PR-1: whatever the peers and the orderer keep.
    network.network.down().await.unwrap();
    let documents =
        [&share.set(), &access].map(|(_, documents)| serde_json::to_string(documents).unwrap());
    pr_1_nothing_that_identifies_a_person_is_kept(
        network.network.dir(),
        &share.id(),
        &ann,
        &documents,
    );
}

/// A chaincode that serves until the test ends, in a package that says where; by TLS with
/// certificates on both sides if `by_tls`.
async fn next_version(agreed: &SetUp, by_tls: bool) -> Package {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tls, package) = if by_tls {
        let (tls, connection) = both_sides(&address);
        (Some(tls), package_of(&connection))
    } else {
        (None, Package::new("datapact_2", &Connection { address, tls: None }).unwrap())
    };
    let contract = Arc::new(Contract::new(Some(agreed.clone()), system_clock()));
    let id = package.id.clone();
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move {
        let _stop = stop;
        serve(listener, tls, id, contract, stopping).await
    });
    package
}

/// The chaincode's TLS, and the peer's `connection.json`.
fn both_sides(address: &str) -> (ServerTls, serde_json::Value) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let issue = |usage: ExtendedKeyUsagePurpose| {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &ca).unwrap().pem(), key.serialize_pem())
    };
    let (certificate, key) = issue(ExtendedKeyUsagePurpose::ServerAuth);
    let (client_certificate, client_key) = issue(ExtendedKeyUsagePurpose::ClientAuth);
    let connection = json!({
        "address": address, "dial_timeout": "10s", "tls_required": true, "root_cert": ca.pem(),
        "client_auth_required": true, "client_cert": client_certificate, "client_key": client_key,
    });
    let tls = ServerTls {
        key: key.into_bytes(),
        certificate: certificate.into_bytes(),
        client_ca: Some(ca.pem().into_bytes()),
    };
    (tls, connection)
}

/// As the operator's guide makes one.
fn package_of(connection: &serde_json::Value) -> Package {
    let dir = tempfile::tempdir().unwrap();
    let tar = |archive: &str, files: &[&str]| {
        let made =
            Command::new("tar").current_dir(dir.path()).args(["czf", archive]).args(files).status();
        assert!(made.unwrap().success());
    };
    let metadata = json!({ "type": "ccaas", "label": "datapact_2" });
    std::fs::write(dir.path().join("connection.json"), connection.to_string()).unwrap();
    std::fs::write(dir.path().join("metadata.json"), metadata.to_string()).unwrap();
    tar("code.tar.gz", &["connection.json"]);
    tar("package.tgz", &["metadata.json", "code.tar.gz"]);
    let bytes = std::fs::read(dir.path().join("package.tgz")).unwrap();
    Package { id: format!("datapact_2:{}", Digest::of(&bytes)), bytes }
}

/// Searches every file of every node: ledgers, state, logs.
fn pr_1_nothing_that_identifies_a_person_is_kept(
    dir: &Path,
    share: &ShareId,
    ann: &TestUser,
    documents: &[String],
) {
    let opening = serde_json::to_value(ann.opening()).unwrap();
    let mut data: Vec<String> =
        ["Ann Andersson", "Dr. Provider", "CN=Ann", "Admissions 2025"].map(str::to_owned).into();
    data.push(opening["salt"].as_str().unwrap().to_owned());
    // Signed documents, as they are and as the peer would keep a part of them.
    for document in documents {
        let document: serde_json::Value = serde_json::from_str(document).unwrap();
        let signed =
            document.get("policy").or_else(|| document.get("request")).unwrap().as_str().unwrap();
        data.extend(signed.split('.').map(|part| part[..part.len().min(60)].to_owned()).skip(1));
    }
    let found = |data: &[String]| {
        let mut grep = Command::new("grep");
        grep.args(["--recursive", "--text", "--fixed-strings", "--files-with-matches"]);
        data.iter().for_each(|datum| {
            grep.args(["-e", datum]);
        });
        let output = grep.arg(dir).output().unwrap();
        // 1 is that nothing was found.
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let commitment = ann.opening().commitment(share).to_string();
    let kept = found(&[commitment]);
    for node in ["peer-management", "peer-key", "orderer-1"] {
        assert!(kept.contains(node), "{node} keeps the record: {kept}");
    }
    assert_eq!(found(&data), "");
}
