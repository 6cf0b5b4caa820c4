//! Callers that pretend to be others.

use std::sync::Arc;
use std::time::Duration;

use datapact_api::key_server::ShownPolicy;
use datapact_api::operation::Page;
use datapact_client::ca::{Ca, Kind as CertificateKind};
use datapact_client::key_file::PrivateKey;
use datapact_core::document::Statement;
use datapact_core::id::{Digest, Timestamp};
use datapact_core::identity::Identity;
use datapact_core::jws::Signer;
use serde_json::json;

use crate::calls::{Raw, get, post};
use crate::forgery::{forged, part, with_algorithm};
use crate::support::now;
use crate::world::{World, anonymous};

/// MG-2, AC-1: who calls, and whether they have signed this very call.
#[tokio::test(flavor = "multi_thread")]
async fn mg_2_ac_1_nobody_speaks_for_another() {
    let world = World::start().await;
    let before = world.state().await;
    let (lab, overseas) = (&world.lab, &world.overseas);
    let register = post("/v1/packages", b"");
    let calls = [
        (&lab.management, &overseas.management, get("/v1/account")),
        (&lab.key, &overseas.key, post("/v1/keys", b"")),
        (&lab.storage, &overseas.storage, register),
    ];
    for (server, other, call) in &calls {
        let refused = |statement: Option<&str>, detail| {
            server.send(call, statement).is_problem(401, "unauthenticated", detail);
        };
        let sign = |time, statement| lab.signer.sign(&server.name, time, statement);
        let good = sign(now(), call.statement());
        let jws = good.as_str();

        refused(None, "carries no `datapact-statement` header");
        refused(Some("a.b.c"), "it is not three base64url parts");
        refused(
            Some(&forged(jws, Some(&with_algorithm(jws, "none")), None, Some(b""))),
            "is not ES256",
        );
        refused(
            Some(&forged(jws, Some(&with_algorithm(jws, "HS256")), None, Some(&[7; 32]))),
            "is not ES256",
        );
        refused(
            Some(&forged(jws, Some(&with_algorithm(jws, "ES384")), None, None)),
            "is not ES256",
        );
        refused(
            Some(&forged(jws, Some(&json!({ "alg": "ES256" })), None, None)),
            "malformed: missing field",
        );
        let mut payload = part(jws, 1);
        payload["body"]["target"] = "/v1/accounts".into();
        refused(
            Some(&forged(jws, None, Some(payload.to_string().as_bytes()), None)),
            "signature is wrong",
        );
        refused(Some(&forged(jws, None, None, Some(&[0; 64]))), "signature is wrong");
        // A document of another type, though rightly signed.
        let request = world.lab.user.request(world.set.share, world.set.policy);
        refused(Some(request.as_str()), "is not a statement");

        // Another call, another server, another time, another user.
        let mut elsewhere = call.statement();
        elsewhere.target += "?all=true";
        refused(Some(sign(now(), elsewhere).as_str()), "about another call");
        let with_body = Statement { content: Some(Digest::of(b"{}")), ..call.statement() };
        refused(Some(sign(now(), with_body).as_str()), "about another call");
        let another = lab.signer.sign("other.quickstart.test", now(), call.statement());
        refused(Some(another.as_str()), "is for `other.quickstart.test`, not for");
        for time in [now() - 90, now() + 90, 0, Timestamp::MAX] {
            server.send(call, Some(sign(time, call.statement()).as_str())).is_problem(
                401,
                "unauthenticated",
                "",
            );
        }
        let late = server.send(call, Some(sign(now() - 90, call.statement()).as_str()));
        late.is_problem(401, "unauthenticated", "more than 60 seconds old or ahead");
        assert!(String::from_utf8_lossy(&late.body).contains("compare this machine's clock"));
        let stolen = overseas.signer.sign(&server.name, now(), call.statement());
        refused(Some(stolen.as_str()), "another user has signed the statement");

        // Used once, it is used up, for whomever it comes from.
        server.send(call, Some(jws)).json();
        refused(Some(jws), "was used before");
        other.send(call, Some(jws)).is_problem(401, "unauthenticated", "another user has signed");
    }
    // The registrations that were made have changed nothing that is stored.
    world.unharmed(before).await;
}

