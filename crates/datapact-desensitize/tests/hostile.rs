//! Hostile tables end in an error with its position, or are handled: no panic, and no value that a
//! rule could not read.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use datapact_desensitize::format::{Format, Input, Options};
use datapact_desensitize::{Plan, PseudonymKey, Report, run};
use proptest::prelude::*;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn ran(
    data: impl Read + Send + 'static,
    format: Format,
    rules: &str,
) -> Result<(Vec<u8>, Report), String> {
    let rules = format!("version = 1\n{rules}");
    let plan = Plan::new(rules.as_bytes(), Path::new("."), Some(PseudonymKey::random())).unwrap();
    let options = Options { format: Some(format), ..plan.rules().options.clone() };
    let mut input = Input::stream(Box::new(data), None, options);
    let out = Shared::default();
    let report =
        run(&mut input, &plan, Box::new(out.clone()), &mut |_| {}).map_err(|e| e.to_string())?;
    let bytes = std::mem::take(&mut *out.0.lock().unwrap());
    Ok((bytes, report))
}

fn bytes(data: &[u8], format: Format, rules: &str) -> Result<(Vec<u8>, Report), String> {
    ran(Cursor::new(data.to_vec()), format, rules)
}

fn column(name: &str, rest: &str) -> String {
    format!("[[column]]\nname = \"{name}\"\n{rest}\n")
}

#[test]
fn a_hundred_thousand_columns_pass_and_each_needs_its_rule() {
    let names: Vec<String> = (0..100_000).map(|index| format!("c{index}")).collect();
    let table = format!("{}\n{}\n", names.join(","), vec!["1"; names.len()].join(","));
    let rules: String = names.iter().map(|name| column(name, "transform = \"mask\"")).collect();
    let (out, report) = bytes(table.as_bytes(), Format::Csv, &rules).unwrap();
    assert_eq!(report.columns.len(), 100_000);
    assert!(out.ends_with(b"*,*,*\n"));
    assert!(report.manifest().columns.len() == 256 && report.manifest().more_columns == 99_744);
    let one_less: String =
        names.iter().skip(1).map(|name| column(name, "transform = \"mask\"")).collect();
    assert_eq!(
        bytes(table.as_bytes(), Format::Csv, &one_less).unwrap_err(),
        "the column `c0` has no rule"
    );
}

#[test]
fn a_field_without_end_is_refused_before_it_fills_the_memory() {
    let rules = column("a", "transform = \"keep\"");
    let csv = Cursor::new(b"a\n\"".to_vec()).chain(std::io::repeat(b'x'));
    let said = ran(csv, Format::Csv, &rules).unwrap_err();
    assert!(said.contains("record 1 (line 2, byte 2): the record is longer"), "{said}");
    let text = column("text", "transform = \"keep\"");
    assert!(
        ran(std::io::repeat(b'x'), Format::Text, &text).unwrap_err().contains("the line is longer")
    );
    let json = Cursor::new(b"{\"a\":\"".to_vec()).chain(std::io::repeat(b'x'));
    assert!(ran(json, Format::JsonLines, &rules).unwrap_err().contains("the line is longer"));
}

#[test]
fn encodings_that_change_halfway_are_refused_with_their_place() {
    let mut mixed = format!("a\n{}", "Björk\n".repeat(60_000)).into_bytes();
    let at = mixed.len();
    mixed.extend_from_slice(b"J\xf6rg\n");
    let keep = column("a", "transform = \"keep\"");
    let said = bytes(&mixed, Format::Csv, &keep).unwrap_err();
    assert_eq!(said, format!("byte {} of the text is not UTF-8", at + 1));
    let nul = bytes(b"a\nx\0y\n", Format::Csv, &format!("encoding = \"utf-8\"\n{keep}"));
    assert!(nul.unwrap_err().contains("is NUL"));
}

#[test]
fn what_a_rule_cannot_read_is_left_out_and_counted() {
    let rules = column("n", "transform = \"generalize\"\nas = \"number\"\nbin = 10")
        + &column("d", "transform = \"generalize\"\nas = \"date\"\nto = \"year\"")
        + &column("p", "transform = \"ff1\"");
    let table = "n,d,p\n27,2024-05-17,+49 170 1234567\nSENTINEL,31/12/24 SENTINEL,call SENTINEL\n";
    let (out, report) = bytes(table.as_bytes(), Format::Csv, &rules).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.ends_with("\n,,\n") && !out.contains("SENTINEL"), "{out}");
    assert!(report.columns.iter().all(|column| column.redacted == 1));
}

#[test]
fn formulas_are_escaped_in_what_goes_out() {
    let keep = column("a", "transform = \"keep\"");
    let (out, report) = bytes(b"a\n=cmd|' /C calc'!A0\n", Format::Csv, &keep).unwrap();
    assert_eq!(out, b"a\n'=cmd|' /C calc'!A0\n");
    assert_eq!(report.formulas, 1);
}

#[test]
fn a_member_that_is_new_halfway_is_refused() {
    let rules = column("a", "transform = \"keep\"");
    let said = bytes(b"{\"a\":1}\n{\"a\":2,\"ssn\":\"SENTINEL\"}\n", Format::JsonLines, &rules)
        .unwrap_err();
    assert_eq!(said, "record 2 (line 2, byte 8): the column `ssn` has no rule");
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_error_or_in_masked_values(
        data in proptest::collection::vec(any::<u8>(), 0..200),
        format in prop::sample::select(vec![Format::Csv, Format::JsonLines, Format::Text]),
    ) {
        let rules = column("a", "transform = \"mask\"") + &column("text", "transform = \"mask\"");
        let _ = bytes(&data, format, &rules);
        let mut table = b"a\n".to_vec();
        table.extend_from_slice(&data);
        let head = "delimiter = \",\"\nquote = '\"'\n".to_owned();
        let rules = head + &column("a", "transform = \"mask\"");
        if let Ok((out, _)) = bytes(&table, Format::Csv, &rules) {
            let text = String::from_utf8(out).unwrap();
            let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
            prop_assert!(rest.chars().all(|c| "*\"\r\n".contains(c)), "{:?}", rest);
        }
    }
}
