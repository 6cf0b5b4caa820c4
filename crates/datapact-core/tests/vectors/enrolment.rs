//! The enrolments of `docs/spec/identity-and-enrolment.md`.

use datapact_core::enrolment::{EnrolmentError, History, Version};
use datapact_core::jws::Signed;

use crate::format::{EnrolmentVector, read};

#[test]
fn us_4_an_enrolment_is_believed_as_the_vectors_say() {
    let cases: Vec<EnrolmentVector> = read("enrolment/cases.json");
    for case in &cases {
        let parse = |jws: &Vec<String>| {
            Version(jws.iter().map(|jws| Signed::parse(jws).unwrap()).collect())
        };
        let history = History::verify(case.versions.iter().map(parse).collect(), case.now);
        let found = history.as_ref().map_or_else(EnrolmentError::name, |_| "ok");
        assert_eq!(found, case.expect, "{}: {history:?}", case.name);
        assert_eq!(history.ok().map(|history| history.fingerprint()), case.fingerprint);
    }
    for name in [
        "ok",
        "unsigned",
        "sequence",
        "previous",
        "ledger",
        "differs",
        "time",
        "administrator",
        "twice",
        "threshold",
        "body",
        "unknown",
        "expired",
        "audience",
    ] {
        assert!(cases.iter().any(|case| case.expect == name), "no case expects `{name}`");
    }
}
