#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::rules::{Levels, Reading};
use crate::transform::coarse::Hierarchies;

fn scales() -> [Scale; 3] {
    [Levels::Number(vec![5.0, 10.0, 20.0]), Levels::Postcode(vec![3, 1]), Levels::Category]
        .map(|levels| Scale::new(&levels, Reading::default(), &Hierarchies::default()))
}

type Row = (u8, String, String, String);

/// Solves, and counts the classes of what would go out by simple means. With the solution come the
/// classes.
fn check(rows: &[Row], rule: &KAnonymity, memory: usize) -> Option<(Solution, Vec<bool>)> {
    let scales = scales();
    let mut survey = Survey::new(rule, scales.iter().collect(), memory);
    let fields = |row: &Row| {
        [row.0.to_string(), row.1.clone(), row.2.clone()].map(|value| value.into_bytes())
    };
    for row in rows {
        let fields = fields(row);
        survey.add(fields.iter().map(|value| Field::text(value)), row.3.as_bytes()).unwrap();
    }
    let mut solution = survey.solve().ok()?;
    let mut classes: HashMap<Vec<u8>, (u64, HashSet<&str>)> = HashMap::new();
    let mut suppressed = 0;
    let mut stays = Vec::new();
    for row in rows {
        let fields = fields(row);
        let quasi = scales.iter().zip(fields.iter().map(|value| Field::text(value)));
        let mut key = Vec::new();
        for ((scale, field), level) in quasi.clone().zip(&solution.levels) {
            label(scale, *level, field, &mut key);
            key.push(0);
        }
        stays.push(solution.admits(quasi).unwrap());
        if stays.last() == Some(&true) {
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
    assert_eq!(classes.len() as u64, solution.classes());
    assert!(classes.is_empty() || solution.k >= rule.k);
    if let Some((l, _)) = &rule.diversity {
        assert!(classes.values().all(|class| class.1.len() as u64 >= *l));
    }
    Some((solution, stays))
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
    assert_eq!(check(&rows, &rule(5, 0.0, None), MEMORY_BYTES).unwrap().0.levels, [1, 0, 0]);
    assert_eq!(check(&rows, &rule(4, 0.0, None), MEMORY_BYTES).unwrap().0.levels, [0, 0, 0]);
    assert!(check(&rows, &rule(41, 0.0, None), MEMORY_BYTES).is_none());
}

#[test]
fn outliers_are_suppressed_rather_than_all_made_coarse() {
    let mut rows: Vec<Row> = (0..99).map(|_| row(30, "12345", "f", "x")).collect();
    rows.push(row(95, "99999", "m", "y"));
    let (solution, _) = check(&rows, &rule(5, 0.01, None), MEMORY_BYTES).unwrap();
    assert_eq!(
        (solution.levels.as_slice(), solution.suppressed, solution.k),
        (&[0, 0, 0][..], 1, 99)
    );
}

#[test]
fn classes_that_are_alike_in_what_is_sensitive_are_not_let_out() {
    let mut rows: Vec<Row> =
        (0..10).map(|i| row(30, "12345", "f", if i % 2 == 0 { "flu" } else { "gout" })).collect();
    rows.extend((0..10).map(|_| row(50, "12345", "f", "hiv")));
    let (solution, _) = check(&rows, &rule(5, 0.5, Some(2)), MEMORY_BYTES).unwrap();
    assert!(solution.l == Some(2));
    assert!(check(&rows, &rule(5, 0.5, Some(4)), MEMORY_BYTES).is_none());
}

/// The same must come of the same records, whatever fits into memory.
fn check_spilled(rows: &[Row], rule: &KAnonymity, memory: usize) {
    let told = |memory| {
        check(rows, rule, memory)
            .map(|(s, stays)| (s.levels, s.losses, s.k, s.l, s.suppressed, stays))
    };
    assert_eq!(told(memory), told(MEMORY_BYTES));
}

#[test]
fn a_survey_that_outgrows_its_memory_is_spilled_and_comes_to_the_same() {
    let rows: Vec<Row> = (0..6000_u32)
        .map(|i| row((i * 7 % 90) as u8, &format!("{:05}", i * i % 1000 * 37), "f", "x"))
        .collect();
    let (rule, memory) = (rule(3, 0.05, None), 16 << 10);
    check_spilled(&rows, &rule, memory);
    let scales = scales();
    let mut survey = Survey::new(&rule, scales.iter().collect(), memory);
    for row in &rows {
        let values = [row.0.to_string(), row.1.clone(), row.2.clone()].map(String::into_bytes);
        survey.add(values.iter().map(|value| Field::text(value)), b"").unwrap();
    }
    assert!(survey.classes.is_spilled());
    // At the exact values there are more classes than are admitted in memory.
    let mut solution =
        Survey { rule: &KAnonymity { k: 1, ..rule.clone() }, ..survey }.solve().unwrap();
    assert_eq!(solution.levels, [0, 0, 0]);
    assert!(solution.admitted.is_spilled());
    let values =
        [rows[0].0.to_string(), rows[0].1.clone(), rows[0].2.clone()].map(String::into_bytes);
    let fields = || values.iter().map(|value| Field::text(value));
    assert!(solution.admits(scales.iter().zip(fields())).unwrap());
    assert!(!solution.admits(scales.iter().zip(fields().rev())).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_class_that_goes_out_is_large_and_diverse(
        rows in proptest::collection::vec((0..60_u8, "[0-9]{0,5}", "[fmx]?", "[a-c]"), 1..200),
        k in 2..12_u64,
        l in proptest::option::of(2..4_u64),
        suppress in prop::sample::select(vec![0.0, 0.05, 0.5, 1.0]),
        memory in prop::sample::select(vec![1, 4 << 10]),
    ) {
        check_spilled(&rows, &rule(k, suppress, l), memory);
    }

    #[test]
    fn the_greedy_way_reaches_k_as_well(
        rows in proptest::collection::vec((0..60_u8, "[0-9]{3}", "[fm]", "[a-c]"), 20..100),
        k in 2..8_u64,
    ) {
        let (rule, scales) = (rule(k, 0.1, None), scales());
        let mut survey = Survey::new(&rule, scales.iter().collect(), MEMORY_BYTES);
        for row in &rows {
            let texts = [row.0.to_string(), row.1.clone(), row.2.clone()];
            let values = texts.map(String::into_bytes);
            survey.add(values.iter().map(|value| Field::text(value)), b"").unwrap();
        }
        let search = survey.search().unwrap();
        let allowed = rows.len() as u64 / 10;
        let levels = search.greedily(allowed).unwrap().unwrap();
        prop_assert!(search.suppressed(&levels, u64::MAX).unwrap() <= allowed);
        let best = search.exhaustively(search.nodes().unwrap(), allowed).unwrap().unwrap();
        prop_assert!(search.loss(&best) <= search.loss(&levels) + 1e-9);
    }
}
