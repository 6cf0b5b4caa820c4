//! The enrolments of `docs/spec/identity-and-enrolment.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datapact_core::endpoint::Endpoint;
use datapact_core::enrolment::{Administrators, Enrolment, History, LedgerTrust, Version};
use datapact_core::identity::Identity;
use datapact_core::jws::{Signed, Signer};
use rcgen::KeyPair;

use crate::format::{self, EnrolmentVector};
use crate::support::pki::{Ca, FROM, NOW, TO, key};

const LEDGER: &str = "management.example/ledger";

fn pem(ca: &Ca) -> String {
    let base64 = STANDARD.encode(&ca.der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn signer(ca: &Ca, realm: &str, name: &str) -> Signer {
    let key: KeyPair = key();
    let identity = Identity { realm: realm.to_owned(), subject: format!("CN={name}") };
    Signer::new(&key.serialize_der(), vec![ca.user(name, &key)], identity).unwrap()
}

fn at(name: &str) -> Endpoint {
    Endpoint { url: format!("https://{name}.example:8443"), connect: None }
}

/// Sequences of versions, and what a reader says of each.
pub(crate) fn write() {
    let (clinic, lab, servers) = (Ca::new("Clinic CA"), Ca::new("Lab CA"), Ca::new("Servers' CA"));
    let renewed = Ca::new("Clinic CA");
    let rogue = Ca::new("Clinic CA");
    let [ann, ben, cy] = ["Ann", "Ben", "Cy"].map(|name| signer(&clinic, "clinic", name));
    let eve = signer(&lab, "lab", "Eve");
    let impostor = signer(&rogue, "clinic", "Ann");
    let ann_renewed = signer(&renewed, "clinic", "Ann");

    let administrators = |names: &[&Signer], threshold| Administrators {
        identities: names.iter().map(|signer| signer.identity().clone()).collect(),
        threshold,
    };
    let realm = |name: &str, cas: &[&Ca]| (name.to_owned(), cas.iter().map(|ca| pem(ca)).collect());
    let first = Enrolment {
        version: 1,
        previous: None,
        administrators: administrators(&[&ann], 1),
        management: at("management"),
        public: at("public"),
        key_servers: vec![at("keys")],
        storage_servers: vec![at("storage")],
        ledger: LedgerTrust {
            id: LEDGER.to_owned(),
            log_policy: "log management.example/ledger+00000000+AQ==\nquorum none\n".to_owned(),
            chain: None,
        },
        realms: [realm("clinic", &[&clinic]), realm("server", &[&servers])].into(),
    };
    let after = |before: &Enrolment, edit: &dyn Fn(&mut Enrolment)| {
        let mut next = before.clone().following(Some(before));
        edit(&mut next);
        next
    };
    let sign_at = |body: &Enrolment, time, by: &[&Signer]| -> Version {
        Version(by.iter().map(|signer| signer.sign(&body.ledger.id, time, body.clone())).collect())
    };
    let sign = |body: &Enrolment, by: &[&Signer]| sign_at(body, NOW, by);

    let more_realms = after(&first, &|next| {
        next.realms.extend([realm("lab", &[&lab]), realm("clinic", &[&clinic, &renewed])]);
        next.key_servers.push(at("keys-2"));
    });
    let three = after(&more_realms, &|next| {
        next.administrators = administrators(&[&ann, &ben, &cy], 2);
    });
    let by_two = after(&three, &|next| next.management = at("moved"));
    let good = [sign(&first, &[&ann]), sign(&more_realms, &[&ann]), sign(&three, &[&ann])];

    let mut cases: Vec<EnrolmentVector> = Vec::new();
    let mut case = |name: &str, versions: Vec<Version>, now, expect: &str| {
        let verified = History::verify(versions.clone(), now);
        let fingerprint = verified.ok().map(|history| history.fingerprint());
        let to_text = |signature: &Signed<Enrolment>| signature.as_str().to_owned();
        let versions = versions.iter().map(|v| v.0.iter().map(to_text).collect()).collect();
        let (name, expect) = (name.to_owned(), expect.to_owned());
        cases.push(EnrolmentVector { name, now, versions, expect, fingerprint });
    };
    case("one version", vec![good[0].clone()], NOW, "ok");
    case("three versions", good.to_vec(), NOW, "ok");
    case("after the end of all certificates", good.to_vec(), TO + 1_000_000, "ok");
    case("two of three", [&good[..], &[sign(&by_two, &[&cy, &ann])]].concat(), NOW, "ok");
    let fourth = after(&more_realms, &|_| ());
    case(
        "by a renewed CA of the version before",
        vec![good[0].clone(), good[1].clone(), sign(&fourth, &[&ann_renewed])],
        NOW,
        "ok",
    );
    case("no version", Vec::new(), NOW, "unsigned");
    case("a version without a signature", vec![Version(Vec::new())], NOW, "unsigned");
    case("without version 1", good[1..].to_vec(), NOW, "sequence");
    case("a version left out", vec![good[0].clone(), good[2].clone()], NOW, "sequence");
    case("a version twice", vec![good[0].clone(), good[0].clone()], NOW, "sequence");
    let other_first = Enrolment { management: at("elsewhere"), ..first.clone() };
    case(
        "another version 1 under the same version 2",
        vec![sign(&other_first, &[&ann]), good[1].clone()],
        NOW,
        "previous",
    );
    let named = Enrolment { previous: Some(first.fingerprint()), ..first.clone() };
    case("a version 1 that names another", vec![sign(&named, &[&ann])], NOW, "previous");
    let mut other_ledger = after(&first, &|_| ());
    other_ledger.ledger.id = "other.example/ledger".to_owned();
    case("another ledger", vec![good[0].clone(), sign(&other_ledger, &[&ann])], NOW, "ledger");
    let rogue_realm = after(&first, &|next| {
        next.realms.extend([realm("clinic", &[&clinic, &rogue])]);
        next.key_servers = vec![at("false-keys")];
    });
    case(
        "signed by a CA that this version adds",
        vec![good[0].clone(), sign(&rogue_realm, &[&impostor])],
        NOW,
        "unknown",
    );
    case(
        "signed by another realm's user",
        [&good[..2], &[sign(&three, &[&eve])]].concat(),
        NOW,
        "administrator",
    );
    case(
        "signed by an administrator whom this version adds",
        [&good[..2], &[sign(&three, &[&ben])]].concat(),
        NOW,
        "administrator",
    );
    case(
        "one of three where two must sign",
        [&good[..], &[sign(&by_two, &[&ben])]].concat(),
        NOW,
        "threshold",
    );
    case(
        "the same administrator twice",
        [&good[..], &[sign(&by_two, &[&ben, &ben])]].concat(),
        NOW,
        "twice",
    );
    let elsewhere = Enrolment { management: at("elsewhere"), ..by_two.clone() };
    let apart = Version([sign(&by_two, &[&ann]).0, sign(&elsewhere, &[&ben]).0].concat());
    case("two signatures on different content", [&good[..], &[apart]].concat(), NOW, "differs");
    case("signed in the future", vec![sign_at(&first, NOW + 3601, &[&ann])], NOW, "time");
    case("signed an hour ahead", vec![sign_at(&first, NOW + 3600, &[&ann])], NOW, "ok");
    case(
        "signed long before the version that it follows",
        vec![good[0].clone(), sign_at(&more_realms, NOW - 3601, &[&ann])],
        NOW,
        "time",
    );
    case("before the certificate", vec![sign_at(&first, FROM - 1, &[&ann])], NOW, "expired");
    case("after the certificate", vec![sign_at(&first, TO + 1, &[&ann])], TO + 2, "expired");
    let audience = Version(vec![ann.sign("other.example", NOW, first.clone())]);
    case("for another audience", vec![audience], NOW, "audience");

    let mut wrong = |name: &str, edit: &dyn Fn(&mut Enrolment)| {
        let mut body = first.clone();
        edit(&mut body);
        case(name, vec![sign(&body, &[&ann])], NOW, "body");
    };
    wrong("no key server", &|body| body.key_servers.clear());
    wrong("a storage server twice", &|body| body.storage_servers.push(at("storage")));
    wrong("a server without https", &|body| body.management.url = "http://m.example".to_owned());
    wrong("no administrator", &|body| body.administrators.identities.clear());
    wrong("no administrator has to sign", &|body| body.administrators.threshold = 0);
    wrong("more must sign than there are", &|body| body.administrators.threshold = 2);
    wrong("an administrator of no realm", &|body| {
        body.administrators.identities.push(eve.identity().clone());
    });
    wrong("an administrator twice", &|body| {
        body.administrators.identities.push(ann.identity().clone());
    });
    wrong("a server as an administrator", &|body| {
        body.administrators.identities.push(Identity::server("keys.example"));
    });
    wrong("no realm of servers", &|body| drop(body.realms.remove("server")));
    wrong("a realm without a CA", &|body| body.realms.extend([realm("lab", &[])]));
    wrong("a CA of two realms", &|body| body.realms.extend([realm("lab", &[&clinic])]));
    wrong("longer than 128 KiB", &|body| {
        body.ledger.log_policy = "#".repeat(128 * 1024);
    });
    format::write("enrolment/cases.json", &cases);
}
