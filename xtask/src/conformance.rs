//! `docs/conformance.md` against the tree: it lists every requirement once, and the code and tests
//! that it names exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::tree::TextFile;

/// The page.
const PAGE: &str = "docs/conformance.md";
/// The threat model, whose tables name tests too.
const THREATS: &str = "docs/security.md";

/// How many requirements each group of the Recommendation has; 113 in all.
const GROUPS: [(&str, u32); 14] = [
    ("PR", 10),
    ("US", 6),
    ("DP", 10),
    ("DC", 9),
    ("MG", 17),
    ("KS", 6),
    ("DS", 3),
    ("WR", 7),
    ("UW", 7),
    ("PM", 2),
    ("UR", 2),
    ("AC", 4),
    ("SH", 12),
    ("AX", 18),
];

/// A line of the table.
struct Row<'a> {
    id: &'a str,
    requirement: &'a str,
    code: Vec<&'a str>,
    tests: Vec<&'a str>,
    state: &'a str,
}

/// Checks the page; one line for each thing found, and the tally on standard output.
pub(crate) fn check(root: &Path, files: &[TextFile]) -> Vec<String> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else {
        return vec![format!("`{PAGE}` is missing")];
    };
    let tests: BTreeSet<&str> = files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .flat_map(|file| tests(&file.text))
        .collect();
    let mut findings = Vec::new();
    let rows = rows(&page.text, &mut findings);
    counted(&rows, &mut findings);
    for row in &rows {
        let mut found = |what: String| findings.push(format!("{}: {what}", row.id));
        for path in row.code.iter().filter(|path| !root.join(path).exists()) {
            found(format!("there is no `{path}`"));
        }
        for test in row.tests.iter().filter(|test| !tests.contains(**test)) {
            found(format!("there is no test `{test}`, or it is ignored"));
        }
        if row.requirement.is_empty() {
            found("the requirement is not described".to_owned());
        }
        match row.state {
            "done" if row.code.is_empty() || row.tests.is_empty() => {
                found("`done` must name code and a test".to_owned());
            }
            "partly" if row.code.is_empty() => found("`partly` must name code".to_owned()),
            "done" | "partly" | "not yet" => {}
            other => found(format!("`{other}` is not a state; write done, partly or not yet")),
        }
    }
    findings.extend(misnamed(&tests));
    findings.extend(threats(files, &tests));
    let count = |state| rows.iter().filter(|row| row.state == state).count();
    println!("{} done, {} partly, {} not yet", count("done"), count("partly"), count("not yet"));
    findings
}

fn ids() -> impl Iterator<Item = String> {
    GROUPS.iter().flat_map(|(group, count)| (1..=*count).map(move |i| format!("{group}-{i}")))
}

/// The lines of all tables whose first cell looks like an id.
fn rows<'a>(page: &'a str, findings: &mut Vec<String>) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        match *cells.as_slice() {
            ["ID", ..] => {}
            [rule, ..] if rule.starts_with("--") => {}
            [id, requirement, code, tests, state] => {
                rows.push(Row { id, requirement, code: quoted(code), tests: quoted(tests), state });
            }
            _ => findings.push(format!("not a line of five cells: `{line}`")),
        }
    }
    rows
}

/// The texts in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The table lists every requirement once, and nothing else.
fn counted(rows: &[Row<'_>], findings: &mut Vec<String>) {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for row in rows {
        *seen.entry(row.id).or_default() += 1;
    }
    for id in ids() {
        match seen.remove(id.as_str()) {
            Some(1) => {}
            Some(n) => findings.push(format!("{id} is listed {n} times")),
            None => findings.push(format!("{id} is missing")),
        }
    }
    findings.extend(seen.keys().map(|id| format!("`{id}` is not a requirement")));
}

/// The names of the functions that `cargo test` runs, which are not ignored.
fn tests(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || (line.starts_with("#[") && line.contains("::test")) {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            is_test = false;
        }
        let Some((before, rest)) = line.split_once("fn ") else { continue };
        let is_item = before
            .split_whitespace()
            .all(|word| ["async", "pub", "pub(crate)", "#[test]"].contains(&word));
        if is_item && is_test {
            names.extend(rest.split(['(', '<']).next());
            is_test = false;
        }
    }
    names
}

