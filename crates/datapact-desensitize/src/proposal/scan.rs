//! The scan of a whole table, from which rules are proposed.

use super::column::{Evidence, propose};
use super::dates::{Form, form_of};
use super::sample::Sample;
use crate::detect::Names;
use crate::error::Result;
use crate::format::Input;
use crate::rules::{DayOrder, Levels, Reading, Rule, Rules, Transform};
use crate::table::{Kind, Record};
use crate::transform::number;

/// How many records go by between two calls of `progress`.
const STEP: u64 = 4096;

/// Rules that a scan proposes, and why.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// One rule for each column.
    pub rules: Rules,
    /// What was found out about each column, in the same order.
    pub columns: Vec<Evidence>,
    /// How many records the table has.
    pub records: u64,
}

/// Reads a table once and proposes a rule for every column: by its header, and by a sample of its
/// values from all over the table. `names` are looked for, too. `progress` is called with the
/// number of bytes read. Memory stays bounded whatever the table.
///
/// # Errors
///
/// What reading the table refuses.
pub fn scan(
    input: &mut Input,
    names: Option<&Names>,
    progress: &mut dyn FnMut(u64),
) -> Result<Proposal> {
    let mut source = input.open()?;
    let (mut record, mut records) = (Record::default(), 0u64);
    let mut samples: Vec<Sample> = Vec::new();
    while source.read(&mut record)? {
        let columns = source.columns().len();
        while samples.len() < columns {
            let mut sample = Sample::new(columns, samples.len());
            sample.absent = records;
            samples.push(sample);
        }
        for (index, sample) in samples.iter_mut().enumerate() {
            let field = record.field(index);
            let text = field.as_str();
            if text.trim().is_empty() {
                sample.absent += 1;
                continue;
            }
            sample.nested += u64::from(field.kind == Kind::Nested);
            sample.add(text);
        }
        records += 1;
        if records.is_multiple_of(STEP) {
            progress(source.bytes_read());
        }
    }
    progress(source.bytes_read());
    let columns = source.columns();
    while samples.len() < columns.len() {
        samples.push(Sample::new(columns.len(), samples.len()));
    }
    let proposals =
        columns.iter().zip(&samples).map(|(column, sample)| propose(&column.name, sample, names));
    let (mut proposed, mut evidence): (Vec<Rule>, Vec<Evidence>) = proposals.unzip();
    let orders: Vec<_> =
        proposed.iter().zip(&samples).map(|(rule, sample)| order(rule, sample)).collect();
    // One order holds for the whole file.
    let dates = orders.iter().flatten().next().copied();
    for ((rule, evidence), order) in proposed.iter_mut().zip(&mut evidence).zip(&orders) {
        if order.is_some() && *order != dates {
            let why = "its dates have another order of day and month than those of another column"
                .to_owned();
            (rule.review, evidence.review) = (Some(why.clone()), Some(why));
        }
    }
    let reading = Reading { dates, decimal: decimal(&samples) };
    let rules = Rules { columns: proposed, reading, ..Rules::default() };
    Ok(Proposal { rules, columns: evidence, records })
}

/// Which of day and month is first in the dates of a column that a rule generalizes, if the rule
/// file has to say it.
fn order(rule: &Rule, sample: &Sample) -> Option<DayOrder> {
    if !matches!(rule.transform, Transform::Generalize { levels: Levels::Date(_), .. }) {
        return None;
    }
    let values: Vec<&str> = sample.values().iter().map(|value| value.trim()).collect();
    match form_of(&values) {
        Form::Ordered(order) => Some(order),
        _ => None,
    }
}

