//! `completion`: what a shell needs to complete commands.

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::command::Cli;
use crate::failure::{Failure, Result};

const AFTER_HELP: &str = "\
Examples:
  source <(datapact completion bash)
  datapact completion zsh > \"${fpath[1]}/_datapact\"
  datapact completion fish > ~/.config/fish/completions/datapact.fish";

/// Print the completion script of a shell
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "datapact", &mut script);
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(&script)
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::stdout(&error))
    }
}
