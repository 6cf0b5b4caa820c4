#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use super::*;

const ALL: &str = r#"
version = 1
format = "csv"
encoding = "windows-1252"
delimiter = ";"
header = true
decimal = ","
dates = "month-day"
formulas = "keep"

[k-anonymity]
k = 5
suppress-max = 0.1
l = 2
sensitive = "diagnosis"

[[column]]
name = "id"
found = "national-id"
confidence = 0.98
review = "by the header only"
transform = "pseudonym"
domain = "patient"

[[column]]
name = "phone"
transform = "ff1"
[[column]]
name = "born"
transform = "quasi-identifier"
as = "date"
[[column]]
name = "age"
transform = "quasi-identifier"
as = "number"
levels = [5, 10, 20]
[[column]]
name = "zip"
transform = "quasi-identifier"
as = "postcode"
levels = [4, 3]
[[column]]
name = "sex"
transform = "quasi-identifier"
as = "category"
[[column]]
name = "diagnosis"
transform = "generalize"
as = "hierarchy"
file = "icd.csv"
[[column]]
name = "seen"
transform = "generalize"
as = "date"
to = "month"
[[column]]
name = "income"
transform = "generalize"
as = "number"
bin = 2.5
[[column]]
name = "lat"
transform = "generalize"
as = "grid"
cell = 0.1
[[column]]
name = "weight"
transform = "noise"
relative = 0.1
[[column]]
name = "height"
transform = "top-bottom"
bottom = 120
top-percentile = 99.5
[[column]]
name = "card"
transform = "mask"
keep-last = 4
[[column]]
name = "notes"
transform = "scrub"
entities = ["email"]
names = "people.txt"
[[column]]
name = "name"
transform = "drop"
[[column]]
name = "street"
transform = "redact"
with = "-"
[[column]]
name = "ward \"A\""
transform = "keep"
"#;

fn refused(text: &str, line: usize, message: &str) {
    let error = Rules::parse(text).unwrap_err().to_string();
    assert_eq!(error, format!("rule file, line {line}: {message}"));
}

#[test]
fn what_is_written_reads_the_same() {
    let rules = Rules::parse(ALL).unwrap();
    assert_eq!(rules.columns.len(), 17);
    assert_eq!(rules.columns[0].review.as_deref(), Some("by the header only"));
    assert_eq!(rules.k_anonymity.as_ref().unwrap().diversity, Some((2, "diagnosis".to_owned())));
    let lines = |mut rules: Rules| {
        rules.columns.iter_mut().for_each(|rule| rule.line = 0);
        rules
    };
    assert_eq!(lines(Rules::parse(&rules.to_toml()).unwrap()), lines(rules));
}

#[test]
fn what_is_not_understood_is_refused_with_its_line() {
    refused("", 1, "`version = 1` is missing");
    refused("version = 2", 1, "rule files of version 2 are not supported");
    refused("version = 1\nhedaer = true", 2, "the rule file has no key `hedaer`");
    refused("version = 1\n[[column]]\ntransform = \"keep\"", 2, "[[column]] needs `name`");
    refused(
        "version = 1\n[[column]]\nname = \"a\"\ntransform = \"hide\"",
        4,
        "`transform` must be one of keep, drop, redact, mask, pseudonym, ff1, generalize, noise, \
         top-bottom, quasi-identifier, scrub, not `hide`",
    );
    refused(
        "version = 1\n[[column]]\nname = \"a\"\ntransform = \"keep\"\nwith = \"x\"",
        5,
        "keep has no key `with`",
    );
    let keep = "[[column]]\nname = \"a\"\ntransform = \"keep\"\n";
    refused(&format!("version = 1\n{keep}{keep}"), 5, "the column `a` has two rules");
    refused("version = 1\n[k-anonymity]\nk = 1", 3, "`k` must be a whole number from 2 to 1000000");
    refused(
        "version = 1\n[[column]]\nname = \"a\"\ntransform = \"quasi-identifier\"\n\
         as = \"category\"",
        2,
        "a `quasi-identifier` needs `[k-anonymity]` with a `k`",
    );
}

#[test]
fn every_column_needs_a_rule_and_every_rule_a_column() {
    let rules = Rules { columns: vec![Rule::new("a", Transform::Keep)], ..Rules::default() };
    let columns =
        |names: &[&str]| names.iter().map(|n| Column { name: (*n).to_owned() }).collect::<Vec<_>>();
    assert!(rules.for_columns(&columns(&["a"]), Format::Csv).is_ok());
    let error = rules.for_columns(&columns(&["a", "b"]), Format::Csv).unwrap_err().to_string();
    assert_eq!(error, "the column `b` has no rule");
    let error = rules.for_columns(&columns(&[]), Format::Csv).unwrap_err().to_string();
    assert_eq!(error, "rule file, line 0: the data have no column `a`");
}
