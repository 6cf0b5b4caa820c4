//! Who gets through the gate.

use datapact_api::gate::{BODY_BYTES_MAX, STATEMENT_SECONDS_MAX};
use http::StatusCode;

use crate::common::{Call, NOW, SERVER, World};

fn register() -> Call {
    Call::new("POST", "/v1/packages", "")
}

#[tokio::test]
async fn mg_2_a_user_who_signed_the_call_passes_under_their_own_name() {
    let world = World::new();
    let answer = world.call(&world.alice, &register()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["address"], "clinic:CN=alice");
}

#[tokio::test]
async fn ac_1_without_a_client_certificate_nobody_passes() {
    let world = World::new();
    let statement = world.alice.says(SERVER, NOW, &register());
    let answer = world.send(register().request(None, Some(&statement))).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    answer.is_problem("unauthenticated", "no client certificate");
}

#[tokio::test]
async fn mg_2_a_call_without_a_statement_is_refused() {
    let world = World::new();
    let answer = world.send(register().request(Some(&world.alice), None)).await;
    answer.is_problem("unauthenticated", "no `datapact-statement` header");
    for rubbish in ["", "x", "a.b.c", "e30.e30.e30"] {
        let answer = world.send(register().request(Some(&world.alice), Some(rubbish))).await;
        answer.is_problem("unauthenticated", "malformed");
    }
}

#[tokio::test]
async fn mg_2_a_statement_for_another_call_is_refused() {
    let world = World::new();
    let call = Call::new("POST", "/v1/packages?a=1", "{}");
    for other in [
        Call::new("PUT", "/v1/packages?a=1", "{}"),
        Call::new("POST", "/v1/packages", "{}"),
        Call::new("POST", "/v1/packages?a=2", "{}"),
        Call::new("POST", "/v1/packages?a=1", "{} "),
        Call::new("POST", "/v1/packages?a=1", ""),
    ] {
        let statement = world.alice.says(SERVER, NOW, &other);
        let answer = world.send(call.request(Some(&world.alice), Some(&statement))).await;
        answer.is_problem("unauthenticated", "about another call");
    }
    assert_eq!(world.call(&world.alice, &call).await.status, StatusCode::OK);
}

#[tokio::test]
async fn mg_2_a_statement_to_another_server_is_refused() {
    let world = World::new();
    let statement = world.alice.says("key.example", NOW, &register());
    let answer = world.send(register().request(Some(&world.alice), Some(&statement))).await;
    answer.is_problem("unauthenticated", "is for `key.example`, not for `storage.example`");
}

#[tokio::test]
async fn mg_2_a_statement_signed_by_somebody_else_is_refused() {
    let world = World::new();
    let statement = world.alice.says(SERVER, NOW, &register());
    let answer = world.send(register().request(Some(&world.mallory), Some(&statement))).await;
    answer.is_problem("unauthenticated", "another user has signed");
}

#[tokio::test]
async fn mg_2_a_statement_is_good_for_one_call_only() {
    let world = World::new();
    let statement = world.alice.says(SERVER, NOW, &register());
    let send = || world.send(register().request(Some(&world.alice), Some(&statement)));
    assert_eq!(send().await.status, StatusCode::OK);
    send().await.is_problem("unauthenticated", "was used before");
    // As long as its time would be accepted it is remembered; then its time speaks against it.
    world.pass_seconds(STATEMENT_SECONDS_MAX);
    send().await.is_problem("unauthenticated", "was used before");
    for _ in 0..4 {
        world.pass_seconds(STATEMENT_SECONDS_MAX);
        send().await.is_problem("unauthenticated", "more than 60 seconds old or ahead");
    }
}

#[tokio::test]
async fn mg_2_a_statement_early_or_late_is_refused() {
    let world = World::new();
    for time in [NOW - STATEMENT_SECONDS_MAX, NOW + STATEMENT_SECONDS_MAX] {
        let statement = world.alice.says(SERVER, time, &register());
        let answer = world.send(register().request(Some(&world.alice), Some(&statement))).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    for time in [NOW - STATEMENT_SECONDS_MAX - 1, NOW + STATEMENT_SECONDS_MAX + 1, 0] {
        let statement = world.alice.says(SERVER, time, &register());
        let answer = world.send(register().request(Some(&world.alice), Some(&statement))).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{time}");
    }
}

#[tokio::test]
async fn ac_3_whom_the_list_does_not_admit_is_refused() {
    let world = World::new();
    for member in [&world.stranger, &world.bob] {
        let answer = world.call(member, &register()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        let who = format!(
            "`{}` is not admitted by the access list of `storage.example`",
            member.identity()
        );
        answer.is_problem("forbidden", &who);
    }
}

#[tokio::test]
async fn a_server_needs_no_statement_and_is_no_user() {
    let world = World::new();
    let status = Call::new("GET", &format!("/v1/packages/{}/status", "07".repeat(16)), "");
    let answer = world.send(status.request(Some(&world.management), None)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["provider"]["subject"], "management.example");

    world
        .call(&world.alice, &status)
        .await
        .is_problem("forbidden", "only the server `management.example`");
    let mut upload = Call::new("PUT", &format!("/v1/packages/{}", "07".repeat(16)), "abc");
    upload.streamed = true;
    let upload = upload.with("content-length", "3");
    let answer = world.send(upload.request(Some(&world.management), None)).await;
    answer.is_problem("forbidden", "only users may call this");
}

#[tokio::test]
async fn a_json_body_is_bounded() {
    let world = World::new();
    let body = "x".repeat(BODY_BYTES_MAX);
    let fits = Call::new("POST", "/v1/packages", &body);
    assert_eq!(world.call(&world.alice, &fits).await.status, StatusCode::OK);
    let larger = Call::new("POST", "/v1/packages", &(body + "x"));
    let answer = world.call(&world.alice, &larger).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    answer.is_problem("too-large", "larger than 1048576 bytes");
}

#[tokio::test]
async fn what_is_not_there_is_said_as_a_problem_and_only_behind_the_gate() {
    let world = World::new();
    let elsewhere = Call::new("GET", "/v2/anything", "");
    let answer = world.call(&world.alice, &elsewhere).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    answer.is_problem("not-found", "no such address");
    world
        .send(elsewhere.request(None, None))
        .await
        .is_problem("unauthenticated", "no client certificate");

    let answer = world.call(&world.alice, &Call::new("PATCH", "/v1/packages", "")).await;
    answer.is_problem("method-not-allowed", "does not take this method");
    let answer = world.call(&world.alice, &Call::new("GET", "/v1/packages/../x", "")).await;
    assert!(answer.status.is_client_error());
    let answer =
        world.call(&world.alice, &Call::new("GET", "/v1/packages/not-an-id/status", "")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    answer.is_problem("malformed", "hexadecimal");
}
