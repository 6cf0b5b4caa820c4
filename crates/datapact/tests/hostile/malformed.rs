//! Calls that are not what HTTP and the specification say.

use datapact_core::id::{KeyId, PackageId, ShareId};

use crate::calls::{Call, OCTETS, get, post};
use crate::world::World;

/// Oversize and malformed bodies, wrong methods, and paths that try to lead elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn mg_17_malformed_calls_are_refused_and_change_nothing() {
    let world = World::start().await;
    let before = world.state().await;
    let (lab, clinic) = (&world.lab, &world.clinic);

    let oversize = vec![b' '; datapact_api::gate::BODY_BYTES_MAX + 1];
    for (server, target) in [
        (&lab.management, "/v1/accesses"),
        (&clinic.key, "/v1/policies"),
        (&clinic.storage, "/v1/packages"),
    ] {
        server.call(&post(target, &oversize)).is_problem(
            413,
            "too-large",
            "larger than 1048576 bytes",
        );
    }
    let deep = "[".repeat(200_000);
    let long = format!(r#"{{"document":"{}"}}"#, "a".repeat(datapact_core::jws::JWS_BYTES_MAX + 1));
    for (body, detail) in [
        (&b""[..], "the body is not as specified: EOF"),
        (b"{", "the body is not as specified: EOF"),
        (b"null", "the body is not as specified: invalid type"),
        (b"\xff\xfe", "the body is not as specified: expected value"),
        (deep.as_bytes(), "the body is not as specified"),
        (br#"{"document":1}"#, "the body is not as specified: invalid type"),
        (br#"{"document":"a.b.c"}"#, "it is not three base64url parts"),
        (br#"{"document":"e30.e30.e30"}"#, "missing field"),
        (br#"{"document":"e30.e30.e30","more":1}"#, "the body is not as specified"),
        (long.as_bytes(), "the document is longer than 262144 bytes"),
    ] {
        for target in ["/v1/accesses", "/v1/shares", "/v1/usages"] {
            lab.management.call(&post(target, body)).is_problem(400, "malformed", detail);
        }
    }
    for body in [&b"{}"[..], br#"{"key":"00","share":"x","package":"y"}"#, b"[]"] {
        let call = Call { method: "PUT", ..post(&format!("/v1/keys/{}", world.set.key.id), body) };
        clinic.key.call(&call).is_problem(400, "malformed", "the body is not as specified");
        let release = post(&format!("/v1/keys/{}/release", world.set.key.id), body);
        lab.key.call(&release).is_problem(400, "malformed", "the body is not as specified");
    }

    // Addresses that do not exist, and methods that no caller may use.
    let package = world.set.package.id;
    for server in lab.servers() {
        for target in
            ["/", "/v2/info", "/v1", "/v1/../v1/info", "//v1/info", "/etc/passwd", "/v1/info/"]
        {
            server.call(&get(target)).is_problem(
                404,
                "not-found",
                "this server has no such address",
            );
        }
    }
    let delete = Call { method: "DELETE", ..get("/v1/info") };
    lab.management.call(&delete).is_problem(405, "method-not-allowed", "does not take this method");
    let trace = Call { method: "TRACE", ..get("/v1/keys") };
    lab.key.call(&trace).is_problem(405, "method-not-allowed", "does not take this method");
    for id in
        ["../../../../etc/passwd".to_owned(), format!("{package}/../{package}"), String::new()]
    {
        lab.storage.call(&get(&format!("/v1/packages/{id}"))).is_problem(
            404,
            "not-found",
            "no such address",
        );
    }
    for id in [
        "..".to_owned(),
        "..%2f..%2f..%2fetc%2fpasswd".to_owned(),
        "%2e%2e".to_owned(),
        "%00".to_owned(),
        "%ff".to_owned(),
        format!("{package}%00"),
        format!("{package}%2f..%2f{package}"),
        format!("%20{package}"),
        package.to_string().to_uppercase() + "A",
        "f".repeat(20_000),
        "-1".to_owned(),
        world.site.package_files()[0].clone(),
    ] {
        for (server, path) in [
            (&lab.storage, "/v1/packages/"),
            (&lab.key, "/v1/keys/"),
            (&lab.key, "/v1/releases/"),
            (&lab.management, "/v1/catalog/"),
            (&lab.management, "/v1/log/proofs/"),
        ] {
            let answer = server.call(&get(&format!("{path}{id}")));
            answer.is_problem(400, "malformed", "");
        }
    }
    // A well-formed id under which nothing is stored.
    for (server, target) in [
        (&lab.storage, format!("/v1/packages/{}", PackageId::random())),
        (&lab.key, format!("/v1/keys/{}", KeyId::random())),
        (&lab.management, format!("/v1/catalog/{}", ShareId::random())),
    ] {
        server.call(&get(&target)).is_problem(404, "not-found", "there is no");
    }
    for query in ["?limit=many", "?limit=0", "?limit=1000000", "?unknown=1", "?category=%00"] {
        let answer = lab.management.call(&get(&format!("/v1/catalog{query}")));
        answer.is_problem(400, "malformed", "");
    }

    // No HTTP at all, and heads without end.
    let endless = [b"GET / HTTP/1.1\r\n".as_slice(), &b"x: y\r\n".repeat(20_000)].concat();
    for server in lab.servers() {
        for bytes in [&b"\x16\x03\x01 hello\r\n\r\n"[..], b"GET /\r\n\r\n", &endless] {
            match server.exchange(bytes) {
                Ok(answer) => assert!((400..500).contains(&answer.status), "{answer:?}"),
                // Closed, without an answer.
                Err(error) => {
                    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "still open")
                }
            }
        }
    }
    world.unharmed(before).await;
}

/// A client that announces a body and does not send it holds the connection for half a minute, and
/// no longer.
#[tokio::test(flavor = "multi_thread")]
async fn mg_17_a_body_that_does_not_come_is_not_waited_for() {
    let world = World::start().await;
    let before = world.state().await;
    let (lab, rival) = (&world.lab, &world.rival);
    let id = rival.user.storage_server.register_package().await.unwrap().id;
    let upload = Call { method: "PUT", ..post(&format!("/v1/packages/{id}"), b"beginning") }
        .header("content-type", OCTETS)
        .header("content-length", "100000");
    let slow = |target: &str| post(target, b"{").header("content-length", "100");
    std::thread::scope(|scope| {
        for (server, call, detail) in [
            (&lab.management, slow("/v1/accesses"), "the body did not arrive within 30 seconds"),
            (&lab.key, slow("/v1/keys"), "the body did not arrive within 30 seconds"),
            (&lab.storage, slow("/v1/packages"), "the body did not arrive within 30 seconds"),
            (&rival.storage, upload, "too little arrived after 9 of 100000 bytes"),
        ] {
            scope.spawn(move || server.call(&call).is_problem(400, "malformed", detail));
        }
    });
    world.unharmed(before).await;
}
