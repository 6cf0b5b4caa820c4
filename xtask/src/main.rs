//! The project's checks: `cargo xtask check` runs all of them. It needs the standard library alone,
//! so that it is built before anything else is.

mod check;
mod conformance;
mod contracts;
mod dist;
mod fuzz;
mod readme;
mod tidy;
mod tree;
mod vectors;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  check         all checks: fmt, tidy, conformance, deny, contracts, clippy, doc, test, fuzz
  fmt|tidy|conformance|deny|contracts|clippy|doc|test
                one of them
  fuzz [TARGET] [SECONDS]
                feeds each reader of foreign bytes, or one, what libFuzzer makes of a corpus, for 60 s each
  readme        runs the README's commands, as a reader would
  vectors NAME  writes vectors into testdata or the fuzz corpus: documents, package, token, release,
                parquet, all
  dist [--dev]  a release archive in the target folder, unpacked and run once";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = fuzz::stand_in(&arguments) {
        return code;
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let failures: Vec<String> = match *arguments.as_slice() {
        ["check"] => names(check::run(&check::ALL)),
        ["fuzz", ref rest @ ..] => {
            let seconds = rest.iter().find_map(|argument| argument.parse().ok());
            let target = rest.iter().find(|argument| argument.parse::<u64>().is_err());
            fuzz::run(target.copied(), seconds)
        }
        ["dist", ref rest @ ..] => {
            if dist::run(rest) {
                Vec::new()
            } else {
                vec!["dist".to_owned()]
            }
        }
        ["vectors", ref rest @ ..] => vectors::run(rest),
        ["readme"] => names(check::run(&[("readme", readme::run)])),
        [name] => match check::ALL.iter().find(|(step, _)| *step == name) {
            Some(step) => names(check::run(&[*step])),
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

fn names(failed: Vec<&'static str>) -> Vec<String> {
    failed.into_iter().map(str::to_owned).collect()
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
