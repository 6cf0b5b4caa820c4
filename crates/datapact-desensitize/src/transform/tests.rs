#![allow(clippy::unwrap_used, clippy::panic)]
use proptest::prelude::*;

use super::*;
use crate::rules::{Alphabet, DateStep, Levels};

fn op(transform: Transform) -> Op {
    let key = PseudonymKey::from_file("07".repeat(32).as_bytes()).unwrap();
    let hierarchies = Hierarchies::default();
    let reading = Reading::default();
    let resources = Resources { reading, hierarchies: &hierarchies, key: Some(&key), names: None };
    Op::new(&transform, resources, ColumnFacts::default()).unwrap()
}

/// What becomes of a text: none if it is redacted.
fn apply(transform: Transform, text: &str) -> Option<String> {
    let mut out = Vec::new();
    match op(transform).apply(Field::text(text.as_bytes()), &mut out) {
        Done::Redacted => {
            assert!(out.is_empty());
            None
        }
        _ => Some(String::from_utf8(out).unwrap()),
    }
}

fn check(transform: &Transform, cases: &[(&str, Option<&str>)]) {
    for (before, after) in cases {
        assert_eq!(apply(transform.clone(), before).as_deref(), *after, "{before}");
    }
}

#[test]
fn each_transform_does_what_its_rule_says() {
    check(&Transform::Keep, &[("x", Some("x"))]);
    check(&Transform::Redact { with: None }, &[("x", Some(""))]);
    check(&Transform::Redact { with: Some("-".to_owned()) }, &[("x", Some("-")), ("", Some(""))]);
    let mask = |keep_first, keep_last| Transform::Mask { keep_first, keep_last, with: '*' };
    check(&mask(0, 4), &[("4111111111111111", Some("************1111")), ("1234", Some("****"))]);
    check(&mask(1, 1), &[("Björk", Some("B***k")), ("éa", Some("**"))]);
    let bins = Transform::generalize(Levels::Number(vec![10.0]));
    check(&bins, &[("27", Some("20..30")), ("-3", Some("-10..0")), ("many", None), ("", Some(""))]);
    let grid = Transform::Grid { cell: 0.1 };
    check(
        &grid,
        &[
            ("52.5291", Some("52.5")),
            ("52.5291, 13.4011", Some("52.5,13.4")),
            ("-0.05", Some("-0.1")),
            ("Berlin", None),
            ("52.5,13.4,1", None),
            ("52.5,x", None),
        ],
    );
    let clip = Transform::TopBottom { bottom: Some(Bound::At(18.0)), top: Some(Bound::At(90.0)) };
    check(
        &clip,
        &[("17.5", Some("18")), ("90.1", Some("90")), ("50.25", Some("50.25")), ("?", None)],
    );
    check(
        &Transform::Scrub { entities: Entities(vec![Entity::Email]), names: None },
        &[("ask ada@example.org.", Some("ask [email]."))],
    );
    check(
        &Transform::Ff1 { domain: String::new(), alphabet: Alphabet::Digits },
        &[("call me", None)],
    );
}

#[test]
fn nested_values_are_redacted_where_a_transform_cannot_look_into_them() {
    let nested = Field { kind: Kind::Nested, bytes: b"[\"a\"]" };
    let mut out = Vec::new();
    let masked =
        op(Transform::Mask { keep_first: 3, keep_last: 0, with: '*' }).apply(nested, &mut out);
    assert_eq!((masked, out.len()), (Done::Redacted, 0));
    assert_eq!(op(Transform::Keep).apply(nested, &mut out), Done::Unchanged(Kind::Nested));
}

#[test]
fn noise_has_the_deviation_that_was_asked_for_and_keeps_the_decimals() {
    let mut noise = op(Transform::Noise(Spread::Absolute(3.0)));
    let values: Vec<f64> = (0..20_000)
        .map(|_| {
            let mut out = Vec::new();
            noise.apply(Field::text(b"100.00"), &mut out);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.split_once('.').unwrap().1.len(), 2, "{text}");
            text.parse().unwrap()
        })
        .collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance =
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    // Ten standard errors of the mean and more than that of the deviation: no honest run fails.
    assert!((mean - 100.0).abs() < 0.3, "{mean}");
    assert!((2.4..3.6).contains(&variance.sqrt()), "{}", variance.sqrt());
}

proptest! {
    /// Whatever a value is, no transform lets it pass as it was, unless that is what its rule says.
    #[test]
    fn nothing_panics_and_nothing_unreadable_passes(text in "\\PC{1,40}") {
        for transform in [
            Transform::Mask { keep_first: 2, keep_last: 2, with: '█' },
            Transform::Pseudonym { domain: "d".to_owned(), length: 32 },
            Transform::Ff1 { domain: String::new(), alphabet: Alphabet::Alphanumeric },
            Transform::generalize(Levels::Date(vec![DateStep::Month])),
            Transform::generalize(Levels::Number(vec![5.0])),
            Transform::generalize(Levels::Postcode(vec![2])),
            Transform::Grid { cell: 0.5 },
        ] {
            let after = apply(transform.clone(), &text);
            let harmless = text.chars().all(|c| c == '█' || !c.is_alphanumeric());
            let coarse = matches!(transform, Transform::Generalize { .. } | Transform::Grid { .. });
            let is_changed = after.as_deref() != Some(text.as_str());
            prop_assert!(harmless || coarse || is_changed, "{:?}", transform);
            if number::parse(text.as_bytes(), b'.').is_none() {
                let number = matches!(
                    &transform,
                    Transform::Generalize { levels: Levels::Number(_), .. }
                );
                prop_assert!(!number || after.is_none());
            }
        }
    }
}
