//! Subjects of commits: `area: verb ...`, short enough to be read in a list.

use std::path::Path;
use std::process::Command;

const CHARACTERS_MAX: usize = 60;
/// Commits up to this one were written before the rule.
const BEFORE_THE_RULE: &str = "3395fd5138c9e7ba2fce166901b286cbf6745737";
/// Where commits that others have already are found; these cannot be changed any more.
const SHARED: [&str; 3] = ["@{upstream}", "origin/HEAD", "origin/main"];

/// Checks the commits that are not shared yet; where that cannot be known, those since the rule.
/// A shallow clone, which may lack both, has nothing to check.
pub(crate) fn check(root: &Path, findings: &mut Vec<String>) {
    let base = SHARED.into_iter().chain([BEFORE_THE_RULE]).find(|name| {
        let name = format!("{name}^{{commit}}");
        git(root, &["rev-parse", "--verify", "--quiet", &name]).is_some()
    });
    let Some(base) = base else { return };
    let range = format!("{base}..HEAD");
    let log = git(root, &["log", "--no-merges", "--format=%h %s", &range]).unwrap_or_default();
    for line in log.lines() {
        let Some((commit, subject)) = line.split_once(' ') else { continue };
        findings.extend(wrong(subject).map(|why| format!("commit {commit}: `{subject}`: {why}")));
    }
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn wrong(subject: &str) -> Option<&'static str> {
    if subject.chars().count() > CHARACTERS_MAX {
        return Some("longer than 60 characters");
    }
    let is_word = |word: &str| {
        !word.is_empty()
            && word.chars().all(|c| c.is_ascii_lowercase() || "0123456789-/.".contains(c))
    };
    match subject.split_once(": ") {
        Some((area, rest)) if is_word(area) && rest.starts_with(|c: char| c.is_lowercase()) => None,
        _ => Some("not of the form `area: verb ...`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_its_area_and_is_short() {
        assert_eq!(wrong("store: own connections by threads"), None);
        assert!(wrong("Own connections by threads").is_some());
        assert!(wrong("store: Own connections").is_some());
        assert!(wrong("store:own").is_some());
        assert!(wrong(&format!("store: {}", "x".repeat(54))).is_some());
        assert_eq!(wrong(&format!("store: {}", "x".repeat(53))), None);
    }
}
