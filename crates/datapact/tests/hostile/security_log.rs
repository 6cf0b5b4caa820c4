//! What the security log has of an attack, and that it shows what was done to itself.

use std::path::Path;
use std::time::{Duration, Instant};

use datapact_api::management::{NewInvitation, Role};
use datapact_api::operation::Page;
use datapact_core::contract::Attributes;
use serde_json::Value;

use crate::calls::{Raw, get, post};
use crate::world::{World, anonymous};

/// The lines of a log, once one of each of `events` is there.
fn lines(file: &Path, events: &[&str]) -> Vec<Value> {
    let since = Instant::now();
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        // The last line may still be under way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines: Vec<Value> =
            whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let missing =
            events.iter().find(|event| !lines.iter().any(|line| line["event"] == **event));
        match missing {
            None => return lines,
            Some(event) => {
                assert!(since.elapsed() < Duration::from_secs(30), "no `{event}` in {text}");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_deeds_are_in_a_log_that_shows_changes() {
    let world = World::start().await;
    let (clinic, lab) = (&world.clinic, &world.lab);
    let file = world.site.file("servers/management/data/security.log");

    // Without a statement; with the statement of another call; not by this role.
    clinic.management.send(&get("/v1/info"), None).is_problem(401, "unauthenticated", "");
    lab.management.call(&get("/v1/accounts")).is_problem(403, "forbidden", "");
    // Without a certificate there is no connection.
    let endpoint = &lab.user.session.profile().enrolment().management;
    let nameless = Raw::new(endpoint, anonymous(&world.site), None);
    assert!(nameless.exchange(b"GET / HTTP/1.1\r\n\r\n").is_err());
    // Too large.
    let large = post("/v1/join", &vec![b' '; 2 * 1024 * 1024]);
    lab.management.call(&large).is_problem(413, "too-large", "");
    // A deed, with the statement under which the record of actions has it.
    let admin = world.site.user("admin");
    let invited = NewInvitation {
        realm: "lab".to_owned(),
        role: Role::Consumer,
        attributes: Attributes::default(),
        seconds: 600,
    };
    admin.session.management().invite(&invited).await.unwrap();

    let events = [
        "started",
        "statement-refused",
        "call-refused",
        "limit-reached",
        "administrator-deed",
        "connection-refused",
    ];
    let found = lines(&file, &events);
    let of = |event: &str| found.iter().find(|line| line["event"] == event).unwrap();
    assert_eq!(of("statement-refused")["identity"], clinic.signer.identity().to_string());
    assert_eq!(of("statement-refused")["operation"], "info");
    assert_eq!(of("call-refused")["identity"], lab.signer.identity().to_string());
    assert_eq!(of("call-refused")["operation"], "accounts");
    assert_eq!(of("call-refused")["reason"], "forbidden");
    assert_eq!(of("connection-refused")["reason"], "no-certificate");
    assert_eq!(of("connection-refused").get("identity"), None);
    assert_eq!(of("limit-reached")["operation"], "join");
    let deed = found.iter().rev().find(|line| line["event"] == "administrator-deed").unwrap();
    assert_eq!(deed["operation"], "invite");
    let actions = admin.session.management().actions(Page::first()).await.unwrap();
    let statement = actions.last().unwrap().record.statement.unwrap().to_string();
    assert_eq!(deed["statement"], statement);
    // Nothing of what a share says of itself or of a person, but the identity.
    let known = [
        "sequence",
        "time",
        "server",
        "event",
        "identity",
        "realm",
        "operation",
        "reason",
        "statement",
        "count",
        "previous",
    ];
    for line in &found {
        for name in line.as_object().unwrap().keys() {
            assert!(known.contains(&name.as_str()), "{line}");
        }
    }

    // It goes on behind a crash, and what is changed in it is found.
    world.site.kill("management");
    world.site.restart("management");
    let verify = |file: &Path| {
        world.site.run(None, &["--json", "security", "verify", file.to_str().unwrap()])
    };
    let (before, since) = (found.len(), Instant::now());
    while lines(&file, &["started"]).len() <= before {
        assert!(since.elapsed() < Duration::from_secs(30));
    }
    let good = verify(&file);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    let said: Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!(said["first"], 1);
    assert!(said["last"].as_u64().unwrap() > before as u64);
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = world.site.file("changed.log");
    std::fs::write(&changed, text.replacen("\"call-refused\"", "\"stopped\"", 1)).unwrap();
    let bad = verify(&changed);
    assert_eq!(bad.status.code(), Some(8), "{bad:?}");
    let said = String::from_utf8_lossy(&bad.stderr);
    assert!(said.contains("does not continue the line before it"), "{said}");
}
