//! The small CA and key files, checked by trust as servers use it and by the `openssl` command.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use datapact_client::ca::{Ca, CaError, Kind};
use datapact_client::key_file::{KeyFileError, PrivateKey};
use datapact_client::subject::Subject;
use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use datapact_core::trust::{Trust, TrustError};
use proptest::prelude::*;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

const DAY: Duration = Duration::from_secs(86400);

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn openssl(folder: &Path, arguments: &str) -> (bool, String) {
    let output =
        Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Whether openssl is there to agree with; otherwise the test is skipped.
fn has_openssl() -> bool {
    datapact_test_tools::program("openssl", "install Debian's `openssl`").is_some()
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().unwrap()
}

fn trust(realm: &str, ca: &Path, crls: &[&str]) -> Trust {
    let mut trust = Trust::default();
    let cas = chain(&fs::read_to_string(ca.join("ca.pem")).unwrap());
    let crls = crls
        .iter()
        .map(|crl| CertificateRevocationListDer::from_pem_slice(crl.as_bytes()).unwrap().to_vec());
    trust.add(realm, cas, crls.collect()).unwrap();
    trust
}

fn request(subject: &str) -> String {
    PrivateKey::generate().unwrap().request(&subject.parse().unwrap()).unwrap()
}

#[test]
fn us_2_users_and_servers_are_certified_and_openssl_agrees() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut ca = Ca::init(&path.join("ca"), "Clinic CA", 365 * DAY, None).unwrap();
    assert!(ca.publish_crl_at("ftp://lists.example/clinic").is_err());
    assert!(ca.publish_crl_at("https://lists.example/a b").is_err());
    ca.publish_crl_at("https://lists.example/crl/clinic").unwrap();
    let ca = Ca::open(&path.join("ca"), None).unwrap();
    let key = PrivateKey::generate().unwrap();
    key.save(&path.join("ann.key"), None).unwrap();
    let csr = key.request(&Subject::new("Ann Lee", Some("Clinic, north")).unwrap()).unwrap();
    let user = ca.issue(&csr, &Kind::User, 30 * DAY).unwrap();
    let dns_names = vec!["keys.example".to_owned(), "localhost".to_owned()];
    let server = ca.issue(&request("CN=Keys"), &Kind::Server { dns_names }, 30 * DAY).unwrap();
    fs::write(path.join("ann.csr"), &csr).unwrap();
    fs::write(path.join("ann.pem"), &user).unwrap();
    fs::write(path.join("keys.pem"), &server).unwrap();

    let identity = trust("clinic", &path.join("ca"), &[]).identify(&chain(&user), now()).unwrap();
    assert_eq!(identity.to_string(), "clinic:CN=Ann Lee,O=Clinic\\, north");
    let named = trust("server", &path.join("ca"), &[]).identify(&chain(&server), now()).unwrap();
    assert_eq!(named, Identity::server("keys.example"));
    Signer::new(key.pkcs8(), chain(&user), identity).unwrap();

    for arguments in [
        "req -in ann.csr -noout -verify",
        "verify -x509_strict -purpose sslclient -CAfile ca/ca.pem ann.pem",
        "verify -x509_strict -purpose sslclient -CAfile ca/ca.pem keys.pem",
        "verify -x509_strict -purpose sslserver -verify_hostname localhost -CAfile ca/ca.pem \
         keys.pem",
        "pkey -in ann.key -check -noout",
        "pkey -in ca/ca.key.pem -check -noout",
    ] {
        let (ok, text) = openssl(path, arguments);
        assert!(ok, "openssl {arguments}: {text}");
    }
    assert!(!openssl(path, "verify -purpose sslserver -CAfile ca/ca.pem ann.pem").0);
    let (_, text) = openssl(path, "x509 -in ann.pem -noout -text");
    for expected in [
        "CA:FALSE",
        "Digital Signature",
        "TLS Web Client Authentication",
        "Authority Key Identifier",
        "URI:https://lists.example/crl/clinic",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    for secret in ["ann.key", "ca/ca.key.pem"] {
        assert_eq!(fs::metadata(path.join(secret)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn requests_made_by_openssl_are_certified_without_what_else_they_ask() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ca = Ca::init(&path.join("ca"), "Clinic CA", 365 * DAY, None).unwrap();
    let make = |curve: &str, subject: &str| {
        let arguments = format!(
            "req -new -newkey {curve} -nodes -keyout k.pem -out r.pem -subj {subject} \
             -addext basicConstraints=CA:TRUE -addext subjectAltName=DNS:keys.example \
             -addext extendedKeyUsage=serverAuth"
        );
        let (ok, text) = openssl(path, &arguments);
        assert!(ok, "{text}");
        fs::read_to_string(path.join("r.pem")).unwrap()
    };
    let p256 = "ec -pkeyopt ec_paramgen_curve:P-256";
    let csr = make(p256, "/C=SE/O=Clinic/CN=Ann");
    let user = ca.issue(&csr, &Kind::User, DAY).unwrap();
    fs::write(path.join("ann.pem"), &user).unwrap();
    let (_, text) = openssl(path, "x509 -in ann.pem -noout -text");
    assert!(
        text.contains("CA:FALSE")
            && !text.contains("keys.example")
            && !text.contains("Server Auth")
    );
    let identity = trust("clinic", &path.join("ca"), &[]).identify(&chain(&user), now()).unwrap();
    assert_eq!(identity.subject, "C=SE,O=Clinic,CN=Ann");
    fs::set_permissions(path.join("k.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    let key = PrivateKey::load(&path.join("k.pem"), None).unwrap();
    Signer::new(key.pkcs8(), chain(&user), identity).unwrap();

    let refused = |csr: &str, kind: &Kind, valid| {
        let refused = ca.issue(csr, kind, valid);
        assert!(matches!(refused, Err(CaError::Request(_))), "{refused:?}");
    };
    for (curve, subject) in [
        ("ec -pkeyopt ec_paramgen_curve:P-384", "/CN=Ann"),
        ("rsa:2048", "/CN=Ann"),
        (p256, "/CN=Ann/CN=Bob"),
        (p256, "/OU=a/CN=Ann/OU=b"),
        (p256, "/CN=Ann+O=Lab -multivalue-rdn"),
    ] {
        refused(&make(curve, subject), &Kind::User, DAY);
    }
    refused(&csr, &Kind::User, 366 * DAY);
    refused(&csr, &Kind::User, Duration::from_secs(u64::MAX / 4));
    for names in [
        vec![],
        vec!["*.example".to_owned()],
        vec!["a".to_owned(), "B".to_owned()],
        vec!["ü".to_owned()],
    ] {
        refused(&csr, &Kind::Server { dns_names: names }, DAY);
    }
    let mut tampered = csr.clone().into_bytes();
    let middle = tampered.iter().rposition(|b| *b == b'A').unwrap();
    tampered[middle] = b'B';
    refused(&String::from_utf8(tampered).unwrap(), &Kind::User, DAY);
    refused("", &Kind::User, DAY);
    refused(&"x".repeat(1_000_000), &Kind::User, DAY);
}

#[test]
fn us_3_revocation_is_listed_and_counts() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ca = Ca::init(path, "Clinic CA", 365 * DAY, None).unwrap();
    let other = Ca::init(&path.join("other"), "Other CA", 365 * DAY, None).unwrap();
    let [ann, bob] =
        ["CN=Ann", "CN=Bob"].map(|who| ca.issue(&request(who), &Kind::User, DAY).unwrap());
    fs::write(path.join("ann.pem"), &ann).unwrap();
    let empty = ca.crl().unwrap();
    ca.revoke_certificate(&ann).unwrap();
    ca.revoke_certificate(&ann).unwrap();
    let full = Ca::open(path, None).unwrap().crl().unwrap();
    let who = |crl: &str, pem: &str| trust("clinic", path, &[crl]).identify(&chain(pem), now());
    assert!(who(&empty, &ann).is_ok());
    assert!(matches!(who(&full, &ann), Err(TrustError::Revoked { .. })));
    assert!(who(&full, &bob).is_ok());

    assert_eq!(fs::read_to_string(path.join("crl.pem")).unwrap(), full);
    let (ok, text) = openssl(path, "crl -in crl.pem -CAfile ca.pem -noout -text -crlnumber");
    assert!(ok && text.contains("verify OK") && text.contains("crlNumber=0x02"), "{text}");
    let (ok, text) = openssl(path, "verify -CAfile ca.pem -CRLfile crl.pem -crl_check ann.pem");
    assert!(!ok && text.contains("revoked"), "{text}");
    fs::write(path.join("crl.pem"), &empty).unwrap();
    let (ok, text) = openssl(path, "verify -CAfile ca.pem -CRLfile crl.pem -crl_check ann.pem");
    assert!(ok, "{text}");

    let (_, text) = openssl(path, "x509 -in ann.pem -noout -serial");
    ca.revoke(text.trim().strip_prefix("serial=").unwrap()).unwrap();
    for unknown in ["", "00", "ff", "zz", &"a".repeat(1000)] {
        assert!(matches!(ca.revoke(unknown), Err(CaError::NotIssued(_))));
    }
    assert!(matches!(other.revoke_certificate(&ann), Err(CaError::NotIssued(_))));
}

#[test]
fn the_index_survives_a_crash_and_tells_damage() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index.jsonl");
    let ca = Ca::init(folder.path(), "Clinic CA", 365 * DAY, None).unwrap();
    let ann = ca.issue(&request("CN=Ann"), &Kind::User, DAY).unwrap();
    let written = fs::read(&index).unwrap();
    fs::write(&index, [&written[..], br#"{"event":"revo"#].concat()).unwrap();
    ca.revoke_certificate(&ann).unwrap();
    assert_eq!(fs::read(&index).unwrap()[..written.len()], written[..], "appended to only");
    let crl = ca.crl().unwrap();
    assert!(trust("clinic", folder.path(), &[&crl]).identify(&chain(&ann), now()).is_err());
    fs::write(&index, b"{}\n").unwrap();
    assert!(matches!(ca.crl(), Err(CaError::Damaged { .. })));
}

#[test]
fn us_3_renewals_keep_the_identity() {
    let folder = tempfile::tempdir().unwrap();
    let mut ca = Ca::init(folder.path(), "Clinic CA", 20 * DAY, None).unwrap();
    let before = ca.issue(&request("CN=Ann"), &Kind::User, DAY).unwrap();
    ca.renew(365 * DAY).unwrap();
    let ca = Ca::open(folder.path(), None).unwrap();
    let after = ca.issue(&request("CN=Ann"), &Kind::User, 100 * DAY).unwrap();
    let trust = trust("clinic", folder.path(), &[&ca.crl().unwrap()]);
    let (before, after) =
        (trust.identify(&chain(&before), now()), trust.identify(&chain(&after), now()));
    assert_eq!(before.unwrap(), after.unwrap());
}

#[test]
fn us_2_keys_are_private_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let key = PrivateKey::generate().unwrap();
    key.save(&path, None).unwrap();
    assert_eq!(PrivateKey::load(&path, None).unwrap().pkcs8(), key.pkcs8());
    let again = PrivateKey::generate().unwrap().save(&path, None);
    assert!(matches!(again, Err(KeyFileError::Exists(_))));
    assert_eq!(PrivateKey::load(&path, Some("ignored")).unwrap().pkcs8(), key.pkcs8());
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(PrivateKey::load(&path, None), Err(KeyFileError::TooOpen(_))));
    }
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.pop().unwrap(), "key.pem");
    assert!(names.is_empty(), "nothing temporary is left: {names:?}");

    let bad = folder.path().join("bad.pem");
    for text in ["", "rubbish", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        fs::write(&bad, text).unwrap();
        fs::set_permissions(&bad, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(PrivateKey::load(&bad, None), Err(KeyFileError::Unusable(_))), "{text}");
    }
    assert!(matches!(Ca::init(folder.path(), "", DAY, None), Err(CaError::Request(_))));
}

#[test]
fn us_2_a_passphrase_protects_keys_and_openssl_reads_them() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let key = PrivateKey::generate().unwrap();
    assert!(matches!(key.save(&path, Some("")), Err(KeyFileError::EmptyPassphrase)));
    key.save(&path, Some("correct horse")).unwrap();
    assert!(matches!(PrivateKey::load(&path, None), Err(KeyFileError::PassphraseNeeded(_))));
    assert!(matches!(
        PrivateKey::load(&path, Some("wrong")),
        Err(KeyFileError::WrongPassphrase(_))
    ));
    assert_eq!(PrivateKey::load(&path, Some("correct horse")).unwrap().pkcs8(), key.pkcs8());
    // A line for each of the two passphrases that openssl may ask for.
    fs::write(folder.path().join("pass"), "correct horse\ncorrect horse\n").unwrap();
    let (ok, text) = openssl(folder.path(), "pkey -in key.pem -passin file:pass -check -noout");
    assert!(ok, "{text}");
    // And the other way round: a key that openssl has encrypted.
    let (ok, text) = openssl(
        folder.path(),
        "pkcs8 -topk8 -in key.pem -passin file:pass -passout file:pass -out theirs.pem",
    );
    assert!(ok, "{text}");
    let theirs = folder.path().join("theirs.pem");
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o600)).unwrap();
    let theirs = PrivateKey::load(&theirs, Some("correct horse")).unwrap();
    assert_eq!(theirs.pkcs8(), key.pkcs8());

    let ca = folder.path().join("ca");
    Ca::init(&ca, "Clinic CA", DAY, Some("tr0ubador")).unwrap();
    assert!(matches!(Ca::init(&ca, "Clinic CA", DAY, None), Err(CaError::Exists(_))));
    assert!(matches!(Ca::open(&ca, None), Err(CaError::Key(KeyFileError::PassphraseNeeded(_)))));
    Ca::open(&ca, Some("tr0ubador")).unwrap().crl().unwrap();
}

