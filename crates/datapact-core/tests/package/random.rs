//! Packages changed at random are refused, and no input panics.

use datapact_core::package::DataKey;
use proptest::prelude::*;

use crate::support::packages::{content, make, signer, spec};
use crate::tamper::refused;

/// A small package and one of several groups, made once.
fn samples() -> &'static [(Vec<u8>, Vec<u8>)] {
    static SAMPLES: std::sync::OnceLock<Vec<(Vec<u8>, Vec<u8>)>> = std::sync::OnceLock::new();
    SAMPLES.get_or_init(|| {
        [700, 600_000]
            .map(|size| {
                let plaintext = content(size);
                let made =
                    make(&plaintext, &DataKey::from_bytes([5; 32]), &spec(), &signer("provider"));
                (plaintext, made.bytes)
            })
            .to_vec()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_changed_byte_is_noticed(
        which in 0..2_usize,
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let (plaintext, bytes) = &samples()[which];
        let mut bytes = bytes.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        refused(&bytes, &DataKey::from_bytes([5; 32]), plaintext);
    }

    #[test]
    fn any_truncation_is_noticed(which in 0..2_usize, keep in any::<prop::sample::Index>()) {
        let (plaintext, bytes) = &samples()[which];
        refused(&bytes[..keep.index(bytes.len())], &DataKey::from_bytes([5; 32]), plaintext);
    }

    #[test]
    fn any_overwritten_stretch_is_noticed(
        which in 0..2_usize,
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        len in 1..20_000_usize,
    ) {
        let (plaintext, good) = &samples()[which];
        let mut bytes = good.clone();
        let (from, to) = (from.index(good.len()), to.index(good.len()));
        let len = len.min(good.len() - from).min(good.len() - to);
        bytes.copy_within(from..from + len, to);
        if &bytes != good {
            refused(&bytes, &DataKey::from_bytes([5; 32]), plaintext);
        }
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut with_ends = b"datapact-pkg\0\0\0\x01".to_vec();
        with_ends.extend(&bytes);
        with_ends.extend(b"datapact-end");
        refused(&bytes, &DataKey::random(), b"");
        refused(&with_ends, &DataKey::random(), b"");
    }
}
