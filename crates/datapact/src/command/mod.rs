//! One file a noun: its arguments, and what they do.

mod completion;
mod inspect;
mod profile;
mod unwrap;
mod wrap;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Result;

/// What the program can do.
#[derive(Subcommand)]
pub(crate) enum Command {
    Wrap(wrap::Wrap),
    Unwrap(unwrap::Unwrap),
    Inspect(inspect::Inspect),
    Profile(profile::Profile),
    Completion(completion::Completion),
}

/// Does it.
pub(crate) fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Wrap(command) => command.run(context),
        Command::Unwrap(command) => command.run(context),
        Command::Inspect(command) => command.run(context),
        Command::Profile(command) => command.run(context),
        Command::Completion(command) => command.run(),
    }
}
