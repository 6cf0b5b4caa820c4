//! What no compiler looks at: paths of a machine, unfinished places, links between pages, and what
//! keeps the code easy to find one's way in.

mod commits;
mod crates;
mod cycles;
mod layout;
mod size;
mod source;
mod words;

use std::env;
use std::path::Path;

use source::Source;

use crate::tree::TextFile;

/// Hosts of package registries: tools find these themselves, and a mirror is configured elsewhere.
const REGISTRIES: [&str; 7] = [
    concat!("//crates", ".io"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("pypi", ".org"),
    concat!("registry.npmjs", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("deb.debian", ".org"),
];

/// Places that are not finished.
const UNFINISHED: [&str; 4] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("FIX", "ME"),
    concat!("dbg", "!("),
];

/// Checks all files; one line for each thing found.
pub(crate) fn check(root: &Path, files: &[TextFile]) -> Vec<String> {
    let places = places(root);
    let mut findings = Vec::new();
    for file in files {
        lines(file, &places, &mut findings);
        if file.path.ends_with(".md") {
            links(root, file, &mut findings);
        }
    }
    specifications(files, &mut findings);
    findings.extend(structure(root, files));
    findings
}

/// What keeps the code as it was designed.
fn structure(root: &Path, files: &[TextFile]) -> Vec<String> {
    let sources: Vec<Source<'_>> =
        files.iter().filter(|file| file.path.ends_with(".rs")).map(Source::new).collect();
    let mut findings = Vec::new();
    layout::check(&sources, &mut findings);
    size::check(&sources, &mut findings);
    words::check(files, &sources, &mut findings);
    cycles::check(&sources, &mut findings);
    if root.join("Cargo.toml").is_file() {
        crates::check(root, &mut findings);
        commits::check(root, &mut findings);
    }
    findings
}

/// Directories that only this machine has: homes, and where the checkout lies.
fn places(root: &Path) -> Vec<String> {
    let mut places = vec![concat!("/ro", "ot/").to_owned(), concat!("/Use", "rs/").to_owned()];
    let home = env::var("HOME").unwrap_or_default();
    let checkout = root.parent().map(|parent| parent.display().to_string()).unwrap_or_default();
    for place in [home, checkout] {
        let place = format!("{}/", place.trim_end_matches('/'));
        if !["/", "/tmp/", "/var/tmp/", "/home/", "/src/"].contains(&place.as_str()) {
            places.push(place);
        }
    }
    places
}

fn lines(file: &TextFile, places: &[String], findings: &mut Vec<String>) {
    // A lock file names where packages come from; that is its purpose.
    if file.path.ends_with(".lock") || file.path.ends_with("go.sum") {
        return;
    }
    for (i, line) in file.text.lines().enumerate() {
        let mut found = |what: &str, text: &str| {
            findings.push(format!("{}:{}: {what} `{text}`", file.path, i + 1));
        };
        for place in places.iter().filter(|place| line.contains(place.as_str())) {
            found("a path of one machine:", place);
        }
        for host in REGISTRIES.iter().filter(|host| line.contains(**host)) {
            found("a registry's host:", host);
        }
        for mark in UNFINISHED.iter().filter(|mark| line.contains(**mark)) {
            found("unfinished:", mark);
        }
    }
}

/// Relative links of a page must lead somewhere.
fn links(root: &Path, file: &TextFile, findings: &mut Vec<String>) {
    let directory = root.join(&file.path);
    let directory = directory.parent().unwrap_or(root);
    for target in link_targets(&file.text) {
        let path = target.split('#').next().unwrap_or_default();
        let elsewhere = target.contains("://") || target.starts_with("mailto:") || path.is_empty();
        if !elsewhere && !directory.join(path).exists() {
            findings.push(format!("{}: the link to `{target}` leads nowhere", file.path));
        }
    }
}

/// What is in `](...)`, outside of code blocks.
fn link_targets(text: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if !in_code {
            targets.extend(
                line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(t, _)| t),
            );
        }
    }
    targets
}

/// ARCHITECTURE.md leads to every specification.
fn specifications(files: &[TextFile], findings: &mut Vec<String>) {
    let architecture = files.iter().find(|file| file.path == "ARCHITECTURE.md");
    let targets = architecture.map(|file| link_targets(&file.text)).unwrap_or_default();
    let pages = files
        .iter()
        .filter(|file| file.path.starts_with("docs/spec/") && file.path.ends_with(".md"));
    for page in pages.filter(|page| !targets.contains(&page.path.as_str())) {
        findings.push(format!("{}: ARCHITECTURE.md does not link to it", page.path));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, reason = "a test says so")]
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }

    fn findings(files: &[TextFile]) -> String {
        check(Path::new("/nowhere/checkout"), files).join("\n")
    }

    #[track_caller]
    fn refused(path: &str, text: &str, expected: &str) {
        let found = findings(&[file(path, text)]);
        if !found.contains(expected) {
            panic!("`{text}` gave: {found}");
        }
    }

    #[test]
    fn a_machines_path_a_registry_and_an_unfinished_place_are_found() {
        refused("a.md", "see /nowhere/notes", "a.md:1: a path of one machine: `/nowhere/`");
        refused(
            "a.toml",
            concat!("\nurl = \"https://pypi", ".org/simple\""),
            "a.toml:2: a registry's host",
        );
        refused("a.rs", concat!("fn f() { todo", "!() }"), "unfinished");
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        refused("a.md", "[b](b.md#part)", "the link to `b.md#part` leads nowhere");
        assert_eq!(
            findings(&[file("a.md", "[b](https://example.org) [c](#part)\n```\n[d](e)\n```")]),
            ""
        );
    }

    #[test]
    fn a_specification_without_a_link_is_found() {
        refused("docs/spec/x.md", "# X", "ARCHITECTURE.md does not link to it");
    }

    #[test]
    fn a_lock_file_may_name_its_registry() {
        assert_eq!(findings(&[file("a.lock", concat!("index.crates", ".io"))]), "");
    }
}
