//! How the steps start cargo and other programs.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::environment::Environment;
use crate::tree::root;

/// Cargo at the root of the checkout, with the programs that the checks need in its PATH.
pub(crate) fn cargo(environment: &Environment) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).envs(environment.variables());
    command
}

/// Runs a command whose output goes where ours goes; one line if it fails.
pub(crate) fn run(command: &mut Command) -> Vec<String> {
    let status = command.status();
    failure(command, status)
}

/// The same, and every line of its standard output goes to `line`, too.
pub(crate) fn run_reading(command: &mut Command, mut line: impl FnMut(&str)) -> Vec<String> {
    let started = command.stdout(Stdio::piped()).spawn();
    let status = started.and_then(|mut child| {
        let output = child.stdout.take();
        for text in
            output.into_iter().flat_map(|out| BufReader::new(out).lines()).map_while(Result::ok)
        {
            println!("{text}");
            line(&text);
        }
        child.wait()
    });
    failure(command, status)
}

/// Whether a program can be started and succeeds; what it says is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

fn failure(command: &Command, status: std::io::Result<std::process::ExitStatus>) -> Vec<String> {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let words = command.get_args().map(|word| word.to_string_lossy());
    let line = std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ");
    match status {
        Ok(status) if status.success() => Vec::new(),
        Ok(status) => vec![format!("`{line}`: {status}")],
        Err(error) => vec![format!("cannot run `{line}`: {error}")],
    }
}
