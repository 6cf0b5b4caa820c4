//! The README's commands, run as a reader would run them.
//!
//! Blocks fenced as `sh` are run, in order; others are not. A block that begins with `cargo` runs
//! at the root, except the test command itself, which has just been run. Blocks of `datapact ...`
//! run in a directory of their own that holds `results.csv`, beside a quickstart that is left
//! running; `SHARE` is the share that an earlier block made.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::tree::root;

/// How long the quickstart may take until it says where its profiles are.
const QUICKSTART_TIMEOUT: Duration = Duration::from_secs(300);
/// A file of the reader's, with personal data.
const RESULTS: &str = "name,email,born,value\n\
                       Ada Holm,ada@example.org,1980-12-10,0.5\n\
                       Ben Lund,ben@example.org,1975-03-02,0.7\n";
/// What it prints before the profiles' folder.
const HOME_VARIABLE: &str = "DATAPACT_HOME=";

/// Runs all blocks; one line for what failed.
pub(crate) fn run() -> Vec<String> {
    let text = match fs::read_to_string(root().join("README.md")) {
        Ok(text) => text,
        Err(error) => return vec![format!("cannot read README.md: {error}")],
    };
    let directory = env::temp_dir().join(format!("datapact-readme-{}", std::process::id()));
    let mut reader = Reader { directory: directory.clone(), quickstart: None, share: None };
    let outcome = reader.follow(&blocks(&text));
    drop(reader);
    let _ = fs::remove_dir_all(&directory); // a directory left behind is only untidy
    outcome.err().into_iter().collect()
}

/// A reader who follows the README.
struct Reader {
    directory: PathBuf,
    quickstart: Option<(Child, String)>,
    share: Option<String>,
}

impl Reader {
    fn follow(&mut self, blocks: &[String]) -> Result<(), String> {
        if blocks.is_empty() {
            return Err("README.md has no block fenced as `sh`".to_owned());
        }
        let failed = |error| format!("cannot prepare `{}`: {error}", self.directory.display());
        fs::create_dir_all(&self.directory).map_err(failed)?;
        fs::write(self.directory.join("results.csv"), RESULTS).map_err(failed)?;
        fs::write(self.directory.join("datapact"), stand_in()).map_err(failed)?;
        blocks.iter().try_for_each(|block| self.block(block))
    }

    fn block(&mut self, block: &str) -> Result<(), String> {
        println!("{block}");
        let mut command = Command::new("bash");
        command.stdout(Stdio::piped()).stdin(Stdio::null());
        if block.starts_with("cargo ") {
            command.current_dir(root()).args(["-euo", "pipefail", "-c", block]);
        } else {
            let home = self.home()?;
            let block = match &self.share {
                Some(share) => block.replace("SHARE", share),
                None => block.to_owned(),
            };
            let block = format!("datapact() {{ bash ./datapact \"$@\"; }}\n{block}");
            command.current_dir(&self.directory).env("DATAPACT_HOME", home);
            command.args(["-euo", "pipefail", "-c", &block]);
        }
        let output = command
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .map_err(|error| format!("cannot run `bash`: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{said}");
        if block.contains("share create") {
            self.share = identifier(&said).map(str::to_owned);
        }
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("`{}`: {}", block.trim(), output.status))
        }
    }

    /// The profiles of the quickstart that is left running; it is started first if it is not there.
    fn home(&mut self) -> Result<String, String> {
        if let Some((_, home)) = &self.quickstart {
            return Ok(home.clone());
        }
        let mut child = Command::new("bash")
            .args(["./datapact", "quickstart", "--data", "quickstart"])
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run `bash`: {error}"))?;
        let stderr = child.stderr.take();
        let (sender, receiver) = mpsc::channel();
        // It reads on to the end, so that the quickstart never blocks on a full pipe.
        thread::spawn(move || {
            for line in stderr
                .into_iter()
                .flat_map(|stderr| BufReader::new(stderr).lines())
                .map_while(Result::ok)
            {
                eprintln!("{line}");
                if let Some((_, home)) = line.split_once(HOME_VARIABLE) {
                    let _ = sender.send(home.trim().trim_matches(['"', '\'', '`']).to_owned());
                }
            }
        });
        let received = receiver.recv_timeout(QUICKSTART_TIMEOUT);
        self.quickstart = Some((child, received.clone().unwrap_or_default()));
        let home =
            received.map_err(|_| format!("the quickstart did not say `{HOME_VARIABLE}...`"))?;
        let home = self.directory.join(home).display().to_string();
        if let Some((_, folder)) = &mut self.quickstart {
            folder.clone_from(&home);
        }
        Ok(home)
    }
}

impl Drop for Reader {
    /// Ctrl-C for the quickstart, which ends its servers.
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.quickstart {
            let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            let _ = child.wait();
        }
    }
}

/// A script that is called as `datapact`.
fn stand_in() -> String {
    let manifest = Path::new(&root()).join("Cargo.toml");
    format!("exec cargo run --quiet --manifest-path '{}' -- \"$@\"\n", manifest.display())
}

/// The first word of 32 hexadecimal digits.
fn identifier(text: &str) -> Option<&str> {
    let digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.split(|c| !digit(c)).find(|word| word.len() == 32)
}

/// The blocks fenced as `sh`, without the test command.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let (mut in_fence, mut in_block) = (false, false);
    for line in text.lines() {
        if line.starts_with("```") {
            in_fence = !in_fence;
            in_block = in_fence && line.trim_end() == "```sh";
            if in_block {
                blocks.push(String::new());
            }
        } else if let (true, Some(block)) =
            (in_block && line.trim() != "cargo xtask check", blocks.last_mut())
        {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks.retain(|block| !block.trim().is_empty());
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sh_blocks_are_run_and_the_test_command_is_not() {
        let text = "a\n```sh\necho one\n```\n```sh\ncargo xtask check\n```\n\
                    ```console\n$ echo two\n```\n```sh\necho three\n```\n";
        assert_eq!(blocks(text), ["echo one\n", "echo three\n"]);
        assert_eq!(
            blocks("```text\n```\necho outside\n```sh\necho inside\n```\necho outside\n"),
            ["echo inside\n"]
        );
    }

    #[test]
    fn a_share_is_known_by_its_id() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(identifier(&format!("share {id} made, digest {id}{id}")), Some(id));
        assert_eq!(identifier(&format!("digest {id}{id}, 12ab")), None);
    }
}
