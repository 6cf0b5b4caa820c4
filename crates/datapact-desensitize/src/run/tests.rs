#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use std::path::Path;

use super::*;
use crate::anonymity::MEMORY_BYTES;
use crate::error::Error;
use crate::format::Options;
use crate::key::PseudonymKey;
use crate::testing::Shared;

fn input(data: &str, extension: &str) -> Input {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(data.as_bytes()).unwrap();
    Input::file(file, Some(extension), Options::default()).unwrap()
}

fn plan(rules: &str) -> Plan {
    let rules = format!("version = 1\n{rules}");
    let key = PseudonymKey::from_file("07".repeat(32).as_bytes()).unwrap();
    Plan::new(rules.as_bytes(), Path::new("."), Some(key)).unwrap()
}

fn rule(name: &str, rest: &str) -> String {
    format!("[[column]]\nname = \"{name}\"\n{rest}\n")
}

fn transform(name: &str, transform: &str) -> String {
    rule(name, &format!("transform = \"{transform}\""))
}

fn ran(data: &str, extension: &str, rules: &str) -> Result<(String, Report)> {
    let output = Shared::default();
    let report =
        run(&mut input(data, extension), &plan(rules), Box::new(output.clone()), &mut |_| {})?;
    let bytes = output.take();
    Ok((String::from_utf8(bytes).unwrap(), report))
}

fn refused(data: &str, extension: &str, rules: &str) -> String {
    ran(data, extension, rules).unwrap_err().to_string()
}

#[test]
fn dp_1_each_column_goes_its_rules_way() {
    let rules = transform("name", "drop")
        + &rule("card", "transform = \"mask\"\nkeep-last = 4")
        + &rule("age", "transform = \"generalize\"\nas = \"number\"\nbin = 10")
        + &transform("ward", "keep");
    let data = "name,card,age,ward\nAda,4111111111111111,27,B\nBen,,old,C\n";
    let (out, report) = ran(data, "csv", &rules).unwrap();
    assert_eq!(out, "card,age,ward\n************1111,20..30,B\n,,C\n");
    let counts: Vec<_> =
        report.columns.iter().map(|c| (c.absent, c.kept, c.changed, c.redacted)).collect();
    assert_eq!(counts, [(0, 0, 2, 0), (1, 0, 1, 0), (0, 0, 1, 1), (0, 2, 0, 0)]);
    assert_eq!((report.records, report.suppressed), (2, 0));
}

#[test]
fn a_new_column_or_a_rule_for_none_is_refused() {
    let keep = transform("a", "keep");
    assert_eq!(refused("a,b\n1,2\n", "csv", &keep), "the column `b` has no rule");
    let both = keep + &transform("c", "keep");
    assert_eq!(refused("a\n1\n", "csv", &both), "rule file, line 5: the data have no column `c`");
    assert!(refused("a\n1\n", "csv", &transform("a", "drop")).starts_with("nothing would be left"));
}

#[test]
fn what_goes_out_is_the_same_whatever_fits_into_memory() {
    let rules = "[k-anonymity]\nk = 3\nsuppress-max = 0.1\nl = 2\nsensitive = \"x\"\n".to_owned()
        + &rule("age", "transform = \"quasi-identifier\"\nas = \"number\"\nlevels = [5, 10]")
        + &rule("zip", "transform = \"quasi-identifier\"\nas = \"postcode\"\nlevels = [3, 1]")
        + &transform("x", "keep");
    let rows = (0..3000_u32).map(|i| format!("{},{:05},{}\n", i * 7 % 90, i * i % 700 * 37, i % 5));
    let data = format!("age,zip,x\n{}", rows.collect::<String>());
    let out = |memory| {
        let (output, mut plan) = (Shared::default(), plan(&rules));
        plan.memory = memory;
        let report =
            run(&mut input(&data, "csv"), &plan, Box::new(output.clone()), &mut |_| {}).unwrap();
        let bytes = output.take();
        (bytes, report.k_anonymity, report.suppressed)
    };
    let whole = out(MEMORY_BYTES);
    assert!(whole.0.len() > 10_000 && whole == out(1));
}

#[test]
fn k_anonymity_holds_in_what_goes_out() {
    let rules = "[k-anonymity]\nk = 3\nsuppress-max = 0.2\n".to_owned()
        + &rule("age", "transform = \"quasi-identifier\"\nas = \"number\"\nlevels = [10]")
        + &rule("sex", "transform = \"quasi-identifier\"\nas = \"category\"")
        + &transform("x", "keep");
    let data = "age,sex,x\n21,f,1\n22,f,2\n23,f,3\n31,m,4\n32,m,5\n33,m,6\n99,f,7\n";
    let (out, report) = ran(data, "csv", &rules).unwrap();
    assert_eq!(
        out,
        "age,sex,x\n20..30,f,1\n20..30,f,2\n20..30,f,3\n30..40,m,4\n30..40,m,5\n30..40,m,6\n"
    );
    let anonymity = report.k_anonymity.unwrap();
    assert_eq!((anonymity.reached, anonymity.classes, report.suppressed), (3, 2, 1));
    assert_eq!(anonymity.quasi_identifiers[0].level, 1);
    assert_eq!(anonymity.quasi_identifiers[1].level, 0);
}

