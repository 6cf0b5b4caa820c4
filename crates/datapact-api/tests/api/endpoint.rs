//! Servers' addresses (AC-2).

use datapact_api::endpoint::Endpoint;

fn at(url: &str) -> Endpoint {
    Endpoint { url: url.to_owned(), connect: None }
}

#[test]
fn ac_2_an_endpoint_names_its_server() {
    assert_eq!(at("https://keys.example").name().unwrap(), "keys.example");
    assert_eq!(at("https://keys.example:7443").name().unwrap(), "keys.example");
}

#[test]
fn ac_2_what_is_no_server_is_refused() {
    for wrong in [
        "",
        "https://",
        "http://keys.example",
        "keys.example:7443",
        "https://keys.example/",
        "https://keys.example:7443/v1",
        "https://keys.example:0x1",
        "https://keys.example:70000",
        "https://keys.example:",
        "https://user@keys.example",
        "https://KEYS.example",
        "https://keys.example?x",
        "https://[::1]:7443",
        &format!("https://{}", "a".repeat(254)),
    ] {
        assert!(at(wrong).name().is_err(), "`{wrong}` was accepted");
    }
}

#[test]
fn an_address_is_the_servers_only_under_its_whole_url() {
    let server = at("https://keys.example:7443");
    assert!(server.serves("https://keys.example:7443/v1/keys/00"));
    for elsewhere in [
        "https://keys.example:7443",
        "https://keys.example:74430/v1/keys/00",
        "https://keys.example:7443.evil.example/v1/keys/00",
        "https://keys.example:7443@evil.example/v1/keys/00",
        "http://keys.example:7443/v1/keys/00",
    ] {
        assert!(!server.serves(elsewhere), "`{elsewhere}` was taken for the server's");
    }
}

#[test]
fn unknown_members_are_refused() {
    assert!(
        serde_json::from_str::<Endpoint>(r#"{"url":"https://a.example","conect":"127.0.0.1:1"}"#)
            .is_err()
    );
    let known: Endpoint =
        serde_json::from_str(r#"{"url":"https://a.example","connect":"127.0.0.1:1"}"#).unwrap();
    assert_eq!(known.connect, Some(([127, 0, 0, 1], 1).into()));
}
