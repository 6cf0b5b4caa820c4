//! Every transform on every kind of value of every format gives output of that format, with the
//! schema that the specification says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "support/parquet_table.rs"]
mod parquet_table;

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use datapact_desensitize::format::{Input, Options};
use datapact_desensitize::table::Record;
use datapact_desensitize::{Plan, PseudonymKey, Report, run};
use parquet::basic::Type as Physical;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

/// All transforms, with the keys that make much of a value or little; whether the type stays.
const TRANSFORMS: &[(&str, bool)] = &[
    ("keep", true),
    ("drop", false),
    ("redact", true),
    ("redact\"\nwith = \"a \\\"b\\\", c", false),
    ("mask", false),
    ("mask\"\nkeep-first = 2\nkeep-last = 1\nwith = \"\\\"", false),
    ("mask\"\nwith = \"é", false),
    ("pseudonym\"\nlength = \"", false),
    ("ff1", false),
    ("ff1\"\nalphabet = \"alphanumeric", false),
    ("generalize\"\nas = \"date\"\nto = \"month", false),
    ("generalize\"\nas = \"number\"\nbin = \"", false),
    ("generalize\"\nas = \"postcode\"\nkeep = \"", false),
    ("generalize\"\nas = \"grid\"\ncell = \"", true),
    ("generalize\"\nas = \"hierarchy\"\nfile = \"h.csv", false),
    ("noise\"\ndeviation = \"", true),
    ("noise\"\nrelative = \"", true),
    ("top-bottom\"\nbottom = \"", true),
    ("top-bottom\"\ntop-percentile = \"", true),
    ("quasi-identifier\"\nas = \"number\"\nlevels = \"", false),
    ("quasi-identifier\"\nas = \"category", false),
    ("scrub", false),
];

/// Numbers for the transforms above: within bounds, and beyond what types hold.
const NUMBERS: &[(&str, &[&str])] = &[
    ("length", &["16"]),
    ("bin", &["2.5", "1e-9", "1e15"]),
    ("keep", &["1"]),
    ("cell", &["0.1", "1e-9", "1e15"]),
    ("deviation", &["0.5", "1e300"]),
    ("relative", &["0.1", "100.0"]),
    ("bottom", &["-3.25", "1e18", "1e300"]),
    ("top-percentile", &["40"]),
    ("levels", &["[2.5, 5]"]),
];

/// The rules of all transforms for a column `x`, beside which `k` stays, and whether the type
/// stays.
fn all_rules(folder: &Path) -> Vec<(String, bool)> {
    std::fs::write(folder.join("h.csv"), "27,young\n27.5,young\ntrue,yes\ntext,words\n").unwrap();
    let mut all = Vec::new();
    for (transform, typed) in TRANSFORMS {
        let key = transform.rsplit('\n').next().and_then(|line| line.strip_suffix(" = \""));
        let numbers = key.map(|key| NUMBERS.iter().find(|(name, _)| *name == key).unwrap().1);
        let ways: Vec<String> = match (numbers, key) {
            (Some(numbers), _) => numbers
                .iter()
                .map(|number| format!("{}{number}", transform.strip_suffix('"').unwrap()))
                .collect(),
            (None, _) => vec![format!("{transform}\"")],
        };
        for way in ways {
            let head = if way.starts_with("quasi") {
                "[k-anonymity]\nk = 2\nsuppress-max = 1"
            } else {
                ""
            };
            for mark in [".", ","] {
                let rules = format!(
                    "version = 1\ndecimal = \"{mark}\"\n{head}\n\
                     [[column]]\nname = \"k\"\ntransform = \"keep\"\n\
                     [[column]]\nname = \"x\"\ntransform = \"{way}\n"
                );
                all.push((rules, *typed));
            }
        }
    }
    all
}

fn ran(data: &[u8], extension: &str, rules: &str, folder: &Path) -> (Vec<u8>, Report) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(data).unwrap();
    let plan = Plan::new(rules.as_bytes(), folder, Some(PseudonymKey::random()));
    let plan = plan.unwrap_or_else(|error| panic!("{error}: {rules}"));
    let mut input = Input::file(file, Some(extension), plan.rules().options.clone()).unwrap();
    let mut out = tempfile::tempfile().unwrap();
    let report = run(&mut input, &plan, Box::new(out.try_clone().unwrap()), &mut |_| {});
    let report = report.unwrap_or_else(|error| panic!("{error}: {rules}"));
    let mut bytes = Vec::new();
    out.rewind().unwrap();
    out.read_to_end(&mut bytes).unwrap();
    (bytes, report)
}

const TEXTS: &[&str] = &[
    "27",
    "27.5",
    "27,5",
    "-0",
    "+4",
    "1e300",
    "-1e-300",
    "12345678901234567890123",
    "2024-05-17",
    "2024-05-17T10:00:00Z",
    "text",
    "call +49 30 123456, or ada@example.org",
    "=1+1",
    "-x",
    "a\"b",
    "\"",
    "'",
    "a,b;c\td|e",
    "é",
    "true",
    "59.3, 18.0",
    "",
];

