//! The signed documents of `docs/spec/signed-documents.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datapact_core::document::{
    AccessRequest, Body, KeyRelease, KeyRequest, PackageMetadata, Statement, UsageReport,
};
use datapact_core::enrolment::{Enrolment, Invitation};
use datapact_core::id::Digest;
use datapact_core::jws::{DocumentError, Signed};
use datapact_core::policy::SharingPolicy;
use datapact_core::trust::Trust;
use rustls_pki_types::CertificateDer;

use crate::format::{DocumentVector, RealmFile, read};

fn check<B: Body>(case: &DocumentVector, trust: &Trust) -> Result<Digest, DocumentError> {
    let signed = Signed::<B>::parse(&case.jws)?;
    signed.verify(trust, &case.audience, case.at)?;
    Ok(signed.id())
}

fn dispatch(case: &DocumentVector, trust: &Trust) -> Result<Digest, DocumentError> {
    match case.r#type.as_str() {
        "sharing-policy" => check::<SharingPolicy>(case, trust),
        "access-request" => check::<AccessRequest>(case, trust),
        "key-request" => check::<KeyRequest>(case, trust),
        "key-release" => check::<KeyRelease>(case, trust),
        "package-metadata" => check::<PackageMetadata>(case, trust),
        "usage-report" => check::<UsageReport>(case, trust),
        "enrolment" => check::<Enrolment>(case, trust),
        "invitation" => check::<Invitation>(case, trust),
        "statement" => check::<Statement>(case, trust),
        other => panic!("no type `{other}`"),
    }
}

fn read_trust() -> Trust {
    let realms: Vec<RealmFile> = read("documents/trust.json");
    let mut trust = Trust::default();
    for realm in realms {
        let decode = |text: &String| STANDARD.decode(text).unwrap();
        let cas = realm.ca.iter().map(|ca| CertificateDer::from(decode(ca))).collect();
        trust.add(&realm.name, cas, realm.crl.iter().map(decode).collect()).unwrap();
    }
    trust
}

#[test]
fn the_vectors_hold() {
    let trust = read_trust();
    let mut expected: Vec<String> = Vec::new();
    for file in ["documents/accepted.json", "documents/refused.json"] {
        let cases: Vec<DocumentVector> = read(file);
        assert!(!cases.is_empty());
        for case in cases {
            let result = dispatch(&case, &trust);
            let found = result.as_ref().map_or_else(DocumentError::name, |_| "ok");
            assert_eq!(found, case.expect, "{}: {result:?}", case.name);
            assert_eq!(result.ok(), case.id, "{}", case.name);
            expected.push(case.expect);
        }
    }
    for name in [
        "ok",
        "malformed",
        "algorithm",
        "type",
        "signature",
        "signer",
        "audience",
        "unusable",
        "unknown",
        "expired",
        "revoked",
    ] {
        assert!(expected.iter().any(|expect| expect == name), "no case expects `{name}`");
    }
}
