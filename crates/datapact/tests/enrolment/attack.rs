//! The attack: management is corrupted and has all of its true keys.

use std::fs;

use datapact_client::ca::{Ca, Kind as CertificateKind};
use datapact_client::key_file::PrivateKey;
use datapact_core::enrolment::{Enrolment, Invitation, Version};
use datapact_core::id::Digest;
use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use datapact_local::ports::PortBlock;
use datapact_store::{Location, Reader, Store, StoreError, json, number};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::support::{Site, now};
use crate::{DAY, Extra, SHARE, edit, invite, join, make_due, newest, port, refused};

/// A false key server: under the true one's name, at another address, certified by another CA that
/// calls itself as the servers' CA does.
fn false_key_server(site: &Site, ports: &PortBlock) -> (Extra, u16) {
    let ca = Ca::init(&site.file("ca/false"), "Servers' CA", 100 * DAY, None).unwrap();
    ca.crl().unwrap();
    let key = PrivateKey::generate().unwrap();
    fs::create_dir(site.file("servers/false")).unwrap();
    key.save(&site.file("servers/false/private_key.pem"), None).unwrap();
    let request = key.request(&"CN=key.quickstart.test".parse().unwrap()).unwrap();
    let kind = CertificateKind::Server { dns_names: vec!["key.quickstart.test".to_owned()] };
    let certificate = ca.issue(&request, &kind, 10 * DAY).unwrap();
    fs::write(site.file("servers/false/certificate.pem"), certificate).unwrap();
    let trust = fs::read_to_string(site.file("servers/trust.toml")).unwrap();
    let trust = trust
        .replace("[\"../ca/server/ca.pem\"]", "[\"../ca/server/ca.pem\", \"../ca/false/ca.pem\"]");
    let trust = trust.replace(
        "[\"../ca/server/crl.pem\"]",
        "[\"../ca/server/crl.pem\", \"../ca/false/crl.pem\"]",
    );
    fs::write(site.file("servers/false-trust.toml"), trust).unwrap();
    let mut ports = ports.ports();
    let (main, public) = (ports.next().unwrap(), ports.next().unwrap());
    let config = fs::read_to_string(site.config("key")).unwrap();
    let config = config
        .replace("../trust.toml", "../false-trust.toml")
        .replace(&port(site, "key", "listen").to_string(), &main.to_string())
        .replace(&port(site, "key", "public_listen").to_string(), &public.to_string());
    fs::write(site.file("servers/false/key.toml"), config).unwrap();
    (Extra::start(site, "key", "servers/false/key.toml"), main)
}

/// How many keys the false key server has been given a place for, or given.
async fn keys_taken(site: &Site) -> u64 {
    let location = Location::Sqlite(site.file("servers/false/data/key.sqlite"));
    let reader = Reader::open(&location).await.unwrap();
    let count = |db: &datapact_store::Db| {
        db.row("SELECT COUNT(*) FROM key_entry", [])?.map_or(Ok(0), |row| row.number(0))
    };
    reader.read::<_, StoreError>(count).await.unwrap()
}

/// Writes a version into management's database that no administrator has signed.
async fn plant(site: &Site, version: &Version) {
    site.stop("management");
    let path = site.file("servers/management/data/management.sqlite");
    let store = Store::open(&path, &[]).await.unwrap();
    let row = [number(version.body().unwrap().version.into()), json(version).unwrap()];
    let planted = store.write(move |tx| {
        tx.run("DELETE FROM enrolment WHERE version = 2", [])?;
        tx.insert("enrolment (version, signatures)", vec![row])
    });
    planted.await.map(drop).map_err(|e: StoreError| e).unwrap();
    drop(store);
    site.restart("management");
}

