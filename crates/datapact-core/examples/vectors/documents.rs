//! The signed documents of `docs/spec/signed-documents.md`.

use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use datapact_core::id::Digest;
use rcgen::{DnType, KeyPair};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::format::{self, DocumentVector, RealmFile};
use crate::jws;
use crate::support::pki::{Ca, FROM, NOW, TO, Use, key, name};

const LEDGER: &str = "ledger.example";

/// What varies from case to case; what does not is a sound access request of Ann's.
struct Draft {
    header: Value,
    payload: String,
    pkcs8: Vec<u8>,
}

struct Author {
    key: KeyPair,
    chain: Vec<CertificateDer<'static>>,
}

impl Author {
    fn draft(&self, kind: &str, audience: &str, signer: (&str, &str), body: Value) -> Draft {
        let chain: Vec<_> = self.chain.iter().map(|der| STANDARD.encode(der)).collect();
        let payload = json!({
            "type": kind, "audience": audience, "signer": {"realm": signer.0, "subject": signer.1},
            "time": NOW, "nonce": "ab".repeat(32), "body": body,
        });
        Draft {
            header: json!({"alg": "ES256", "typ": format!("datapact-{kind}+jws"), "x5c": chain}),
            payload: payload.to_string(),
            pkcs8: self.key.serialize_der(),
        }
    }
}

impl Draft {
    fn jws(&self) -> String {
        let header = self.header.to_string();
        jws::sign(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8, &header, &self.payload)
    }
}

fn bodies() -> Vec<(&'static str, Value)> {
    let (id, digest) = ("0123456789abcdef0123456789abcdef", "cd".repeat(32));
    let policy = json!({
        "share": id, "version": 1, "state": "active",
        "information": {
            "package": {
                "id": id, "address": format!("https://storage.example/v1/packages/{id}"),
                "digest": digest, "size": 1000,
            },
            "key": {"id": id, "address": format!("https://keys.example/v1/keys/{id}")},
            "title": "Admissions", "media_type": "text/csv",
        },
        "terms": {"countries": ["SE", "DE"]},
        "permission": {
            "access_times": {"times": 3}, "not_before": 0, "expires": TO, "read_only": true,
        },
    });
    vec![
        ("sharing-policy", policy),
        ("access-request", json!({"share": id, "policy": digest, "purpose": "research"})),
        (
            "key-request",
            json!({"token": digest, "request": digest, "key": id, "recipient": digest}),
        ),
        (
            "key-release",
            json!({
                "share": id, "key": id, "request": digest, "key_request": digest, "sealed": digest,
            }),
        ),
        (
            "package-metadata",
            json!({
                "package": id, "key": id, "provider_key": digest, "media_type": "text/csv",
                "size": 5, "root": digest,
            }),
        ),
        ("usage-report", json!({"share": id, "request": digest, "action": "opened"})),
        ("statement", json!({"method": "POST", "target": "/shares?x=1", "content": digest})),
        ("enrolment", enrolment()),
        ("invitation", json!({"code": digest, "expires": TO, "realm": "lab", "enrolment": digest})),
    ]
}

/// An enrolment that reads well; whether it is to be believed is another question.
fn enrolment() -> Value {
    let at = |name: &str| json!({"url": format!("https://{name}.example:8443")});
    json!({
        "version": 1,
        "administrators": {
            "identities": [{"realm": "clinic", "subject": "CN=Ann"}], "threshold": 1,
        },
        "management": at("management"), "public": at("public"),
        "key_servers": [at("keys")], "storage_servers": [at("storage")],
        "ledger": {
            "id": LEDGER, "log_policy": "quorum none\n",
            "chain": {
                "kind": "ethereum", "contract": "eip155:1:0x00", "parameters": {},
                "certificates": {},
            },
        },
        "realms": {"clinic": "", "server": ""},
    })
}

