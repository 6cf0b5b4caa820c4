//! The README's commands, run as a reader would run them.
//!
//! A block fenced as `sh` is run, one fenced otherwise is not. Blocks share a directory with a home of their own, so
//! that one may use what an earlier one made. The test command (`cargo xtask check`) is left out: whoever runs this has
//! run it.

use std::env;
use std::fs;
use std::process::Command;

use crate::tree::root;

/// Runs all blocks, in one shell at the root.
pub(crate) fn run() -> Vec<String> {
    let text = match fs::read_to_string(root().join("README.md")) {
        Ok(text) => text,
        Err(error) => return vec![format!("cannot read README.md: {error}")],
    };
    let script = script(&text);
    if script.is_empty() {
        return vec!["README.md has no block fenced as `sh`".to_owned()];
    }
    let home = env::temp_dir().join(format!("datapact-readme-{}", std::process::id()));
    if let Err(error) = fs::create_dir_all(&home) {
        return vec![format!("cannot make `{}`: {error}", home.display())];
    }
    let status = Command::new("bash")
        .args(["-euxo", "pipefail", "-c", &script])
        .current_dir(root())
        .env("DATAPACT_HOME", &home)
        .status();
    let findings = match status {
        Ok(status) if status.success() => Vec::new(),
        Ok(status) => vec![format!("a command of the README: {status}")],
        Err(error) => vec![format!("cannot run `bash`: {error}")],
    };
    let _ = fs::remove_dir_all(&home); // a directory that stays behind harms nobody
    findings
}

/// The lines of all blocks fenced as `sh`.
fn script(text: &str) -> String {
    let mut script = String::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block && line.trim_end() == "```sh";
        } else if in_block && line.trim() != "cargo xtask check" {
            script.push_str(line);
            script.push('\n');
        }
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sh_blocks_are_run_and_the_test_command_is_not() {
        let text = "a\n```sh\necho one\ncargo xtask check\n```\n```console\n$ echo two\n```\n```sh\necho three\n```\n";
        assert_eq!(script(text), "echo one\necho three\n");
    }

    #[test]
    fn a_block_of_another_kind_does_not_open_one() {
        assert_eq!(
            script("```text\n```\necho outside\n```sh\necho inside\n```\necho outside\n"),
            "echo inside\n"
        );
    }
}