/// AC-1, AC-2: certificates that are none, expired, of another user's CA, or of a user who would
/// be a server.
#[tokio::test(flavor = "multi_thread")]
async fn ac_1_foreign_and_expired_certificates_do_not_get_in() {
    let world = World::start().await;
    let before = world.state().await;
    let profile = world.site.profile("lab");
    let key = || PrivateKey::load(&profile.folder().join("key.pem"), None).unwrap();
    let request = key().request(&"CN=Ben,O=Lab".parse().unwrap()).unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    let expired = world
        .site
        .ca("lab")
        .issue(&request, &CertificateKind::User, Duration::from_secs(1))
        .unwrap();
    // The same name and subject, but another CA.
    let foreign = Ca::init(&world.site.file("ca/foreign"), "Lab CA", 10 * day, None).unwrap();
    let foreign = foreign.issue(&request, &CertificateKind::User, day).unwrap();
    let intruder = |pem: &str| {
        let chain = chain(pem);
        let trust =
            datapact_api::trust_file::ReloadableTrust::load(&world.site.file("servers/trust.toml"))
                .unwrap();
        datapact_api::tls::client_config(trust, Some((chain, key().for_tls()))).unwrap()
    };
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let enrolment = profile.enrolment();
    for endpoint in
        [&enrolment.management, &enrolment.key_servers[0], &enrolment.storage_servers[0]]
    {
        for (config, alert) in [
            (anonymous(&world.site), "CertificateRequired"),
            (intruder(&expired), "CertificateExpired"),
            (intruder(&foreign), "UnknownCA"),
        ] {
            let raw = Raw::new(endpoint, config, None);
            let error = raw.exchange(b"GET /v1/account HTTP/1.1\r\nhost: x\r\n\r\n").unwrap_err();
            assert!(error.to_string().contains(alert), "{alert}: {error}");
        }
    }
    // A statement with a certificate of the foreign CA, over a good connection.
    let identity: Identity = profile.identity().clone();
    let (management, call) = (&world.lab.management, get("/v1/account"));
    let refused = |chain: &str, identity: &Identity, detail| {
        let signer = Signer::new(key().pkcs8(), self::chain(chain), identity.clone()).unwrap();
        let statement = signer.sign(&management.name, now(), call.statement());
        management.send(&call, Some(statement.as_str())).is_problem(401, "unauthenticated", detail);
    };
    refused(&foreign, &identity, "is not issued by a CA of any configured realm");
    refused(&expired, &identity, "is not valid at this time");
    let good = world.site.ca("lab").issue(&request, &CertificateKind::User, day).unwrap();
    let claimed = Identity { realm: "clinic".to_owned(), subject: "CN=Ada,O=Clinic".to_owned() };
    refused(&good, &claimed, "but its certificate is that of `lab:CN=Ben,O=Lab`");

    // A user whom a CA certifies under a server's name is still that organisation's user.
    let name = "management.quickstart.test";
    let request = key().request(&format!("CN={name}").parse().unwrap()).unwrap();
    let kind = CertificateKind::Server { dns_names: vec![name.to_owned()] };
    let disguised = world.site.ca("lab").issue(&request, &kind, day).unwrap();
    let identity = Identity { realm: "lab".to_owned(), subject: format!("CN={name}") };
    let signer = Arc::new(Signer::new(key().pkcs8(), chain(&disguised), identity).unwrap());
    let server = Raw::new(&enrolment.key_servers[0], intruder(&disguised), Some(signer));
    let own = world.clinic.user.session.management().shares(Page::first()).await.unwrap().remove(0);
    let shown =
        ShownPolicy { policy: own.policy, owner: own.receipt.owner, users: own.receipt.users };
    let shown = serde_json::to_string(&shown).unwrap();
    server.call(&post("/v1/policies", shown.as_bytes())).is_problem(
        403,
        "forbidden",
        "only the server `management.quickstart.test` may call this",
    );
    // Users may not call what only servers may.
    let cosignature = json!({ "document": "x" }).to_string();
    let form = post("/v1/introspect", b"token=x")
        .header("content-type", "application/x-www-form-urlencoded");
    for call in [form, post("/v1/log/cosignatures", cosignature.as_bytes())] {
        world.lab.management.call(&call).is_problem(403, "forbidden", "");
    }
    for target in ["/v1/accounts", "/v1/invitations"] {
        let answer = match target {
            "/v1/accounts" => world.lab.management.call(&get(target)),
            _ => {
                let invitation = json!({
                    "realm": "lab",
                    "role": "administrator",
                    "attributes": {},
                    "seconds": 60,
                });
                world.lab.management.call(&post(target, invitation.to_string().as_bytes()))
            }
        };
        answer.is_problem(403, "forbidden", "does not let you manage accounts");
    }
    world.unharmed(before).await;
}

fn chain(pem: &str) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}
