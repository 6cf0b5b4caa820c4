//! The storage server's routes.

use datapact_core::id::Digest;
use http::StatusCode;

use crate::common::{Answer, Call, SIZE, World};

fn package() -> String {
    format!("/v1/packages/{}", "07".repeat(16))
}

async fn download(world: &World, range: &str) -> Answer {
    world.call(&world.alice, &Call::new("GET", &package(), "").with("range", range)).await
}

#[tokio::test]
async fn ds_2_a_download_says_what_it_sends() {
    let world = World::new();
    let answer = world.call(&world.alice, &Call::new("GET", &package(), "")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-length"), SIZE.to_string());
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(answer.header("content-range"), "");
    assert_eq!(answer.body.len() as u64, SIZE);

    for (range, content_range, length) in [
        ("bytes=0-0", "bytes 0-0/1000", 1),
        ("bytes=10-19", "bytes 10-19/1000", 10),
        ("bytes=990-", "bytes 990-999/1000", 10),
    ] {
        let answer = download(&world, range).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(answer.header("content-range"), content_range);
        assert_eq!(answer.body.len(), length);
    }
}

#[tokio::test]
async fn ds_2_other_ranges_are_refused() {
    let world = World::new();
    for wrong in
        ["", "bytes", "bytes=", "bytes=-5", "bytes=5-4", "bytes=0-1,3-4", "bytes=0x1-", "items=0-1"]
    {
        let answer = download(&world, wrong).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "`{wrong}`");
        answer.is_problem("malformed", "`Range` must be");
    }
    download(&world, "bytes=99999999999999999999-")
        .await
        .is_problem("malformed", "`Range` must be");
}

#[tokio::test]
async fn ds_1_an_upload_streams_with_its_length_and_without_a_digest() {
    let world = World::new();
    // Larger than any JSON body may be.
    let body = "x".repeat(3 * 1024 * 1024);
    let mut upload = Call::new("PUT", &package(), &body);
    upload.streamed = true;
    let unsized_upload = upload.clone();
    let upload = upload.with("content-length", &body.len().to_string());
    let answer = world.call(&world.alice, &upload).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["digest"], Digest::of(body.as_bytes()).to_string());
    assert_eq!(answer.json()["provider"]["subject"], "CN=alice");

    world.call(&world.alice, &unsized_upload).await.is_problem("malformed", "`Content-Length`");
    let mut json = Call::new("PUT", &package(), "{}");
    json.streamed = false;
    world.call(&world.alice, &json).await.is_problem("malformed", "`application/octet-stream`");
}

/// Issue 13, point 8: what a statement does not cover, only the routes of packages take.
#[tokio::test]
async fn mg_2_no_other_route_takes_a_body_without_a_digest() {
    let world = World::new();
    for (method, path) in
        [("POST", "/v1/packages"), ("DELETE", package().as_str()), ("PUT", "/v1/no")]
    {
        let mut call = Call::new(method, path, "{}");
        call.streamed = true;
        world.call(&world.alice, &call).await.is_problem("malformed", "takes no package");
    }
}
