//! One file a noun: its arguments, and what they do.

mod account;
mod backup;
mod ca;
mod catalog;
mod cli;
mod completion;
mod config;
mod desensitize;
mod doctor;
mod enrolment;
mod identity;
mod inspect;
mod join;
mod kek;
mod key;
mod ledger;
mod man;
mod notification;
mod open;
mod package;
mod profile;
mod quickstart;
mod record;
mod security;
mod serve;
mod share;
mod subscription;
mod token;
mod unwrap;
mod verify;
mod wrap;

use clap::Subcommand;

pub(crate) use cli::Cli;

use crate::context::Context;
use crate::failure::Result;

/// What the program can do.
#[derive(Subcommand)]
pub(crate) enum Command {
    Quickstart(quickstart::Quickstart),
    Share(share::Share),
    Catalog(catalog::Catalog),
    Open(open::Open),
    Record(record::Record),
    Key(key::Key),
    Package(package::Package),
    Token(token::Token),
    Subscription(subscription::Subscription),
    Notification(notification::Notification),
    Desensitize(desensitize::Desensitize),
    Wrap(wrap::Wrap),
    Unwrap(unwrap::Unwrap),
    Inspect(inspect::Inspect),
    Join(join::Join),
    Profile(profile::Profile),
    Identity(identity::Identity),
    Account(account::Account),
    Enrolment(enrolment::Enrolment),
    Ledger(ledger::Ledger),
    Verify(verify::Verify),
    Doctor(doctor::Doctor),
    Serve(serve::Serve),
    Config(config::Config),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Kek(kek::Kek),
    Security(security::Security),
    Ca(ca::Ca),
    Completion(completion::Completion),
    Man(man::Man),
}

/// Does it.
pub(crate) fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Quickstart(command) => command.run(context),
        Command::Share(command) => command.run(context),
        Command::Catalog(command) => command.run(context),
        Command::Open(command) => command.run(context),
        Command::Record(command) => command.run(context),
        Command::Key(command) => command.run(context),
        Command::Package(command) => command.run(context),
        Command::Token(command) => command.run(context),
        Command::Subscription(command) => command.run(context),
        Command::Notification(command) => command.run(context),
        Command::Desensitize(command) => command.run(context),
        Command::Wrap(command) => command.run(context),
        Command::Unwrap(command) => command.run(context),
        Command::Inspect(command) => command.run(context),
        Command::Join(command) => command.run(context),
        Command::Profile(command) => command.run(context),
        Command::Identity(command) => command.run(context),
        Command::Account(command) => command.run(context),
        Command::Enrolment(command) => command.run(context),
        Command::Ledger(command) => command.run(context),
        Command::Verify(command) => command.run(context),
        Command::Doctor(command) => command.run(context),
        Command::Serve(command) => command.run(context),
        Command::Config(command) => command.run(context),
        Command::Backup(command) => command.run(context),
        Command::Restore(command) => command.run(context),
        Command::Kek(command) => command.run(context),
        Command::Security(command) => command.run(context),
        Command::Ca(command) => command.run(context),
        Command::Completion(command) => command.run(),
        Command::Man(command) => command.run(context),
    }
}
