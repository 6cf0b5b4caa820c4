//! Looking for what must be gone in every byte of files, in every spelling.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use datapact_core::commitment::Opening;
use datapact_core::id::{Commitment, Salt, ShareId};
use datapact_core::identity::Identity;

/// The files under `folders`, with what they hold.
pub(crate) fn files(folders: &[PathBuf]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = folders.to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                // A server may just have removed it.
                found.extend(std::fs::read(&path).ok().map(|bytes| (path, bytes)));
            }
        }
    }
    found
}

/// How a text may be written in a file.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let upper = text.to_uppercase();
    let escaped: String = text.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let mut all = vec![
        text.as_bytes().to_vec(),
        upper.clone().into_bytes(),
        hex::encode(text).into_bytes(),
        hex::encode_upper(text).into_bytes(),
        escaped.into_bytes(),
        text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    ];
    // Whatever precedes it in what was encoded: the characters that its own bytes alone decide.
    for before in 0..3 {
        let encoded = STANDARD_NO_PAD.encode([&vec![0; before], text.as_bytes()].concat());
        let first = (before * 8).div_ceil(6);
        let last = (before + text.len()) * 8 / 6;
        let own = &encoded[first..last];
        all.push(own.as_bytes().to_vec());
        all.push(own.replace('+', "-").replace('/', "_").into_bytes());
    }
    if let Ok(bytes) = hex::decode(text) {
        all.push(bytes);
    }
    all
}

/// The files under `folders` in which one of `needles` is, by name and needle.
pub(crate) fn holding(folders: &[PathBuf], needles: &[String]) -> Vec<String> {
    let spelled: Vec<_> = needles
        .iter()
        .flat_map(|needle| spellings(needle).into_iter().map(move |spelling| (needle, spelling)))
        .collect();
    let mut found = Vec::new();
    for (path, bytes) in files(folders) {
        for (needle, spelling) in &spelled {
            if contains(&bytes, spelling) {
                found.push(format!("{needle} in {}", path.display()));
            }
        }
    }
    found
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let (first, rest) = needle.split_first().unwrap();
    let mut at = 0;
    while let Some(next) = bytes[at..].iter().position(|byte| byte == first) {
        at += next + 1;
        if bytes[at..].starts_with(rest) {
            return true;
        }
    }
    false
}

/// The commitments of `commitments` that can be made of a candidate's name, with anything in the
/// files under `folders` as the salt: what finds a person again on the ledger.
pub(crate) fn found_again(
    folders: &[PathBuf],
    candidates: &[Identity],
    commitments: &BTreeMap<Commitment, ShareId>,
) -> BTreeSet<Commitment> {
    let mut salts = BTreeSet::new();
    for bytes in files(folders).values() {
        for run in bytes.split(|byte| !byte.is_ascii_hexdigit()) {
            for window in run.windows(64) {
                let mut salt = [0; 32];
                if hex::decode_to_slice(window, &mut salt).is_ok() {
                    salts.insert(salt);
                }
            }
        }
    }
    assert!(salts.len() > 10, "the files hold something");
    let shares: BTreeSet<ShareId> = commitments.values().copied().collect();
    let mut found = BTreeSet::new();
    for salt in salts {
        for identity in candidates {
            let opening = Opening { identity: identity.clone(), salt: Salt(salt) };
            for share in &shares {
                found.insert(opening.commitment(share));
            }
        }
    }
    found.retain(|commitment| commitments.contains_key(commitment));
    found
}
