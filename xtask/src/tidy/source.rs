//! Rust source as far as the textual checks need it: what is code, comment and string.

use std::path::Path;

use crate::tree::TextFile;

/// A file of Rust with its code apart from comments and strings.
pub(crate) struct Source<'a> {
    /// The file.
    pub(crate) file: &'a TextFile,
    /// The text with blanks in place of comments and of what is in quotes; every line is as long as
    /// in the file.
    pub(crate) code: String,
    /// For each line whether it begins inside a raw string, which cannot be broken.
    pub(crate) begins_in_raw_string: Vec<bool>,
}

/// Where the reader is.
enum Place {
    Code,
    LineComment,
    BlockComment(u32),
    Text,
    /// With so many `#`.
    RawText(usize),
}

impl<'a> Source<'a> {
    /// Reads a file.
    pub(crate) fn new(file: &'a TextFile) -> Self {
        let letters: Vec<char> = file.text.chars().collect();
        let mut code = String::with_capacity(file.text.len());
        let mut begins_in_raw_string = vec![false];
        let mut place = Place::Code;
        let mut at = 0;
        while let Some(&letter) = letters.get(at) {
            let rest = letters.get(at..).unwrap_or_default();
            let (width, shown, next) = step(&place, rest);
            for &taken in rest.iter().take(width) {
                if taken == '\n' {
                    code.push('\n');
                    let raw = matches!(next.as_ref().unwrap_or(&place), Place::RawText(_));
                    begins_in_raw_string.push(raw);
                } else {
                    code.push(if shown { taken } else { ' ' });
                }
            }
            debug_assert!(width > 0, "{letter}");
            place = next.unwrap_or(place);
            at += width;
        }
        Self { file, code, begins_in_raw_string }
    }

    /// Whether it is of tests, by its place.
    pub(crate) fn is_test(&self) -> bool {
        let mut folders = Path::new(&self.file.path).components();
        folders.any(|part| {
            let part = part.as_os_str().to_string_lossy();
            ["tests", "tests.rs", "testing", "testing.rs", "examples", "benches"].contains(&&*part)
        })
    }

    /// The code without a module of tests at its end.
    pub(crate) fn product(&self) -> &str {
        let mark = "\n#[cfg(test)]\nmod ";
        // A module of tests in a file of its own is only named here, and the code goes on.
        let inline = self.code.match_indices(mark).find(|(at, _)| {
            let name = self.code.get(at + mark.len()..).unwrap_or_default();
            name.lines().next().is_some_and(|line| line.ends_with('{'))
        });
        inline.and_then(|(at, _)| self.code.get(..at)).unwrap_or(&self.code)
    }
}

/// How many letters come next, whether they are code, and where the reader is then, if elsewhere.
fn step(place: &Place, rest: &[char]) -> (usize, bool, Option<Place>) {
    let starts = |with: &str| rest.iter().copied().take(with.len()).eq(with.chars());
    match place {
        Place::Code if starts("//") => (2, false, Some(Place::LineComment)),
        Place::Code if starts("/*") => (2, false, Some(Place::BlockComment(1))),
        Place::Code if starts("\"") => (1, true, Some(Place::Text)),
        Place::Code if starts("r\"") || starts("r#") => match raw_hashes(rest) {
            Some(hashes) => (hashes + 2, true, Some(Place::RawText(hashes))),
            None => (1, true, None),
        },
        Place::Code if starts("'") => (character(rest), true, None),
        Place::Code => (1, true, None),
        Place::LineComment if starts("\n") => (1, false, Some(Place::Code)),
        Place::BlockComment(1) if starts("*/") => (2, false, Some(Place::Code)),
        Place::BlockComment(depth) if starts("*/") => {
            (2, false, Some(Place::BlockComment(depth - 1)))
        }
        Place::BlockComment(depth) if starts("/*") => {
            (2, false, Some(Place::BlockComment(depth + 1)))
        }
        Place::Text if starts("\\") => (2, false, None),
        Place::Text if starts("\"") => (1, true, Some(Place::Code)),
        Place::RawText(hashes) if starts("\"") && ends_raw(rest, *hashes) => {
            (hashes + 1, true, Some(Place::Code))
        }
        Place::LineComment | Place::BlockComment(_) | Place::Text | Place::RawText(_) => {
            (1, false, None)
        }
    }
}

/// The `#`s of a raw string that begins here; none for a raw identifier.
fn raw_hashes(rest: &[char]) -> Option<usize> {
    let hashes = rest.iter().skip(1).take_while(|letter| **letter == '#').count();
    (rest.get(hashes + 1) == Some(&'"')).then_some(hashes)
}

fn ends_raw(rest: &[char], hashes: usize) -> bool {
    rest.iter().skip(1).take_while(|letter| **letter == '#').count() >= hashes
}

/// The length of a character in quotes, or 1 for the mark of a lifetime.
fn character(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', _, tail @ ..] => {
            3 + tail.iter().position(|letter| *letter == '\'').map_or(0, |end| end + 1)
        }
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
}

/// The parts between braces that follow `keyword NAME` in code: the name, the line, and the text.
pub(crate) fn blocks<'a>(code: &'a str, keyword: &str) -> Vec<(&'a str, usize, &'a str)> {
    let mut found = Vec::new();
    let mut line_start = 0;
    for (i, line) in code.split_inclusive('\n').enumerate() {
        let start = line_start;
        line_start += line.len();
        let mut words = line.split_whitespace();
        if words.by_ref().all(|word| word != keyword) {
            continue;
        }
        let Some(name) = words.next() else { continue };
        let name = name.split(['<', '(', '{', ':', ';']).next().unwrap_or_default();
        let rest = code.get(start..).unwrap_or_default();
        let Some(open) = rest.find(['{', ';']) else { continue };
        if rest.as_bytes().get(open) == Some(&b'{') {
            found.push((name, i + 1, braced(rest.get(open..).unwrap_or_default())));
        }
    }
    found
}

/// What is between the brace with which the text begins and the one that closes it.
fn braced(text: &str) -> &str {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return text.get(1..at).unwrap_or_default();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let file = TextFile { path: "crates/a/src/lib.rs".to_owned(), text: text.to_owned() };
        assert_eq!(Source::new(&file).code, expected);
    }

    #[test]
    fn comments_and_strings_are_blank() {
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d */ e", "a                   e");
        check("f(\"x \\\" y\", z)", "f(\"      \", z)");
        check("f(r#\"x \" y\"#, z)", "f(r#\"     \"#, z)");
        check("let c = '\"'; let d = '\\''; x::<'a>(b)", "let c = '\"'; let d = '\\''; x::<'a>(b)");
        check("r#type", "r#type");
    }

    #[test]
    fn lines_of_raw_strings_are_known() {
        let text = "a\nr\"b\nc\"\nd".to_owned();
        let file = TextFile { path: String::new(), text };
        assert_eq!(Source::new(&file).begins_in_raw_string, [false, false, true, false]);
    }

    #[test]
    fn blocks_are_found_by_their_keyword() {
        let code = "struct A;\npub struct B<T> {\n    c: T,\n}\nstruct D(u8);\n";
        assert_eq!(blocks(code, "struct"), [("B", 2, "\n    c: T,\n")]);
    }
}
