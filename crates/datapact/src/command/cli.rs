//! The command tree. Each noun's arguments and what they do are in one file of this folder.

use clap::Parser;

use super::Command;
use crate::context::Global;

const AFTER_HELP: &str = "\
Every option of this page can also be set by its DATAPACT_* variable; the option wins.
Exit codes: 0 done, 1 defect, 2 usage, 3 refused, 4 not allowed, 5 not found, 6 conflict,
7 unavailable, 8 not to be trusted, 9 file, 10 not confirmed, 130 interrupted.";

/// Share data under terms that you sign; no key leaves without a record on the ledger (ITU-T
/// X.1410).
#[derive(Parser)]
#[command(name = "datapact", version, after_help = AFTER_HELP, propagate_version = true)]
#[command(infer_long_args = false, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::PathBuf;

    use clap::{Command, CommandFactory as _};

    use super::*;

    fn walk(command: &Command, path: &str, see: &mut dyn FnMut(&str, &Command)) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            see(path.trim(), sub);
            walk(sub, &path, see);
        }
    }

    #[test]
    fn the_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_is_specified_and_explained() {
        let specification = include_str!("../../../../docs/spec/cli.md");
        let tree = specification.split("```").nth(1).unwrap();
        walk(&Cli::command(), "", &mut |path, command| {
            let mut words = path.split(' ');
            let (noun, verb) = (words.next().unwrap(), words.next());
            let line = tree.lines().find(|line| line.split(' ').next() == Some(noun));
            let line =
                line.unwrap_or_else(|| tree.lines().find(|line| line.starts_with(noun)).unwrap());
            assert!(
                verb.is_none_or(|verb| line.contains(verb)),
                "`{path}` is not in docs/spec/cli.md"
            );
            assert!(command.get_about().is_some(), "`{path}` says nothing of itself");
            for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
                assert!(
                    argument.get_help().is_some() || argument.get_id() == "version",
                    "`{path}`: {argument}"
                );
            }
        });
    }

    #[test]
    fn nouns_teach_by_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("datapact "), "`{}` has no example", command.get_name());
        }
    }

    #[test]
    fn us_2_no_secret_is_an_argument() {
        // What names a secret is the path of a file with it: arguments are shown to every user of a
        // machine.
        walk(&Cli::command(), "", &mut |path, command| {
            for argument in command.get_arguments() {
                // Fabric's word for a contract.
                let name = argument.get_id().as_str().replace("chaincode", "");
                let secret =
                    ["passphrase", "password", "secret", "token", "code", "key_file", "pin"];
                if secret.iter().any(|word| name.contains(word)) {
                    assert!(
                        argument.get_value_parser().type_id() == std::any::TypeId::of::<PathBuf>(),
                        "{path} {name}"
                    );
                }
            }
        });
    }
}
