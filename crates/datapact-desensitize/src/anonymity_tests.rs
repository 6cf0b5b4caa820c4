#![allow(clippy::unwrap_used)]
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::rules::{Levels, Reading};

fn scales() -> [Scale; 3] {
    [Levels::Number(vec![5.0, 10.0, 20.0]), Levels::Postcode(vec![3, 1]), Levels::Category]
        .map(|levels| Scale::new(&levels, Reading::default(), Path::new(".")).unwrap())
}

type Row = (u8, String, String, String);

/// Solves, and counts the classes of what would go out by simple means.
fn check(rows: &[Row], rule: &KAnonymity, memory: usize) -> Option<Solution> {
    let scales = scales();
    let mut survey = Survey::new(rule, scales.iter().collect());
    survey.memory = memory;
    let fields =
        |row: &Row| [row.0.to_string().into_bytes(), row.1.clone().into_bytes(), row.2.clone().into_bytes()];
    for row in rows {
        survey.add(fields(row).iter().map(|value| Field::text(value)), row.3.as_bytes());
    }
    let solution = survey.solve().ok()?;
    let mut classes: HashMap<Vec<u8>, (u64, HashSet<&str>)> = HashMap::new();
    let mut suppressed = 0;
    for row in rows {
        let mut key = Vec::new();
        for ((scale, level), value) in scales.iter().zip(&solution.levels).zip(fields(row)) {
            let mut text = Vec::new();
            label(scale, *level, &value, &mut text);
            class_key(&text, &mut key);
        }
        if solution.admits(&key) {
            let class = classes.entry(key).or_default();
            class.0 += 1;
            class.1.insert(&row.3);
        } else {
            suppressed += 1;
        }
    }
    assert_eq!((suppressed, rows.len() as u64), (solution.suppressed, solution.records));
    assert!(suppressed as f64 <= rule.suppress_max * rows.len() as f64);
    assert_eq!(classes.values().map(|class| class.0).min().unwrap_or(0), solution.k);
    assert!(classes.is_empty() || solution.k >= rule.k);
    if let Some((l, _)) = &rule.diversity {
        assert!(classes.values().all(|class| class.1.len() as u64 >= *l));
    }
    Some(solution)
}

fn rule(k: u64, suppress_max: f64, l: Option<u64>) -> KAnonymity {
    KAnonymity { k, suppress_max, diversity: l.map(|l| (l, "d".to_owned())) }
}

fn row(age: u8, zip: &str, sex: &str, disease: &str) -> Row {
    (age, zip.to_owned(), sex.to_owned(), disease.to_owned())
}

#[test]
fn the_cheapest_levels_are_taken() {
    let rows: Vec<Row> = (0..40).map(|i| row(20 + i % 10, "12345", "f", "x")).collect();
    // Every age four times: bins of 5 give classes of 20, and nothing else needs to change.
    assert_eq!(check(&rows, &rule(5, 0.0, None), MEMORY_BYTES).unwrap().levels, [1, 0, 0]);
    assert_eq!(check(&rows, &rule(4, 0.0, None), MEMORY_BYTES).unwrap().levels, [0, 0, 0]);
    assert!(check(&rows, &rule(41, 0.0, None), MEMORY_BYTES).is_none());
}

#[test]
fn outliers_are_suppressed_rather_than_all_made_coarse() {
    let mut rows: Vec<Row> = (0..99).map(|_| row(30, "12345", "f", "x")).collect();
    rows.push(row(95, "99999", "m", "y"));
    let solution = check(&rows, &rule(5, 0.01, None), MEMORY_BYTES).unwrap();
    assert_eq!((solution.levels.as_slice(), solution.suppressed, solution.k), (&[0, 0, 0][..], 1, 99));
}

#[test]
fn classes_that_are_alike_in_what_is_sensitive_are_not_let_out() {
    let mut rows: Vec<Row> =
        (0..10).map(|i| row(30, "12345", "f", if i % 2 == 0 { "flu" } else { "gout" })).collect();
    rows.extend((0..10).map(|_| row(50, "12345", "f", "hiv")));
    let solution = check(&rows, &rule(5, 0.5, Some(2)), MEMORY_BYTES).unwrap();
    assert!(solution.l == Some(2));
    assert!(check(&rows, &rule(5, 0.5, Some(4)), MEMORY_BYTES).is_none());
}

#[test]
fn a_survey_that_outgrows_its_memory_becomes_coarser_and_stays_right() {
    let rows: Vec<Row> = (0..4000_u32)
        .map(|i| row((i * 7 % 90) as u8, &format!("{:05}", i * 37 % 100_000), "f", "x"))
        .collect();
    let solution = check(&rows, &rule(3, 0.05, None), 64 << 10).unwrap();
    assert!(solution.k >= 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_class_that_goes_out_is_large_and_diverse(
        rows in proptest::collection::vec((0..60_u8, "[0-9]{0,5}", "[fmx]?", "[a-c]"), 1..200),
        k in 2..12_u64,
        l in proptest::option::of(2..4_u64),
        suppress in prop::sample::select(vec![0.0, 0.05, 0.5, 1.0]),
        memory in prop::sample::select(vec![4 << 10, MEMORY_BYTES]),
    ) {
        check(&rows, &rule(k, suppress, l), memory);
    }

    #[test]
    fn the_greedy_way_reaches_k_as_well(
        rows in proptest::collection::vec((0..60_u8, "[0-9]{3}", "[fm]", "[a-c]"), 20..100),
        k in 2..8_u64,
    ) {
        let (rule, scales) = (rule(k, 0.1, None), scales());
        let mut survey = Survey::new(&rule, scales.iter().collect());
        for row in &rows {
            let values = [row.0.to_string().into_bytes(), row.1.clone().into_bytes(), row.2.clone().into_bytes()];
            survey.add(values.iter().map(|value| Field::text(value)), b"");
        }
        let axes = survey.ladders();
        let search = Search { classes: &survey.classes, axes: &axes, k, l: 0 };
        let allowed = rows.len() as u64 / 10;
        let levels = search.greedily(allowed).unwrap();
        prop_assert!(search.suppressed(&levels) <= allowed);
        let best = search.exhaustively(axes.iter().map(|axis| axis.steps.len()).product(), allowed).unwrap();
        prop_assert!(search.loss(&best) <= search.loss(&levels) + 1e-9);
    }
}