/// Accepted and refused documents, who is trusted, and Ann's key to sign more with.
#[expect(clippy::too_many_lines, reason = "a flat table of cases")]
pub(crate) fn write() {
    let (clinic, lab, foreign) = (Ca::new("Clinic CA"), Ca::new("Lab CA"), Ca::new("Clinic CA"));
    let wards = clinic.intermediate("Wards CA");
    let leaf = |ca: &Ca, who: &str, key: &KeyPair, from, to, serial| {
        ca.leaf(name(&[(DnType::CommonName, who)]), key, Use::User, from, to, serial)
    };
    let author = |ca: &Ca, from, to, serial| {
        let key = key();
        let chain = vec![leaf(ca, "Ann", &key, from, to, serial)];
        Author { key, chain }
    };
    let ann = author(&clinic, FROM, TO, 1);
    let me = ("clinic", "CN=Ann");
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    let mut case = |name: &str, kind: &str, at, jws: String, expect: &str| {
        let audience = LEDGER.to_owned();
        let payload = |jws: &str| URL_SAFE_NO_PAD.decode(jws.split('.').nth(1).unwrap()).unwrap();
        let id = (expect == "ok").then(|| Digest::of(&payload(&jws)));
        let to = if expect == "ok" { &mut accepted } else { &mut refused };
        let (name, expect) = (name.to_owned(), expect.to_owned());
        to.push(DocumentVector { name, r#type: kind.to_owned(), audience, at, jws, expect, id });
    };
    for (kind, body) in bodies() {
        case(kind, kind, NOW, ann.draft(kind, LEDGER, me, body.clone()).jws(), "ok");
        let mut more = body;
        more["more"] = json!(1);
        case(
            &format!("{kind} with an unknown member"),
            kind,
            NOW,
            ann.draft(kind, LEDGER, me, more).jws(),
            "malformed",
        );
    }
    let mut desensitized = bodies()[0].1.clone();
    desensitized["information"]["desensitization"] = json!({
        "tool": "datapact 0.1.0", "rules": "ef".repeat(32), "format": "csv",
        "records": 98, "suppressed": 2,
        "columns": [
            {
                "name": "name", "transform": "drop",
                "changed": 98, "redacted": 0, "loss_permille": 1000,
            },
            {
                "name": "age", "transform": "quasi-identifier",
                "changed": 97, "redacted": 1, "loss_permille": 412,
            },
        ],
        "k_anonymity": {"k": 5, "reached": 6, "l": 2, "quasi_identifiers": ["age"]},
    });
    let mut with_values = desensitized.clone();
    with_values["information"]["desensitization"]["columns"][0]["values"] = json!(["Ann"]);
    for (what, body, expect) in [
        ("sharing-policy of desensitized data", desensitized, "ok"),
        ("sharing-policy with values in the desensitization", with_values, "malformed"),
    ] {
        case(
            what,
            "sharing-policy",
            NOW,
            ann.draft("sharing-policy", LEDGER, me, body).jws(),
            expect,
        );
    }
    let request = || bodies()[1].1.clone();
    let draft = |author: &Author| author.draft("access-request", LEDGER, me, request());
    let mut request_case =
        |name: &str, at, jws: String, expect: &str| case(name, "access-request", at, jws, expect);

    let under = {
        let key = key();
        let chain = vec![leaf(&wards, "Ann", &key, FROM, TO, 9), wards.der.clone()];
        Author { key, chain }
    };
    request_case("through an intermediate CA", NOW, draft(&under).jws(), "ok");
    request_case("at the last moment of its certificate", TO, draft(&ann).jws(), "ok");
    let revoked_later = author(&clinic, FROM, TO, 7);
    request_case("before its certificate was revoked", NOW - 1, draft(&revoked_later).jws(), "ok");
    let renewed = author(&clinic, FROM, TO, 8);
    request_case("by a renewed certificate with another key", NOW, draft(&renewed).jws(), "ok");
    let mut spaced = draft(&ann);
    spaced.payload = format!(" {}\n", spaced.payload);
    request_case("with white space around the payload's JSON", NOW, spaced.jws(), "ok");

    request_case(
        "from when its certificate was revoked",
        NOW,
        draft(&revoked_later).jws(),
        "revoked",
    );
    request_case("after its certificate", TO + 1, draft(&ann).jws(), "expired");
    request_case("before its certificate", FROM - 1, draft(&ann).jws(), "expired");
    request_case(
        "by a CA of the same name as a realm's",
        NOW,
        draft(&author(&foreign, FROM, TO, 1)).jws(),
        "unknown",
    );
    request_case(
        "by another realm's user of the same name",
        NOW,
        draft(&author(&lab, FROM, TO, 1)).jws(),
        "signer",
    );
    request_case(
        "signed with another key than the certificate's",
        NOW,
        draft(&Author { chain: vec![under.chain[0].clone()], key: key() }).jws(),
        "signature",
    );
    let mut cut = draft(&under);
    cut.header["x5c"] = json!([STANDARD.encode(&under.chain[0])]);
    request_case("with its intermediate CA left out", NOW, cut.jws(), "unknown");
    request_case(
        "for another audience",
        NOW,
        ann.draft("access-request", "other.example", me, request()).jws(),
        "audience",
    );
    request_case(
        "as another user of the realm",
        NOW,
        ann.draft("access-request", LEDGER, ("clinic", "CN=Bob"), request()).jws(),
        "signer",
    );
    request_case(
        "as a user of no realm's name",
        NOW,
        ann.draft("access-request", LEDGER, ("Clinic", "CN=Ann"), request()).jws(),
        "malformed",
    );
    request_case(
        "another type",
        NOW,
        ann.draft("statement", LEDGER, me, bodies()[6].1.clone()).jws(),
        "type",
    );
    let mut typed = ann.draft("statement", LEDGER, me, request());
    typed.header["typ"] = json!("datapact-access-request+jws");
    request_case("another type in the payload", NOW, typed.jws(), "type");

    for algorithm in ["none", "HS256", "RS256", "ES384", "es256", "EdDSA"] {
        let mut other = draft(&ann);
        other.header["alg"] = json!(algorithm);
        request_case(&format!("alg {algorithm}"), NOW, other.jws(), "algorithm");
    }
    let mut none = draft(&ann);
    none.header["alg"] = json!("none");
    let unsigned = none.jws();
    request_case(
        "alg none without a signature",
        NOW,
        unsigned[..=unsigned.rfind('.').unwrap()].to_owned(),
        "algorithm",
    );
    for (member, value) in
        [("kid", json!("1")), ("crit", json!(["exp"])), ("jwk", json!({})), ("b64", json!(false))]
    {
        let mut more = draft(&ann);
        more.header[member] = value;
        request_case(&format!("header with {member}"), NOW, more.jws(), "malformed");
    }
    for (what, chain) in [
        ("no certificate", json!([])),
        ("six certificates", json!(vec![STANDARD.encode(&ann.chain[0]); 6])),
        ("base64url in x5c", json!([URL_SAFE_NO_PAD.encode(&ann.chain[0])])),
    ] {
        let mut other = draft(&ann);
        other.header["x5c"] = chain;
        request_case(what, NOW, other.jws(), "malformed");
    }
    let mut swapped = draft(&ann);
    swapped.header["x5c"] = json!([STANDARD.encode(&renewed.chain[0])]);
    request_case("x5c of another key", NOW, swapped.jws(), "signature");
    let mut rubbish = draft(&ann);
    rubbish.header["x5c"] = json!([STANDARD.encode("rubbish")]);
    request_case("x5c without a certificate", NOW, rubbish.jws(), "unusable");
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut other_curve = draft(&ann);
    other_curve.header["x5c"] = json!([STANDARD.encode(leaf(&clinic, "Ann", &p384, FROM, TO, 5))]);
    request_case("a certificate with a P-384 key", NOW, other_curve.jws(), "unusable");

    let good = draft(&ann).jws();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!() };
    let altered = URL_SAFE_NO_PAD.encode(draft(&ann).payload.replace("research", "whatever"));
    request_case("payload altered", NOW, format!("{header}.{altered}.{signature}"), "signature");
    let der = STANDARD.decode("MAYCAQECAQE=").unwrap();
    request_case(
        "signature in DER",
        NOW,
        format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(der)),
        "signature",
    );
    request_case(
        "signature of zeros",
        NOW,
        format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        "signature",
    );
    request_case("signature left out", NOW, format!("{header}.{payload}."), "signature");
    // 64 bytes leave four bits over, which a lax decoder would ignore.
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.chars().nth(alphabet.find(last).unwrap() + 1).unwrap();
    let trailing = format!("{}{next}", &good[..good.len() - 1]);
    for (what, text) in [
        ("trailing bits in the signature", trailing),
        ("padding", format!("{good}==")),
        ("white space at the end", format!("{good}\n")),
        ("white space at the beginning", format!(" {good}")),
        (
            "a line break in the payload",
            format!("{header}.{}\n{}.{signature}", &payload[..8], &payload[8..]),
        ),
        ("a fourth part", format!("{good}.{signature}")),
        ("two parts", format!("{header}.{payload}")),
        ("nothing", String::new()),
        ("standard base64", good.replace(['-', '_'], "+")),
        (
            "JSON serialization",
            json!({"payload": payload, "protected": header, "signature": signature}).to_string(),
        ),
    ] {
        request_case(what, NOW, text, "malformed");
    }

    let edit = |what: &str, from: &str, to: &str| {
        let mut edited = draft(&ann);
        assert!(edited.payload.contains(from), "{what}");
        edited.payload = edited.payload.replacen(from, to, 1);
        edited.jws()
    };
    let time = format!("\"time\":{NOW}");
    for (what, from, to) in [
        ("a member twice", "\"purpose\":", "\"purpose\":\"care\",\"purpose\":"),
        (
            "the signer twice",
            "\"signer\":",
            "\"signer\":{\"realm\":\"lab\",\"subject\":\"CN=Ann\"},\"signer\":",
        ),
        ("no nonce", "\"nonce\":", "\"once\":"),
        ("a short nonce", "abab", "ab"),
        ("an upper-case nonce", "abab", "ABAB"),
        ("a fractional time", &time, "\"time\":1.5"),
        ("a negative time", &time, "\"time\":-1"),
        ("a time in words", &time, "\"time\":\"now\""),
        ("a time of 65 bits", &time, "\"time\":18446744073709551616"),
        ("a purpose that is no name", "research", "re search"),
        ("a subject with a control character", "CN=Ann", "CN=A\\u0000nn"),
        ("a subject with a hidden character", "CN=Ann", "CN=A\\u202enn"),
        ("something after the JSON", "{", "1 {"),
    ] {
        request_case(what, NOW, edit(what, from, to), "malformed");
    }
    let mut invalid = draft(&ann);
    invalid.payload = "not JSON".to_owned();
    request_case("a payload that is not JSON", NOW, invalid.jws(), "malformed");

    let realm = |name: &str, ca: &Ca, crl: Vec<u8>| RealmFile {
        name: name.to_owned(),
        ca: vec![STANDARD.encode(&ca.der)],
        crl: vec![STANDARD.encode(crl)],
    };
    let trust =
        [realm("clinic", &clinic, clinic.crl(&[(7, NOW)])), realm("lab", &lab, lab.crl(&[]))];
    format::write("documents/trust.json", &trust);
    format::write("documents/accepted.json", &accepted);
    format::write("documents/refused.json", &refused);
    let pkcs8 = STANDARD.encode(ann.key.serialized_der());
    let x5c = [STANDARD.encode(&ann.chain[0])];
    format::write(
        "documents/key.json",
        &json!({"signer": "clinic:CN=Ann", "pkcs8": pkcs8, "x5c": x5c}),
    );
}
