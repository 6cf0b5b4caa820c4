//! What crates may not depend on.

use std::path::Path;
use std::process::Command;

/// Crates that build without any database.
const WITHOUT_SQL: [&str; 2] = ["datapact-client", "datapact-chaincode"];
/// How the names of crates for databases begin.
const SQL: [&str; 7] =
    ["sea-", "sqlx", "rusqlite", "libsqlite3", "postgres", "tokio-postgres", "diesel"];

pub(crate) fn check(root: &Path, findings: &mut Vec<String>) {
    for name in WITHOUT_SQL {
        if !root.join("crates").join(name).is_dir() {
            findings.push(format!("there is no crate `{name}`"));
            continue;
        }
        let tree = Command::new("cargo")
            .args(["tree", "--offline", "--package", name, "--all-features"])
            .args(["--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
            .current_dir(root)
            .output();
        match tree {
            Ok(output) if output.status.success() => {
                databases(name, &String::from_utf8_lossy(&output.stdout), findings);
            }
            // A machine that has not yet fetched the dependencies; the step `lock` does.
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let said = said.lines().next().unwrap_or_default().to_owned();
                findings.push(format!("`cargo tree --package {name}`: {said}"));
            }
            Err(error) => findings.push(format!("cannot run cargo: {error}")),
        }
    }
}

fn databases(of: &str, tree: &str, findings: &mut Vec<String>) {
    let mut found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| SQL.iter().any(|start| name.starts_with(start)))
        .collect();
    found.sort_unstable();
    found.dedup();
    if !found.is_empty() {
        findings.push(format!("{of} depends on databases: {}", found.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_among_the_dependencies_is_found_once() {
        let mut findings = Vec::new();
        databases(
            "a",
            "a v0.1.0 (/a)\nrusqlite v0.37.0\nserde v1.0.0\nrusqlite v0.37.0 (*)",
            &mut findings,
        );
        assert_eq!(findings, ["a depends on databases: rusqlite"]);
        findings.clear();
        databases("a", "a v0.1.0\nserde v1.0.0\n", &mut findings);
        assert!(findings.is_empty());
    }
}