#[test]
fn csv_stays_a_table() {
    let folder = tempfile::tempdir().unwrap();
    for (rules, _) in all_rules(folder.path()) {
        for delimiter in [",", ";", "\t"] {
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let rows = TEXTS.iter().chain(&["two\nlines"]);
            let rows: String = rows.map(|text| format!("1{delimiter}{}\n", quoted(text))).collect();
            let (out, report) =
                ran(format!("k{delimiter}x\n{rows}").as_bytes(), "csv", &rules, folder.path());
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&out).unwrap();
            let delimiter = Some(delimiter.as_bytes()[0]);
            let options = Options { delimiter, quote: Some(b'"'), ..Options::default() };
            let mut source = Input::file(file, Some("csv"), options).unwrap().open().unwrap();
            let columns = if rules.contains("\"drop\"") { 1 } else { 2 };
            assert_eq!(source.columns().len(), columns, "{rules}");
            let (mut record, mut records) = (Record::default(), 0);
            while source.read(&mut record).unwrap_or_else(|error| panic!("{error}: {rules}")) {
                records += 1;
            }
            assert_eq!(records, report.records - report.suppressed, "{rules}");
        }
    }
}

#[test]
fn text_keeps_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    for (rules, _) in all_rules(folder.path()) {
        if rules.contains("\"drop\"") {
            continue;
        }
        let rules = rules.replace("[[column]]\nname = \"k\"\ntransform = \"keep\"\n", "");
        let rules = rules.replace("\"x\"", "\"text\"");
        let lines: String = TEXTS.iter().map(|text| format!("{text}\n")).collect();
        let (out, report) = ran(lines.as_bytes(), "txt", &rules, folder.path());
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.matches('\n').count() as u64, report.records - report.suppressed, "{rules}");
    }
}

#[test]
fn json_lines_stay_json_and_numbers_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let values = [
        "5",
        "27.5",
        "-0",
        "0.000",
        "1e300",
        "-2E-5",
        "1234567890123456789012345",
        "true",
        "false",
        "null",
        "[1,{\"a\":2}]",
        "{}",
        "\"\"",
        "\"5,5\"",
        "\"\\u0000\"",
        "\"\\ud83d\\ude00\"",
    ];
    let texts = TEXTS.iter().map(|text| serde_json::to_string(text).unwrap());
    let values: Vec<String> = values.into_iter().map(str::to_owned).chain(texts).collect();
    let lines: String = values.iter().map(|value| format!("{{\"k\":1,\"x\":{value}}}\n")).collect();
    for (rules, typed) in all_rules(folder.path()) {
        let (out, report) =
            ran(format!("{lines}{{\"k\":1}}\n").as_bytes(), "jsonl", &rules, folder.path());
        let out: Vec<serde_json::Map<String, serde_json::Value>> = out
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(serde_json::from_slice)
            .collect::<Result<_, _>>()
            .unwrap_or_else(|error| panic!("{error}: {rules}{}", String::from_utf8_lossy(&out)));
        assert_eq!(out.len() as u64, report.records - report.suppressed, "{rules}");
        for (before, after) in values.iter().zip(&out).filter(|_| typed) {
            let before: serde_json::Value = serde_json::from_str(before).unwrap();
            let after = &after["x"];
            let same = std::mem::discriminant(&before) == std::mem::discriminant(after);
            let bools = before.is_boolean() && after.is_boolean();
            assert!(same || bools || after.is_null(), "{before} became {after}: {rules}");
        }
    }
}

#[test]
fn parquet_stays_parquet_and_types_stay_where_they_can() {
    let folder = tempfile::tempdir().unwrap();
    let table = parquet_table::of_all_types();
    let schema = parquet::schema::parser::parse_message_type(parquet_table::SCHEMA).unwrap();
    for (rules, typed) in all_rules(folder.path()) {
        let (head, rule) = rules.split_once("[[column]]\nname = \"x\"\n").unwrap();
        let columns = schema.get_fields().iter().skip(1);
        let of_all: String = columns
            .map(|field| format!("[[column]]\nname = \"{}\"\n{rule}", field.name()))
            .collect();
        let (out, report) = ran(&table, "parquet", &format!("{head}{of_all}"), folder.path());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&out).unwrap();
        let reader = SerializedFileReader::new(File::try_clone(&file).unwrap()).unwrap();
        let rows =
            reader.get_row_iter(None).unwrap().collect::<Result<Vec<_>, _>>().unwrap().len() as u64;
        assert_eq!(rows, report.records - report.suppressed, "{rules}");
        let after = reader.metadata().file_metadata().schema();
        let columns = if rule.contains("\"drop\"") { 1 } else { schema.get_fields().len() };
        assert_eq!(after.get_fields().len(), columns, "{rules}");
        for (before, after) in schema.get_fields().iter().zip(after.get_fields()) {
            let types = |field: &parquet::schema::types::Type| {
                (field.get_physical_type(), field.get_basic_info().converted_type())
            };
            let is_text =
                types(after) == (Physical::BYTE_ARRAY, parquet::basic::ConvertedType::UTF8);
            let is_exact =
                report.k_anonymity.iter().flat_map(|anonymity| &anonymity.quasi_identifiers);
            let exact =
                is_exact.filter(|quasi| quasi.level == 0).any(|quasi| quasi.name == before.name());
            let stays = typed || exact || before.name() == "k";
            assert!(
                if stays { types(before) == types(after) } else { is_text },
                "{}: {rules}",
                before.name()
            );
        }
    }
}
