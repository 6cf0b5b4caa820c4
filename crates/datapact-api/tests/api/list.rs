//! Access lists (AC-3).

use datapact_api::gate::{AccessList, Pattern};
use datapact_core::identity::Identity;

fn list(allow: &[&str], deny: &[&str]) -> AccessList {
    let patterns = |lines: &[&str]| lines.iter().map(|line| line.parse().unwrap()).collect();
    AccessList { allow: patterns(allow), deny: patterns(deny) }
}

#[track_caller]
fn check(list: &AccessList, identity: &str, expected: bool) {
    assert_eq!(list.admits(&identity.parse().unwrap()), expected, "{identity}");
}

#[test]
fn ac_3_deny_beats_allow_and_nobody_is_admitted_unsaid() {
    check(&list(&[], &[]), "clinic:CN=alice", false);
    check(&list(&[], &["lab"]), "clinic:CN=alice", false);
    let one = list(&["clinic:CN=alice"], &[]);
    check(&one, "clinic:CN=alice", true);
    check(&one, "clinic:CN=alice2", false);
    check(&one, "lab:CN=alice", false);
    check(&list(&["clinic"], &["clinic:CN=alice"]), "clinic:CN=alice", false);
    check(&list(&["clinic"], &["clinic:CN=alice"]), "clinic:CN=bob", true);
    check(&list(&["clinic:CN=alice"], &["clinic"]), "clinic:CN=alice", false);
    check(&list(&["clin"], &[]), "clinic:CN=alice", false);
}

#[test]
fn ac_3_a_line_is_a_realm_or_an_identity() {
    assert_eq!("clinic".parse(), Ok(Pattern::Realm("clinic".to_owned())));
    let alice = Identity { realm: "clinic".to_owned(), subject: "CN=alice,O=a: b".to_owned() };
    assert_eq!("clinic:CN=alice,O=a: b".parse(), Ok(Pattern::Identity(alice)));
    for wrong in ["", "*", "Clinic", "clinic:", ":CN=alice", "clinic CN=alice"] {
        assert!(wrong.parse::<Pattern>().is_err(), "`{wrong}` was accepted");
    }
}
