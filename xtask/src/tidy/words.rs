//! Words that say too little in a name, or that a reader stumbles over in a text.

use super::source::{Source, blocks};
use crate::tree::TextFile;

/// Names that do not say what a type holds.
const NAMES: [&str; 6] = ["Kept", "Known", "Recorded", "Asked", "Told", "Frame"];
/// What begins an item with a name.
const ITEMS: [&str; 4] = ["struct", "enum", "type", "trait"];
/// Words, in lower case, of sentences to rewrite.
const TEXT: [&str; 5] = [
    concat!("nob", "ody"),
    concat!("some", "body"),
    concat!("who", "ever"),
    concat!("an", "ew"),
    concat!("could be", " had"),
];
/// Files that are not rewritten: the Recommendation's words, and dated decisions.
const NOT_OURS_TO_CHANGE: [&str; 2] = ["docs/conformance.md", "docs/decisions/"];

pub(crate) fn check(files: &[TextFile], sources: &[Source<'_>], findings: &mut Vec<String>) {
    for source in sources {
        names(source, findings);
    }
    let texts = files.iter().filter(|file| {
        (file.path.ends_with(".rs") || file.path.ends_with(".md"))
            && !NOT_OURS_TO_CHANGE.iter().any(|path| file.path.starts_with(path))
    });
    for file in texts {
        for (i, line) in file.text.lines().enumerate() {
            for word in TEXT.iter().filter(|word| says(line, word)) {
                findings.push(format!("{}:{}: `{word}`: rewrite the sentence", file.path, i + 1));
            }
        }
    }
}

fn names(source: &Source<'_>, findings: &mut Vec<String>) {
    let path = &source.file.path;
    for (i, line) in source.code.lines().enumerate() {
        let mut words = line.split_whitespace().skip_while(|word| !ITEMS.contains(word));
        let name = words.nth(1).unwrap_or_default();
        let name = name.split(['<', '(', '{', ':', ';']).next().unwrap_or_default();
        if NAMES.contains(&name) {
            findings.push(format!("{path}:{}: `{name}` does not say what it holds", i + 1));
        }
    }
    for (name, line, _) in blocks(&source.code, "mod") {
        if name == "together" {
            findings.push(format!("{path}:{line}: `{name}` does not say what is together"));
        }
    }
}

/// Whether the line has the word as a whole, and not as code: not in backticks, and not as part of
/// an identifier. (The system's user of that name is written in backticks or capitals.)
fn says(line: &str, word: &str) -> bool {
    let lower = line.to_lowercase();
    lower.match_indices(word).any(|(at, _)| {
        let before = lower.get(..at).and_then(|text| text.chars().next_back());
        let after = lower.get(at + word.len()..).and_then(|text| text.chars().next());
        let is_apart = |letter: Option<char>| {
            letter.is_none_or(|c| !c.is_alphanumeric() && !['_', '`', '"', ':'].contains(&c))
        };
        let is_name =
            line.get(at..at + word.len()).is_some_and(|as_is| as_is == word.to_uppercase());
        is_apart(before) && is_apart(after) && !is_name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> String {
        let file = TextFile { path: path.to_owned(), text: text.to_owned() };
        let files = [file];
        let sources = [Source::new(&files[0])];
        let mut findings = Vec::new();
        check(&files, &sources, &mut findings);
        findings.join("\n")
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        assert!(found("a.rs", "pub(crate) struct Kept<'a> {\n}\n").contains("a.rs:1: `Kept`"));
        assert!(found("a.rs", "type Told = u8;").contains("`Told`"));
        assert_eq!(found("a.rs", "struct KeptKeys;\n// struct Kept\n"), "");
    }

    #[test]
    fn sentences_to_rewrite_are_found() {
        let word = TEXT[0];
        assert!(found("a.md", &format!("so that {word} waits")).contains("a.md:1:"));
        assert!(found("a.rs", &format!("// {word}'s fault")).contains("rewrite"));
        assert_eq!(found("a.md", &format!("the user `{word}`; is_{word}")), "");
        assert_eq!(found("a.rs", "const NOBODY: u32 = 65534;"), "");
        assert_eq!(found("a.toml", word), "");
    }
}
