//! Problem details (RFC 9457).

use axum::response::IntoResponse as _;
use datapact_api::problem::{Kind, Problem};
use datapact_core::contract::Refusal;
use http::StatusCode;

const KINDS: [(Kind, u16); 14] = [
    (Kind::Malformed, 400),
    (Kind::Unauthenticated, 401),
    (Kind::Forbidden, 403),
    (Kind::Refused, 403),
    (Kind::NotFound, 404),
    (Kind::Conflict, 409),
    (Kind::PreconditionFailed, 412),
    (Kind::TooLarge, 413),
    (Kind::MethodNotAllowed, 405),
    (Kind::HeaderTooLarge, 431),
    (Kind::Busy, 429),
    (Kind::Internal, 500),
    (Kind::Untrusted, 502),
    (Kind::Unavailable, 503),
];

#[test]
fn every_kind_survives_its_json() {
    for (kind, status) in KINDS {
        let problem = Problem::new(kind, "something is wrong").hint("do something else");
        let json = problem.to_json();
        assert_eq!(json["status"], status);
        assert_eq!(json["type"], format!("urn:datapact:problem:{}", kind.name()));
        let read = Problem::from_answer(StatusCode::IM_A_TEAPOT, json.to_string().as_bytes());
        assert_eq!(read, problem);
        assert_eq!(problem.into_response().status().as_u16(), status);
    }
}

#[test]
fn the_contracts_refusal_goes_with_the_problem() {
    for (refusal, kind) in [
        (Refusal::UnknownShare, Kind::NotFound),
        (Refusal::Predecessor, Kind::Conflict),
        (Refusal::RequestTaken, Kind::Conflict),
        (Refusal::Malformed { detail: "x".into() }, Kind::Malformed),
    ] {
        let problem = Problem::from(refusal.clone());
        assert_eq!(problem.kind, kind);
        let read = Problem::from_answer(StatusCode::OK, problem.to_json().to_string().as_bytes());
        assert_eq!(read.refusal, Some(refusal));
    }
}

#[test]
fn an_answer_that_is_no_problem_becomes_one() {
    for body in [
        "",
        "<html>",
        "{}",
        r#"{"type":"about:blank","title":"x","status":404,"detail":"x"}"#,
        r#"{"type":"urn:datapact:problem:new-kind","title":"x","status":404,"detail":"x"}"#,
    ] {
        let problem = Problem::from_answer(StatusCode::NOT_FOUND, body.as_bytes());
        assert_eq!(
            problem,
            Problem::new(Kind::Internal, "the server answered 404 Not Found"),
            "{body}"
        );
    }
}

#[test]
fn a_defect_tells_the_caller_nothing() {
    let text = Problem::internal("the password is swordfish").to_json().to_string();
    assert!(!text.contains("swordfish"), "{text}");
}
