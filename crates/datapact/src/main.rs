//! The `datapact` command: servers, provider and consumer. `docs/spec/cli.md` specifies it.

mod audit_text;
mod command;
mod context;
mod doctor;
mod failure;
mod files;
mod interrupt;
mod media_type;
mod output;
mod price;
mod terms;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

use crate::command::Cli;
use crate::context::Context;
use crate::failure::Failure;

/// Servers allocate and free many short documents from several threads; see `docs/benchmarks.md`.
/// What is freed is overwritten: keys and plaintexts are in buffers of libraries, too.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    // One provider for every TLS connection and certificate; a second one must never be chosen by
    // accident.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    interrupt::watch();
    let (json, result) = match Cli::try_parse() {
        Ok(cli) => {
            let json = cli.global.json;
            (json, command::run(cli.command, &Context::new(cli.global)))
        }
        Err(error) if error.use_stderr() => {
            let json = asks_for_json();
            if !json {
                let _ = error.print();
                return ExitCode::from(failure::USAGE);
            }
            (json, Err(usage(&error)))
        }
        // Help and version: a closed pipe is the reader's business.
        Err(error) => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::print_failure(&failure, json);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Whether `--json` is wanted, although the arguments as a whole cannot be understood.
fn asks_for_json() -> bool {
    let mut arguments = std::env::args_os().skip(1).take_while(|argument| argument != "--");
    let said = |value: OsString| {
        !matches!(value.to_str(), Some("" | "0" | "n" | "no" | "f" | "false" | "off"))
    };
    arguments.any(|argument| argument == "--json")
        || std::env::var_os("DATAPACT_JSON").is_some_and(said)
}

/// What clap says, as a failure of ours: its first paragraph, without the usage lines.
fn usage(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage("a subcommand is missing", "add `--help` to see which there are");
    }
    let text = error.to_string();
    let detail = text.split("\n\n").next().unwrap_or_default();
    let detail = detail.strip_prefix("error: ").unwrap_or(detail);
    Failure::usage(
        detail.split_whitespace().collect::<Vec<_>>().join(" "),
        "add `--help` to see what is allowed",
    )
}
