//! The evidence of an audit, as a third party verifies it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::{one, refused, run, text};

/// What is done to a bundle.
type Change<'a> = &'a dyn Fn(&mut Value);

/// The bundle verifies without a profile; whatever is changed or left out is found.
pub(crate) fn bundle_is_evidence(dir: &Path, share: &str) {
    fn verify<'a>(rest: &[&'a str]) -> Vec<&'a str> {
        [&["verify"], rest, &["--home", "nobody"]].concat()
    }
    let verified = one(dir, &verify(&["evidence.json"]));
    assert_eq!((&verified["good"], verified["share"].as_str()), (&Value::Bool(true), Some(share)));
    assert_eq!(verified["accesses"].as_array().unwrap().len(), 4);
    let not_proven = |report: &Value| report["not_proven"].as_array().unwrap().len();
    let anchored =
        ["--log", "copy", "--log-policy", "copy/log-policy", "--trust", "key/trust.toml"];
    let whole = one(dir, &verify(&[&["evidence.json"], &anchored[..]].concat()));
    assert_eq!(not_proven(&verified), not_proven(&whole) + 3);

    let bundle: Value =
        serde_json::from_slice(&fs::read(dir.join("evidence.json")).unwrap()).unwrap();
    let changed = |change: Change<'_>| {
        let mut changed = bundle.clone();
        change(&mut changed);
        fs::write(dir.join("changed.json"), serde_json::to_vec(&changed).unwrap()).unwrap();
        run(dir, &[&verify(&["changed.json"])[..], &["--json"]].concat())
    };
    // What management did not show is a finding in the report.
    let output = changed(&|b| drop(b["shown"]["usages"].as_array_mut().unwrap().pop()));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(8));
    assert_eq!(report["findings"][0]["finding"], "hidden-usage");
    // Another entry, another order, another user's openings, another log, another ledger: nothing
    // of it is believed.
    let first_usage = bundle["entries"].as_array().unwrap().len() - 2;
    let refusals: [(Change<'_>, &str); 6] = [
        (
            &|b| b["entries"][1]["entry"] = b["entries"][2]["entry"].clone(),
            "does not hold this entry",
        ),
        (&|b| b["entries"].as_array_mut().unwrap()[first_usage..].reverse(), "out of order"),
        (&|b| b["entries"] = Value::Array(Vec::new()), "holds no entry"),
        (&|b| drop(b["entries"].as_array_mut().unwrap().remove(0)), "entry "),
        (
            &|b| b["shown"]["receipt"]["owner"]["salt"] = "00".repeat(32).into(),
            "2 things are wrong",
        ),
        (&|b| b["anchors"]["ledger"] = "other.test/ledger".into(), "another ledger"),
    ];
    for (change, reason) in refusals {
        let output = changed(change);
        assert_eq!(output.status.code(), Some(8), "{reason}: {}", text(&output.stdout));
        assert!(text(&output.stderr).contains(reason), "{reason}: {}", text(&output.stderr));
    }
    // A bundle that leaves out the newest entry altogether shows it only beside the log.
    let output = changed(&|b| {
        b["entries"].as_array_mut().unwrap().pop();
        b["shown"]["usages"].as_array_mut().unwrap().pop();
    });
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let problem = refused(dir, &verify(&[&["changed.json"], &anchored[..]].concat()), 8);
    assert!(problem["detail"].as_str().unwrap().contains("not complete"), "{problem}");
    fs::write(dir.join("changed.json"), "{}").unwrap();
    refused(dir, &verify(&["changed.json"]), 2);
}
