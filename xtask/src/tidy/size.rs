//! How long files and lines are, and how much a struct and a trait hold.

use super::source::{Source, blocks};

const FILE_LINES_MAX: usize = 400;
const LINE_CHARACTERS_MAX: usize = 100;
/// A longer word, such as an address or a digest, cannot be broken.
const UNBREAKABLE: usize = 60;
const FIELDS_MAX: usize = 10;
const METHODS_MAX: usize = 8;

/// Files that may be longer: flat tables, which are read by looking one line up.
const FLAT_TABLES: [(&str, &str); 1] =
    [("crates/datapact-core/tests/contract/cases.rs", "the corpus of decisions, case by case")];

pub(crate) fn check(sources: &[Source<'_>], findings: &mut Vec<String>) {
    for source in sources {
        file(source, findings);
        lines(source, findings);
        if source.file.path.starts_with("crates/datapact-server/src/") && !source.is_test() {
            structs(source, findings);
        }
        if source.file.path.starts_with("crates/datapact-api/src/") && !source.is_test() {
            traits(source, findings);
        }
    }
}

fn file(source: &Source<'_>, findings: &mut Vec<String>) {
    let path = &source.file.path;
    let lines = source.file.text.lines().count();
    let is_table = FLAT_TABLES.iter().any(|(table, _)| table == path);
    if lines > FILE_LINES_MAX && !is_table {
        findings.push(format!("{path}: {lines} lines; split it by subject"));
    }
}

/// Strings are broken by a backslash, but raw ones and long words cannot be.
fn lines(source: &Source<'_>, findings: &mut Vec<String>) {
    let raw = &source.begins_in_raw_string;
    for (i, line) in source.file.text.lines().enumerate() {
        let width = line.chars().count();
        let is_broken = width <= LINE_CHARACTERS_MAX
            || raw.get(i) == Some(&true)
            || line.split_whitespace().any(|word| word.chars().count() > UNBREAKABLE);
        if !is_broken {
            findings.push(format!("{}:{}: {width} characters wide", source.file.path, i + 1));
        }
    }
}

fn structs(source: &Source<'_>, findings: &mut Vec<String>) {
    for (name, line, body) in blocks(source.product(), "struct") {
        let fields = at_depth_0(body).filter(|line| is_field(line)).count();
        if fields > FIELDS_MAX {
            let path = &source.file.path;
            findings.push(format!("{path}:{line}: `{name}` has {fields} fields"));
        }
    }
}

fn is_field(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("pub").map_or(line, |rest| match rest.split_once(") ") {
        Some((scope, field)) if scope.starts_with('(') => field,
        _ => rest,
    });
    let Some((name, kind)) = line.split_once(':') else { return false };
    let name = name.trim();
    !kind.starts_with(':')
        && !name.is_empty()
        && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn traits(source: &Source<'_>, findings: &mut Vec<String>) {
    for (name, line, body) in blocks(source.product(), "trait") {
        let methods = at_depth_0(body).filter(|line| is_method(line)).count();
        if methods > METHODS_MAX {
            let path = &source.file.path;
            findings.push(format!("{path}:{line}: `{name}` has {methods} methods"));
        }
    }
}

fn is_method(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("fn ") || line.starts_with("async fn ")
}

/// The lines that are in no inner braces, brackets or parentheses.
fn at_depth_0(body: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i64;
    body.lines().filter(move |line| {
        let before = depth;
        for letter in line.chars() {
            match letter {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
        }
        before == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TextFile;

    fn found(path: &str, text: &str) -> String {
        let file = TextFile { path: path.to_owned(), text: text.to_owned() };
        let mut findings = Vec::new();
        check(&[Source::new(&file)], &mut findings);
        findings.join("\n")
    }

    #[test]
    fn a_long_file_is_found_unless_it_is_a_flat_table() {
        assert_eq!(found("crates/a/src/b.rs", &"\n".repeat(400)), "");
        assert!(found("crates/a/src/b.rs", &"\n".repeat(401)).contains("401 lines"));
        assert_eq!(found(FLAT_TABLES[0].0, &"\n".repeat(401)), "");
    }

    #[test]
    fn a_wide_line_is_found_unless_it_cannot_be_broken() {
        let words = "word ".repeat(21);
        assert!(found("a.rs", &format!("// {words}")).contains("a.rs:1: 108 characters wide"));
        assert!(found("a.rs", &format!("f(\"{words}\")")).contains("wide"));
        assert_eq!(found("a.rs", &format!("r\"\n{words}\"")), "");
        assert_eq!(found("a.rs", &format!("f(\"{}\")", "x".repeat(120))), "");
    }

    #[test]
    fn a_struct_of_eleven_fields_and_a_trait_of_nine_methods_are_found() {
        let fields = |n: usize| "    pub(crate) a: B<c::D>,\n".repeat(n);
        let path = "crates/datapact-server/src/a.rs";
        assert_eq!(found(path, &format!("struct A {{\n{}}}\n", fields(10))), "");
        let text = format!("pub struct A {{\n{}}}\n", fields(11));
        assert!(found(path, &text).contains("a.rs:1: `A` has 11 fields"), "{}", found(path, &text));
        let methods = |n: usize| "    /// fn\n    async fn a(\n        b: u8,\n    );\n".repeat(n);
        let path = "crates/datapact-api/src/a.rs";
        assert_eq!(found(path, &format!("pub trait A: B {{\n{}}}\n", methods(8))), "");
        assert!(found(path, &format!("trait A {{\n{}}}\n", methods(9))).contains("9 methods"));
    }
}