/// What separates decimals: a comma only if a column of numbers shows one, and none shows a point.
fn decimal(samples: &[Sample]) -> u8 {
    let shows = |sample: &Sample, mark: u8| {
        let values = sample.values();
        let numbers = || values.iter().filter_map(|value| number::parse(value.as_bytes(), mark));
        // Three decimals everywhere may be thousands.
        values.len() <= numbers().count() + values.len() / 10
            && numbers().any(|number| !matches!(number.decimals, 0 | 3))
    };
    let shown = |mark| samples.iter().any(|sample| shows(sample, mark));
    if shown(b',') && !shown(b'.') { b',' } else { b'.' }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Cursor, Write as _};

    use super::*;
    use crate::format::Options;

    fn scanned(csv: &str) -> Proposal {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(csv.as_bytes()).unwrap();
        let mut input = Input::file(file, Some("csv"), Options::default()).unwrap();
        scan(&mut input, None, &mut |_| {}).unwrap()
    }

    /// The labelled table: the second line says what each column is, and whether it is to be
    /// reviewed.
    #[test]
    fn the_labelled_table() {
        let text = include_str!("../../testdata/people.csv");
        let mut lines = text.lines();
        let (header, labels) = (lines.next().unwrap(), lines.next().unwrap());
        let rest: Vec<&str> = lines.collect();
        let proposal = scanned(&format!("{header}\n{}\n", rest.join("\n")));
        assert_eq!(proposal.records, rest.len() as u64);
        for (column, label) in proposal.columns.iter().zip(labels.split(',')) {
            let (found, review) =
                label.split_once('?').map_or((label, false), |(found, _)| (found, true));
            assert_eq!(column.found.unwrap_or("-"), found, "{column:?}");
            assert_eq!(column.review.is_some(), review, "{column:?}");
        }
        assert_eq!(proposal.columns.len(), labels.split(',').count());
    }

    #[test]
    fn no_value_is_in_a_proposal() {
        let proposal = scanned(
            "who,note\nAda Sentinel,ada@sentinel.example or 020 7946 0123\n\
             Bob Sentinel,none at all here\n",
        );
        let text = proposal.rules.to_toml() + &serde_json::to_string(&proposal.columns).unwrap();
        for part in ["entinel", "7946", "ada", "none at"] {
            assert!(!text.contains(part), "{part}: {text}");
        }
        assert!(proposal.columns.iter().any(|column| column.found == Some("free-text")));
    }

    #[test]
    fn columns_with_names_of_a_dictionary_are_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("names.txt"), "Ada\nLovelace\n").unwrap();
        let names = Names::read(std::path::Path::new("names.txt"), folder.path()).unwrap();
        let csv = "x,y,z\nAda Lovelace,saw Ada,fine\nAda,rest,well\n".to_owned();
        let mut input =
            Input::stream(Box::new(Cursor::new(csv.into_bytes())), Some("csv"), Options::default());
        let proposal = scan(&mut input, Some(&names), &mut |_| {}).unwrap();
        let found: Vec<_> = proposal.columns.iter().map(|column| column.found).collect();
        assert_eq!(found, [Some("person-name"), Some("free-text"), None]);
        assert!(proposal.rules.to_toml().contains("names = \"names.txt\""));
    }

    #[test]
    fn what_is_proposed_is_a_rule_file() {
        let text = include_str!("../../testdata/people.csv");
        let proposal = scanned(text);
        let rules = Rules::parse(&proposal.rules.to_toml()).unwrap();
        assert_eq!(rules.columns.len(), proposal.columns.len());
        assert!(
            rules
                .columns
                .iter()
                .zip(&proposal.rules.columns)
                .all(|(read, made)| read.transform == made.transform)
        );
    }

    #[test]
    fn a_decimal_comma_is_noticed() {
        let decimal = |csv: &str| scanned(csv).rules.reading.decimal;
        assert_eq!(decimal("cm;n\n1,75;2\n1,8;3\n"), b',');
        assert_eq!(decimal("cm;x\n1,75;2.5\n1,8;3.5\n"), b'.');
        assert_eq!(decimal("people;n\n1,750;2\n1,800;3\n"), b'.');
        assert_eq!(decimal("a;n\nx;2\n"), b'.');
    }

    #[test]
    fn an_order_of_day_and_month_is_noticed() {
        let proposal = scanned("born,due\n31/12/1985,1\n05/06/1990,2\n");
        assert_eq!(proposal.rules.reading.dates, Some(crate::rules::DayOrder::DayMonth));
        assert!(
            scanned("birth date\n05/06/1990\n")
                .columns
                .iter()
                .all(|column| column.review.is_some())
        );
    }

    #[test]
    fn streams_and_tables_without_records_are_scanned() {
        let stream = Box::new(Cursor::new(b"email,x\n".to_vec()));
        let mut input = Input::stream(stream, Some("csv"), Options::default());
        let proposal = scan(&mut input, None, &mut |_| {}).unwrap();
        let found: Vec<_> =
            proposal.columns.iter().map(|column| (column.found, column.review.is_some())).collect();
        assert_eq!(found, [(Some("email"), true), (None, false)]);
    }
}
