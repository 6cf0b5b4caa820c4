//! What users trust grows after they have joined.

use std::fs;

use datapact_client::ca::{Ca, Kind as CertificateKind};
use datapact_client::key_file::PrivateKey;
use datapact_local::ports::PortBlock;

use crate::support::{ROLES, Site, until_done};
use crate::{DAY, Extra, SHARE, edit, invite, join, make_due, newest, opens, port, refused};

const SECOND: &str = "key-2.quickstart.test";

/// A second key server, known to management as a server and as a witness; not started yet.
fn second_key_server(site: &Site, ports: &PortBlock) {
    let folder = site.file("servers/key-2");
    fs::create_dir(&folder).unwrap();
    let key = PrivateKey::generate().unwrap();
    key.save(&folder.join("private_key.pem"), None).unwrap();
    let request = key.request(&format!("CN={SECOND}").parse().unwrap()).unwrap();
    let kind = CertificateKind::Server { dns_names: vec![SECOND.to_owned()] };
    let certificate = site.ca("server").issue(&request, &kind, 10 * DAY).unwrap();
    fs::write(folder.join("certificate.pem"), certificate).unwrap();
    let mut ports = ports.ports();
    let (main, public) = (ports.next().unwrap(), ports.next().unwrap());
    let config = fs::read_to_string(site.config("key")).unwrap();
    let config = config
        .replace("key.quickstart.test", SECOND)
        .replace(&port(site, "key", "listen").to_string(), &main.to_string())
        .replace(&port(site, "key", "public_listen").to_string(), &public.to_string());
    fs::write(folder.join("key.toml"), config).unwrap();
    let witness = datapact_server::key::witness_key(&folder.join("data"), SECOND).unwrap();
    let witness = format!("witnesses = [\"{}\", ", witness.public());
    let peer = format!(
        "[[key_servers]]\nurl = \"https://{SECOND}:{main}\"\nconnect = \"127.0.0.1:{main}\"\n\
         certificate = \"../key-2/certificate.pem\"\n\n[[storage_servers]]"
    );
    edit(
        site,
        "servers/management/management.toml",
        &[
            ("witnesses = [", &witness),
            ("[[storage_servers]]", &peer),
            (
                "\"server:key.quickstart.test\"",
                &format!("\"server:key.quickstart.test\", \"server:{SECOND}\""),
            ),
        ],
    );
}

/// A realm, a second key server and a renewed CA with another key come after users have joined:
/// they are told, old shares audit well, and new ones are opened by new users on the new server.
#[tokio::test(flavor = "multi_thread")]
async fn us_4_pr_10_realms_servers_and_cas_are_added_after_users_joined() {
    let site = Site::start_on(false);
    let ports = PortBlock::reserve().unwrap();
    fs::write(site.file("data.csv"), "a,b\n1,2\n").unwrap();
    let old = site.ok("clinic", &[&["share", "create", "data.csv"][..], &SHARE[..]].concat());
    let old = old[0]["share"].as_str().unwrap().to_owned();
    opens(&site, "lab", &old);

    for (folder, name) in [("plant", "Plant CA"), ("clinic-2", "Clinic CA")] {
        let ca = Ca::init(&site.file(&format!("ca/{folder}")), name, 100 * DAY, None).unwrap();
        ca.crl().unwrap();
    }
    second_key_server(&site, &ports);
    edit(
        &site,
        "servers/trust.toml",
        &[
            ("[\"../ca/clinic/ca.pem\"]", "[\"../ca/clinic/ca.pem\", \"../ca/clinic-2/ca.pem\"]"),
            (
                "[\"../ca/clinic/crl.pem\"]",
                "[\"../ca/clinic/crl.pem\", \"../ca/clinic-2/crl.pem\"]",
            ),
            (
                "[[realm]]\nname = \"lab\"",
                "[[realm]]\nname = \"plant\"\nca = [\"../ca/plant/ca.pem\"]\ncrl = \
                 [\"../ca/plant/crl.pem\"]\n\n[[realm]]\nname = \"lab\"",
            ),
        ],
    );
    for role in ["management", "key", "storage", "key-2"] {
        let folder = format!("servers/{role}");
        let file = if role == "key-2" { "key" } else { role };
        let admitted = ("allow = [\"clinic\"", "allow = [\"plant\", \"clinic\"");
        edit(&site, &format!("{folder}/{file}.toml"), &[admitted]);
    }
    for role in ROLES {
        site.restart(role);
    }
    let _second = Extra::start(&site, "key", "servers/key-2/key.toml");

    // No one is invited to what is not signed yet.
    let early = ["account", "invite", "--realm", "plant", "-o", "early.invite"];
    let problem = refused(&site, Some("admin"), &early, 2);
    assert!(problem["hint"].as_str().unwrap().contains("enrolment sign"), "{problem}");
    let signed = site.ok("admin", &["enrolment", "sign", "--yes"]).remove(0);
    let changes: Vec<&str> = signed["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["change"].as_str().unwrap())
        .collect();
    assert_eq!(changes, ["ca-added", "realm-added", "key-server-added", "log-policy-changed"]);

    // Users who have joined before are told, and go on with it in the same run.
    make_due(&site, "clinic");
    let output = site.run(Some("clinic"), &["share", "list"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    for part in ["version 2 of the enrolment", "new realm: plant", "new CA: clinic", SECOND] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let refreshed = site.ok("lab", &["identity", "refresh"]).remove(0);
    assert_eq!((&refreshed["renewed"], &refreshed["version"]), (&true.into(), &2.into()));
    assert_eq!(newest(&site, "lab")["fingerprint"], newest(&site, "admin")["fingerprint"]);
    let clinic = site.user("clinic");
    let share = old.parse().unwrap();
    let audit = until_done("the audit", || async { clinic.provider().audit(&share).await }).await;
    assert!(audit.good, "{:?}", audit.findings);
    opens(&site, "lab", &old);

    // New users: of the new realm, and by the renewed CA.
    invite(&site, "admin", "plant", "consumer", "pia.invite");
    join(&site, "pia", "Plant", "plant", "pia.invite");
    invite(&site, "admin", "clinic", "provider", "eva.invite");
    join(&site, "eva", "Clinic", "clinic-2", "eva.invite");
    for provider in ["clinic", "eva"] {
        let on_second = ["share", "create", "data.csv", "--key-server", SECOND];
        let new = site.ok(provider, &[&on_second[..], &SHARE[..]].concat()).remove(0);
        assert!(new["key"]["address"].as_str().unwrap().contains(SECOND), "{new}");
        let new = new["share"].as_str().unwrap();
        for consumer in ["pia", "lab"] {
            opens(&site, consumer, new);
        }
        assert_eq!(site.ok(provider, &["share", "audit", new])[0]["good"], true);
    }
    assert_eq!(site.ok("clinic", &["share", "audit", &old])[0]["good"], true);
}