/// Tests that the threat model names and that do not exist. What is no test there has a letter that
/// no test's name has.
fn threats(files: &[TextFile], tests: &BTreeSet<&str>) -> Vec<String> {
    let Some(page) = files.iter().find(|file| file.path == THREATS) else {
        return vec![format!("`{THREATS}` is missing")];
    };
    let rows = page.text.lines().filter(|line| line.starts_with('|'));
    let is_name = |text: &&str| {
        text.contains('_')
            && text.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    let named: BTreeSet<&str> = rows.flat_map(quoted).filter(is_name).collect();
    let missing = named.into_iter().filter(|name| !tests.contains(name));
    missing.map(|name| format!("{THREATS}: there is no test `{name}`, or it is ignored")).collect()
}

/// Tests named after a requirement that does not exist.
fn misnamed(tests: &BTreeSet<&str>) -> Vec<String> {
    let wrong = |name: &&&str| {
        let mut words = name.split('_');
        let group = words.next().unwrap_or_default().to_uppercase();
        let number: Option<u32> = words.next().and_then(|word| word.parse().ok());
        let count = GROUPS.iter().find(|(known, _)| **known == group).map(|(_, count)| *count);
        matches!((count, number), (Some(count), Some(number)) if !(1..=count).contains(&number))
    };
    tests
        .iter()
        .filter(wrong)
        .map(|name| format!("test `{name}` is named after no requirement"))
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, reason = "a test says so")]
    use super::*;

    const SOURCE: &str = "#[test]\nfn a_test() {}\n\n#[tokio::test]\nasync fn pr_1_waits() {}\n\n\
                          #[test]\n#[ignore = \"slow\"]\nfn ignored() {}\n\nfn helper() {}\n";

    /// A whole table, each line as `line` makes it.
    fn table(line: impl Fn(&str) -> String) -> String {
        let head =
            "# Conformance\n\n| ID | Requirement | Code | Test | State |\n|---|---|---|---|---|\n";
        ids().fold(head.to_owned(), |text, id| text + &line(&id))
    }

    fn good(id: &str) -> String {
        format!("| {id} | Something | | | not yet |\n")
    }

    fn findings(page: &str, source: &str) -> String {
        let file =
            |path: &str, text: &str| TextFile { path: path.to_owned(), text: text.to_owned() };
        let threats = "| Part | Shown by |\n|---|---|\n| `core::jws` | `a_test`, `not_there` |\n";
        let files = [file(PAGE, page), file(THREATS, threats), file("crates/a/src/lib.rs", source)];
        check(&crate::tree::root(), &files).join("\n")
    }

    #[track_caller]
    fn refused(page: &str, expected: &str) {
        let found = findings(page, SOURCE);
        if !found.contains(expected) {
            panic!("found only: {found}");
        }
    }

    /// The table with `line` in place of PR-2's.
    #[track_caller]
    fn line_refused(line: &str, expected: &str) {
        refused(
            &table(|id| if id == "PR-2" { line.to_owned() + "\n" } else { good(id) }),
            expected,
        );
    }

    #[test]
    fn there_are_113_requirements() {
        assert_eq!(ids().count(), 113);
        assert_eq!(ids().collect::<BTreeSet<_>>().len(), 113);
    }

    #[test]
    fn a_right_table_passes() {
        let done = "| PR-2 | Something | `xtask/src/main.rs` | `a_test`, `pr_1_waits` | done |\n";
        let page = table(|id| if id == "PR-2" { done.to_owned() } else { good(id) });
        let named = "docs/security.md: there is no test `not_there`, or it is ignored";
        assert_eq!(findings(&page, SOURCE), named);
    }

    #[test]
    fn a_requirement_must_be_listed_once() {
        line_refused("", "PR-2 is missing");
        line_refused(good("PR-1").trim(), "PR-1 is listed 2 times");
        line_refused(&good("PR-11"), "`PR-11` is not a requirement");
        line_refused("| PR-2 | Something | not yet |", "not a line of five cells");
        line_refused("| PR-2 | | | | not yet |", "PR-2: the requirement is not described");
        refused("", "AX-18 is missing");
    }

    #[test]
    fn what_is_named_must_exist() {
        line_refused(
            "| PR-2 | S | `xtask/src/none.rs` | `a_test` | done |",
            "there is no `xtask/src/none.rs`",
        );
        line_refused("| PR-2 | S | `xtask` | `no_test` | done |", "there is no test `no_test`");
        line_refused("| PR-2 | S | `xtask` | `helper` | done |", "there is no test `helper`");
        line_refused("| PR-2 | S | `xtask` | `ignored` | done |", "there is no test `ignored`");
    }

    #[test]
    fn a_state_must_be_true_to_its_line() {
        line_refused("| PR-2 | S | `xtask` | | done |", "`done` must name code and a test");
        line_refused("| PR-2 | S | | `a_test` | done |", "`done` must name code and a test");
        line_refused("| PR-2 | S | | | partly |", "`partly` must name code");
        line_refused("| PR-2 | S | `xtask` | | nearly |", "`nearly` is not a state");
    }

    #[test]
    fn a_test_may_not_be_named_after_no_requirement() {
        let found = findings(&table(good), "#[test]\nfn wr_8_is_not_there() {}\n");
        assert!(found.contains("`wr_8_is_not_there` is named after no requirement"), "{found}");
    }
}
