//! Where modules and their tests are: `foo/mod.rs` for a module with children, `tests.rs` in a
//! module's folder.

use std::collections::BTreeSet;
use std::path::Path;

use super::source::Source;

pub(crate) fn check(sources: &[Source<'_>], findings: &mut Vec<String>) {
    let folders: BTreeSet<&Path> =
        sources.iter().filter_map(|source| Path::new(&source.file.path).parent()).collect();
    for source in sources {
        let path = &source.file.path;
        if path.ends_with("_tests.rs") {
            findings.push(format!("{path}: name it `tests.rs`, in its module's folder"));
        }
        // A test program or an example may have a folder of its own beside its root.
        let folder = Path::new(path).with_extension("");
        if path.contains("/src/") && folders.contains(folder.as_path()) {
            findings.push(format!("{path}: move it to `{}/mod.rs`", folder.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TextFile;

    fn found(paths: &[&str]) -> String {
        let file = |path: &&str| TextFile { path: (*path).to_owned(), text: String::new() };
        let files: Vec<TextFile> = paths.iter().map(file).collect();
        let sources: Vec<Source<'_>> = files.iter().map(Source::new).collect();
        let mut findings = Vec::new();
        check(&sources, &mut findings);
        findings.join("\n")
    }

    #[test]
    fn there_is_one_convention_for_modules_and_one_for_tests() {
        assert_eq!(found(&["a/src/b/mod.rs", "a/src/b/c.rs", "a/src/b/tests.rs"]), "");
        assert!(found(&["a/src/b.rs", "a/src/b/c.rs"]).contains("move it to `a/src/b/mod.rs`"));
        assert!(found(&["a/src/b_tests.rs"]).contains("name it `tests.rs`"));
    }
}