#[test]
fn what_needs_the_data_twice_refuses_a_pipe() {
    let rules = rule("a", "transform = \"noise\"\nrelative = 0.1");
    let stream = Box::new(std::io::Cursor::new(b"a\n1\n".to_vec()));
    let mut input = Input::stream(stream, None, Options::default());
    let error = run(&mut input, &plan(&rules), Box::new(std::io::sink()), &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::NotSeekable(_)));
    assert!(error.hint().unwrap().contains("file"));
    let (_, report) = ran("a\n1\n2\n30\n", "csv", &rules).unwrap();
    assert_eq!(report.columns[0].redacted, 0);
}

#[test]
fn pseudonyms_agree_between_files_and_a_missing_key_is_refused() {
    let rules = rule("id", "transform = \"pseudonym\"\ndomain = \"patient\"");
    let (first, _) = ran("id\nA-17\n", "csv", &rules).unwrap();
    let other = rule("x", "transform = \"keep\"") + &rules;
    let (second, _) = ran("x,id\n1,A-17\n", "csv", &other).unwrap();
    assert_eq!(second, format!("x,id\n1,{}", first.strip_prefix("id\n").unwrap()));
    let error =
        Plan::new(format!("version = 1\n{rules}").as_bytes(), Path::new("."), None).err().unwrap();
    assert_eq!(error.to_string(), "these rules need a pseudonym key");
}

#[test]
fn rules_to_review_are_not_shared() {
    let plan = plan(&rule("a", "transform = \"keep\"\nreview = \"looks like a name\""));
    assert_eq!(
        plan.check_reviewed().unwrap_err().to_string(),
        "rule file, line 2: the rule for `a` is marked `review`"
    );
}

#[test]
fn a_preview_shows_what_would_become_of_the_first_records() {
    let rules = transform("name", "drop") + &rule("card", "transform = \"mask\"");
    let preview =
        preview(&mut input("name,card\nAda,41\nBen,\n", "csv"), &plan(&rules), 5, &mut |_| {})
            .unwrap();
    assert_eq!(preview.columns[0].after, [None, None]);
    assert_eq!(preview.columns[1].before, ["41", ""]);
    assert_eq!(preview.columns[1].after, [Some("**".to_owned()), None]);
}

#[test]
fn numbers_are_cut_at_percentiles_of_the_whole_column() {
    let rules =
        rule("n", "transform = \"top-bottom\"\nbottom-percentile = 10\ntop-percentile = 90");
    let numbers: Vec<String> = (1..=10).map(|n| format!("{n}.5")).collect();
    let (out, report) = ran(&format!("n\n{}\nmany\n", numbers.join("\n")), "csv", &rules).unwrap();
    assert_eq!(out, "n\n1.5\n2.5\n3.5\n4.5\n5.5\n6.5\n7.5\n8.5\n9.5\n9.5\n\"\"\n");
    assert_eq!((report.columns[0].changed, report.columns[0].redacted), (1, 1));
    let stream = Input::stream(Box::new(std::io::empty()), Some("csv"), Options::default());
    let error =
        run(&mut { stream }, &plan(&rules), Box::new(Shared::default()), &mut |_| {}).unwrap_err();
    assert!(
        error.to_string().starts_with("cutting at percentiles needs the data more than once"),
        "{error}"
    );
    let diverse = "[k-anonymity]\nk = 2\nl = 2\nsensitive = \"n\"\n".to_owned()
        + &rules
        + &rule("q", "transform = \"quasi-identifier\"\nas = \"category\"");
    let error = Plan::new(format!("version = 1\n{diverse}").as_bytes(), Path::new("."), None)
        .err()
        .unwrap();
    assert!(error.to_string().contains("cannot be sensitive and cut at percentiles"), "{error}");
}

#[test]
fn names_of_a_dictionary_are_scrubbed_with_all_that_overlaps_them() {
    let folder = tempfile::tempdir().unwrap();
    let rules =
        "version = 1\n".to_owned() + &rule("note", "transform = \"scrub\"\nnames = \"names.txt\"");
    let missing = Plan::new(rules.as_bytes(), folder.path(), None).err().unwrap().to_string();
    assert!(missing.contains("the names in `names.txt` cannot be read"), "{missing}");
    std::fs::write(folder.path().join("names.txt"), "ada\nLovelace\n").unwrap();
    let plan = Plan::new(rules.as_bytes(), folder.path(), None).unwrap();
    let out = Shared::default();
    let data =
        "note\ncall Ada Lovelace at +49 30 123456\nAda ada@example.org wrote\nAdam lovelace\n";
    run(&mut input(data, "csv"), &plan, Box::new(out.clone()), &mut |_| {}).unwrap();
    let out = String::from_utf8(out.take()).unwrap();
    assert_eq!(out, "note\ncall [person-name] at [phone]\n[email] wrote\nAdam lovelace\n");
}