#[test]
fn subjects_are_read_strictly() {
    for text in [
        "",
        "Ann",
        "CN=",
        "CN=Ann,",
        "CN=Ann,CN=Bob",
        "XX=Ann",
        "cn=Ann",
        "CN=a+O=b",
        "CN=a\\",
        "CN= a",
        "CN=a\\b",
        "CN=#a",
    ] {
        assert!(text.parse::<Subject>().is_err(), "{text}");
    }
    let long = "CN=".to_owned() + &"x".repeat(1_000_000);
    assert!(long.parse::<Subject>().unwrap().to_string() == long);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What an administrator writes in an invitation is what the certificate will say.
    #[test]
    fn pr_10_the_subject_asked_for_is_the_subject_certified(
        name in "[ -~äß李]{1,40}",
        organisation in "[ -~]{1,40}",
    ) {
        thread_local!(static CA: (tempfile::TempDir, Ca) = {
            let folder = tempfile::tempdir().unwrap();
            let ca = Ca::init(folder.path(), "Clinic CA", 365 * DAY, None).unwrap();
            (folder, ca)
        });
        let subject = Subject::new(&name, Some(&organisation)).unwrap();
        let text = subject.to_string();
        prop_assert_eq!(&text.parse::<Subject>().unwrap(), &subject);
        let certified = CA.with(|(folder, ca)| {
            let pem = ca.issue(&request(&text), &Kind::User, DAY).unwrap();
            trust("clinic", folder.path(), &[]).identify(&chain(&pem), now()).unwrap()
        });
        prop_assert_eq!(certified.subject, text);
    }
}