/// Who calls itself the administrator, by a CA of management's making.
fn impostor(site: &Site) -> (Signer, String) {
    let ca = Ca::init(&site.file("ca/impostor"), "Clinic CA", 100 * DAY, None).unwrap();
    let key = PrivateKey::generate().unwrap();
    let request = key.request(&"CN=admin,O=Clinic".parse().unwrap()).unwrap();
    let pem = ca.issue(&request, &CertificateKind::User, 10 * DAY).unwrap();
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect();
    let identity = Identity { realm: "clinic".to_owned(), subject: "CN=admin,O=Clinic".to_owned() };
    (Signer::new(key.pkcs8(), chain, identity).unwrap(), ca.certificate_pem())
}

/// Writes the invitation `from` with other content.
fn tampered(site: &Site, from: &str, to: &str, change: impl FnOnce(&mut Value)) {
    let text = fs::read(site.file(from)).unwrap();
    let mut file: Value = serde_json::from_slice(&text).unwrap();
    change(&mut file);
    fs::write(site.file(to), file.to_string()).unwrap();
}

/// Management trusts a second servers' CA and has the key server at another address: what broke
/// enrolment when management's word was enough. No data key gets there, and no one joins by it.
#[tokio::test(flavor = "multi_thread")]
async fn us_4_pr_10_a_corrupted_management_moves_no_user_to_a_false_key_server() {
    let site = Site::start_on(false);
    let ports = PortBlock::reserve().unwrap();
    fs::write(site.file("data.csv"), "a,b\n1,2\n").unwrap();
    let honest = newest(&site, "admin");
    let (_false_server, moved) = false_key_server(&site, &ports);
    let (there, moved) = (port(&site, "key", "listen").to_string(), moved.to_string());
    edit(
        &site,
        "servers/management/management.toml",
        &[
            (&there, &moved),
            ("../trust.toml", "../false-trust.toml"),
            ("../key/certificate.pem", "../false/certificate.pem"),
        ],
    );
    site.restart("management");

    // The administrator is asked for a signature, sees what it would be for, and does not give it.
    let output = site.run(Some("admin"), &["enrolment", "sign"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(10), "{told}");
    let new = format!("new key server: https://key.quickstart.test:{moved}");
    for part in ["new CA: server", &new, "key server removed"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let findings = site.ok("admin", &["doctor"]);
    let drafted = findings.iter().find(|finding| finding["check"] == "enrolment-draft").unwrap();
    assert_eq!(drafted["level"], "warning", "{drafted}");

    // It invites in good faith: what the newcomer gets is what the administrator has verified.
    invite(&site, "admin", "clinic", "provider", "newcomer.invite");
    let prepared = join(&site, "newcomer", "Clinic", "clinic", "newcomer.invite");
    assert_eq!(prepared["fingerprint"], honest["fingerprint"]);
    assert!(!prepared["trusted"].to_string().contains(&moved), "{prepared}");
    let create = [&["share", "create", "data.csv"][..], &SHARE[..]].concat();
    for user in ["newcomer", "clinic"] {
        let output = site.run(Some(user), &create);
        assert_ne!(output.status.code(), Some(0), "{user}");
    }
    assert_eq!(keys_taken(&site).await, 0);

    // The attack is a real one: a client that believed management's word would lose its key.
    let believed = site.user("admin").session.management().enrolment_draft().await.unwrap();
    let profile = site.file("home/profiles/clinic/enrolment.json");
    fs::write(profile, json!({ "draft": believed.enrolment }).to_string()).unwrap();
    fs::remove_file(site.file("home/profiles/clinic/state/crl/fetched")).unwrap();
    let output = site.run(Some("clinic"), &create);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(keys_taken(&site).await, 1, "{told}");
}

/// Management forges the documents themselves.
#[tokio::test(flavor = "multi_thread")]
async fn us_4_pr_10_a_forged_enrolment_is_refused_by_old_users_and_new() {
    let site = Site::start_on(false);
    fs::write(site.file("data.csv"), "a,b\n1,2\n").unwrap();
    let (impostor, impostor_ca) = impostor(&site);
    invite(&site, "admin", "clinic", "provider", "good.invite");
    let first = site.profile("admin").enrolment().clone();
    let sign =
        |body: &Enrolment| Version(vec![impostor.sign(&body.ledger.id, now(), body.clone())]);
    let mut second = first.clone().following(Some(&first));
    second.realms.get_mut("clinic").unwrap().push_str(&impostor_ca);
    let second = sign(&second);
    plant(&site, &second).await;

    let create = [&["share", "create", "data.csv"][..], &SHARE[..]].concat();
    for (user, arguments) in [
        ("admin", &["account", "invite", "--realm", "lab", "-o", "bad.invite"][..]),
        ("admin", &["enrolment", "sign", "--yes"]),
        ("clinic", &create),
        ("lab", &["identity", "refresh"]),
    ] {
        make_due(&site, user);
        let problem = refused(&site, Some(user), arguments, 8);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("not issued by a CA of any configured realm"), "{problem}");
    }
    assert!(!site.file("bad.invite").exists());

    // The invitation, changed on its way.
    let lone = sign(&Enrolment {
        realms: [
            ("clinic".to_owned(), impostor_ca.clone()),
            ("server".to_owned(), first.realms["server"].clone()),
        ]
        .into(),
        ..first.clone()
    });
    tampered(&site, "good.invite", "longer.invite", |file| {
        file["versions"].as_array_mut().unwrap().push(json!(second));
    });
    tampered(&site, "good.invite", "other.invite", |file| file["versions"] = json!([lone]));
    tampered(&site, "good.invite", "code.invite", |file| file["code"] = json!("another"));
    tampered(&site, "good.invite", "unsigned.invite", |file| {
        file["invitation"] = json!(impostor.sign(
            &first.ledger.id,
            now(),
            Invitation {
                code: Digest::of(file["code"].as_str().unwrap().as_bytes()),
                expires: now() + 1000,
                realm: "clinic".to_owned(),
                enrolment: first.fingerprint(),
            }
        ));
    });
    for file in ["longer", "other", "code", "unsigned"] {
        let file = format!("{file}.invite");
        let joining = ["join", &file, "--subject", "CN=victim,O=Clinic", "--profile", "victim"];
        refused(&site, None, &joining, 8);
    }
    assert!(!site.file("home/profiles/victim").exists());
    // All of it replaced is another enrolment altogether: that shows by its fingerprint.
    tampered(&site, "good.invite", "replaced.invite", |file| {
        let body = lone.body().unwrap();
        file["versions"] = json!([lone]);
        file["invitation"] = json!(impostor.sign(
            &body.ledger.id,
            now(),
            Invitation {
                code: Digest::of(file["code"].as_str().unwrap().as_bytes()),
                expires: now() + 1000,
                realm: "clinic".to_owned(),
                enrolment: body.fingerprint(),
            }
        ));
    });
    let fingerprint = first.fingerprint().to_string();
    let joining = [
        "join",
        "--subject",
        "CN=victim,O=Clinic",
        "--profile",
        "victim",
        "--fingerprint",
        &fingerprint,
    ];
    refused(&site, None, &[&joining[..], &["replaced.invite"]].concat(), 8);
    site.ran(&[&joining[..], &["good.invite"]].concat());

    // A management that forgets what it has published is found out, too.
    let path = site.file("servers/management/data/management.sqlite");
    let store = Store::open(&path, &[]).await.unwrap();
    let forget = store.write(|tx| tx.run("DELETE FROM enrolment", []));
    forget.await.map(drop).map_err(|e: StoreError| e).unwrap();
    let problem = refused(&site, Some("lab"), &["identity", "refresh"], 8);
    assert!(problem["detail"].as_str().unwrap().contains("in place of version 1"), "{problem}");
    // An honest one that was restored from an old backup gets it back from an administrator.
    site.ok("admin", &["enrolment", "publish"]);
    assert_eq!(site.ok("lab", &["identity", "refresh"])[0]["version"], 1);
}
