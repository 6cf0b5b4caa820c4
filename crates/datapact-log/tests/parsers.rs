//! Every parser takes any input without a panic, and reads back what it wrote.
#![allow(clippy::unwrap_used)]

use datapact_log::entry::Entry;
use datapact_log::log_policy::LogPolicy;
use datapact_log::note::{Checkpoint, KeyKind, SigningKey, VerifyingKey};
use datapact_log::path::Resource;
use datapact_log::proof::Proof;
use datapact_log::witness::AddCheckpoint;
use proptest::prelude::*;

fn signing_key(seed: u8, name: &str, kind: KeyKind) -> SigningKey {
    SigningKey::parse(&SigningKey::text(&[seed; 32], name, kind).unwrap()).unwrap()
}

fn read_all(bytes: &[u8]) {
    let log = signing_key(1, "log.example", KeyKind::Log);
    let _ = Entry::parse(bytes);
    let _ = Checkpoint::open(bytes, log.public(), &[]);
    if let Ok(request) = AddCheckpoint::parse(bytes) {
        assert_eq!(request.to_string().as_bytes(), bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(resource) = Resource::parse(text) {
        assert_eq!(resource.to_string(), text);
    }
    if let Ok(key) = text.parse::<VerifyingKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(policy) = text.parse::<LogPolicy>() {
        assert_eq!(policy.to_string(), text);
    }
    let _ = SigningKey::parse(text);
    if let Ok(proof) = text.parse::<Proof>() {
        assert_eq!(proof.to_string().parse::<Proof>().unwrap(), proof);
    }
}

fn samples() -> Vec<String> {
    let log = signing_key(1, "log.example", KeyKind::Log);
    let note = log.checkpoint(5, &[9; 32]);
    vec![
        note.clone(),
        log.public().to_string(),
        LogPolicy::new(log.public(), &[]).unwrap().to_string(),
        format!("c2sp.org/tlog-proof@v1\nindex 3\n\n{note}"),
        "tile/0/x001/x234/067.p/12".to_owned(),
        "tile/entries/000".to_owned(),
        r#"{"call":{"call":"record-usage","consumer":"00"},"time":1,"version":1}"#.to_owned(),
    ]
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_all(&bytes);
    }

    #[test]
    fn almost_right(
        which in 0..7_usize,
        at in 0..400_usize,
        with in "[\\x00-\\x7f—é]{0,5}",
        cut in 0..6_usize,
    ) {
        let mut text: Vec<char> = samples().swap_remove(which).chars().collect();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, with.chars());
        read_all(text.into_iter().collect::<String>().as_bytes());
    }
}
