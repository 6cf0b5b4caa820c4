//! The project's checks: `cargo xtask check` runs all of them. It needs the standard library alone,
//! so that it is built before anything else is.

mod cargo;
mod check;
mod conformance;
mod contracts;
mod dist;
mod environment;
mod fuzz;
mod outcome;
mod readme;
mod soak;
mod tidy;
mod tree;
mod vectors;

use std::process::ExitCode;

use environment::Environment;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check         all checks: lock, fmt, tidy, conformance, deny, contracts, clippy, doc, test, fuzz
  lock|fmt|tidy|conformance|deny|contracts|clippy|doc|test
                one of them
  ci            all checks and the README's commands
  env           sets up what the checks need, and prints it as a shell's exports
  fuzz [TARGET] [SECONDS]
                gives libFuzzer each reader of foreign bytes, or one, for 60 s each
  readme        runs the README's commands, as a reader would
  soak [--minutes N]
                an honest user among a thousand hostile clients, for an hour unless told otherwise
  vectors NAME  writes vectors into testdata or the fuzz corpus: documents, package, token, release,
                parquet, all
  dist [--dev]  a release archive in the target folder, unpacked and run once";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo may have started this program in place of rustc.
    if let Some(code) = fuzz::stand_in(&arguments) {
        return code;
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let succeeded = match *arguments.as_slice() {
        ["check"] => prepared(|environment| check::run(&check::ALL, environment)),
        ["ci"] => {
            let steps = [&check::ALL[..], &[check::README]].concat();
            prepared(|environment| check::run(&steps, environment))
        }
        ["env"] => print_environment(),
        ["fuzz", ref rest @ ..] => {
            let seconds = rest.iter().find_map(|argument| argument.parse().ok());
            let target = rest.iter().find(|argument| argument.parse::<u64>().is_err());
            told(&fuzz::run(target.copied(), seconds))
        }
        ["dist", ref rest @ ..] => dist::run(rest),
        ["soak", ref rest @ ..] => told(&soak::run(rest)),
        ["vectors", ref rest @ ..] => told(&vectors::run(rest)),
        ["readme"] => check::run(&[check::README], &Environment::default()),
        [name] => match check::ALL.iter().find(|(step, _)| *step == name) {
            Some(step) if check::NEEDS_SETUP.contains(&name) => {
                prepared(|environment| check::run(&[*step], environment))
            }
            Some(step) => check::run(&[*step], &Environment::default()),
            None => return usage(),
        },
        _ => return usage(),
    };
    if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the variables alone on standard output; what is said about them goes to standard error.
fn print_environment() -> bool {
    prepared(|environment| {
        environment.print();
        true
    })
}

/// Runs something once everything that the checks need is there.
fn prepared(run: impl FnOnce(&Environment) -> bool) -> bool {
    match Environment::prepare() {
        Ok(environment) => run(&environment),
        Err(lacking) => told(&lacking),
    }
}

/// Prints findings; whether there are none.
fn told(findings: &[String]) -> bool {
    for finding in findings {
        eprintln!("{finding}");
    }
    findings.is_empty()
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
