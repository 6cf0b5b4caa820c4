//! From a raw table to proposed rules, and by these to desensitized data, with the real program.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::process::{Command, Output, Stdio};

const RAW: &str = "\
name,email,phone,card,born,city,remarks
Ada Blomqvist-Sentinel,ada@example.org,+46 8 123 456 78,4111 1111 1111 1111,1985-03-12,Lund,\
asked to be called at +46 8 123 456 78 on Monday
Ben Okri,ben@example.org,+46 8 123 456 79,5555 5555 5555 4444,1990-07-01,Lund,\
nothing to be said of this visit here
Cleo Part,cleo@example.org,+46 8 123 456 70,3782 822463 10005,1977-11-30,Malmö,\
write to cleo@example.org about the next visit
";

#[test]
fn dp_1_rules_are_proposed_and_hold() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_datapact"));
        command
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let ok = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let file = |name: &str| folder.path().join(name);
    fs::write(file("raw.csv"), RAW).unwrap();

    let shown = ok(&["desensitize", "scan", "raw.csv", "-o", "rules.toml"]);
    assert!(shown.contains("payment-card") && shown.contains("desensitize run raw.csv"), "{shown}");
    let json = ok(&["--json", "desensitize", "scan", "raw.csv"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let columns = report["columns"].as_array().unwrap();
    let found: Vec<_> =
        columns.iter().map(|column| column["found"].as_str().unwrap_or("-")).collect();
    assert_eq!(
        found,
        ["person-name", "email", "phone", "payment-card", "birth-date", "-", "free-text"]
    );
    assert!(columns[6]["review"].is_string() && columns[1]["review"].is_null());
    let rules = fs::read_to_string(file("rules.toml")).unwrap();
    assert_eq!(ok(&["desensitize", "scan", "raw.csv", "-o", "-"]), rules);
    for part in ["entinel", "example.org", "4111", "Ben"] {
        assert!(!format!("{shown}{json}{rules}").contains(part), "{part} is a value");
    }

    ok(&["desensitize", "key", "k"]);
    let keyed = [
        "desensitize",
        "run",
        "raw.csv",
        "--rules",
        "rules.toml",
        "--pseudonym-key",
        "k",
        "-o",
        "clean.csv",
    ];
    ok(&keyed);
    let clean = fs::read_to_string(file("clean.csv")).unwrap();
    for part in ["entinel", "example.org", "4111", "123 456", "03-12"] {
        assert!(!clean.contains(part), "{part} is left: {clean}");
    }
    for part in ["1111", "1985", "Malmö", "[phone]", "[email]", "on Monday"] {
        assert!(clean.contains(part), "{part} is lost: {clean}");
    }
    assert!(!run(&["desensitize", "scan", "missing.csv"]).status.success());
}
