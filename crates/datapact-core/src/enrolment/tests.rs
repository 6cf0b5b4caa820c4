#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use rustls_pki_types::CertificateDer;

use super::*;
use crate::testpki::Ca;

fn pem(der: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

fn at(name: &str) -> Endpoint {
    Endpoint { url: format!("https://{name}.example"), connect: None }
}

fn enrolment(clinic: &Ca) -> Enrolment {
    let ann = Identity { realm: "clinic".to_owned(), subject: "CN=Ann".to_owned() };
    Enrolment {
        version: 1,
        previous: None,
        administrators: Administrators { identities: vec![ann], threshold: 1 },
        management: at("management"),
        public: at("public"),
        key_servers: vec![at("keys")],
        storage_servers: vec![at("storage")],
        ledger: LedgerTrust {
            id: "m.example/ledger".to_owned(),
            log_policy: "quorum none\n".to_owned(),
            chain: None,
        },
        realms: [("clinic".to_owned(), pem(&clinic.der))].into(),
    }
}

fn said(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

#[test]
fn us_4_a_version_tells_what_it_changes() {
    let (clinic, lab, renewed) = (Ca::new("Clinic CA"), Ca::new("Lab CA"), Ca::new("Clinic CA"));
    let before = enrolment(&clinic);
    assert_eq!(before.changes_since(Some(&before)), []);
    let mut after = before.clone().following(Some(&before));
    assert_eq!(after.changes_since(Some(&before)), [], "its place in the sequence is no change");
    assert!(after.says_the_same(&before) && after.previous == Some(before.fingerprint()));

    after.realms.insert("lab".to_owned(), pem(&lab.der));
    after.realms.insert("clinic".to_owned(), pem(&clinic.der) + &pem(&renewed.der));
    after.key_servers[0].connect = Some("192.0.2.1:8443".parse().unwrap());
    after.key_servers.push(at("keys-2"));
    after.storage_servers = vec![at("storage-2")];
    after.management = at("elsewhere");
    after.administrators.threshold = 2;
    after.ledger.log_policy = "# another\nquorum none\n".to_owned();
    assert!(!after.says_the_same(&before));
    let (new_ca, lab_ca) = (Digest::of(&renewed.der), Digest::of(&lab.der));
    assert_eq!(
        said(&after.changes_since(Some(&before))),
        [
            format!("new CA: clinic, CN=Clinic CA, SHA-256 {new_ca}"),
            format!("new realm: lab, CN=Lab CA, SHA-256 {lab_ca}"),
            "management is at: https://elsewhere.example".to_owned(),
            "key server is at: https://keys.example (192.0.2.1:8443)".to_owned(),
            "new key server: https://keys-2.example".to_owned(),
            "new storage server: https://storage-2.example".to_owned(),
            "storage server removed: https://storage.example".to_owned(),
            "log policy: # another; quorum none".to_owned(),
            "administrators who must sign: 2 of 1".to_owned(),
        ]
    );
    let back = said(&before.changes_since(Some(&after)));
    assert!(back.contains(&"realm no longer trusted: lab".to_owned()), "{back:?}");
    assert!(
        back.contains(&format!("CA no longer trusted: clinic, CN=Clinic CA, SHA-256 {new_ca}"))
    );

    // Where there was nothing before, all of it is new.
    let all = said(&before.changes_since(None));
    for part in ["new realm: clinic", "new key server", "new administrator: clinic:CN=Ann"] {
        assert!(all.iter().any(|line| line.starts_with(part)), "{part}: {all:?}");
    }
}

#[test]
fn us_4_the_fingerprint_is_of_the_canonical_form() {
    let body = enrolment(&Ca::new("Clinic CA"));
    let pretty = serde_json::to_string_pretty(&body).unwrap();
    let read: Enrolment = serde_json::from_str(&pretty).unwrap();
    assert_eq!(read.fingerprint(), body.fingerprint());
    let moved = Enrolment { management: at("elsewhere"), ..body.clone() };
    assert_ne!(moved.fingerprint(), body.fingerprint());
}
