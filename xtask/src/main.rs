//! The project's checks: `cargo xtask check` runs all of them. It needs the standard library alone, so that it is
//! built before anything else is.

mod check;
mod conformance;
mod contracts;
mod readme;
mod tidy;
mod tree;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check         all checks: fmt, tidy, conformance, deny, contracts, clippy, doc, test
  fmt|tidy|conformance|deny|contracts|clippy|doc|test
                one of them
  readme        runs the README's commands, as a reader would";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let failures = match *arguments.as_slice() {
        ["check"] => check::run(&check::ALL),
        ["readme"] => check::run(&[("readme", readme::run)]),
        [name] => match check::ALL.iter().find(|(step, _)| *step == name) {
            Some(step) => check::run(&[*step]),
            None => return usage(),
        },
        _ => return usage(),
    };
    if failures.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("\nfailed: {}", failures.join(", "));
    ExitCode::FAILURE
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
