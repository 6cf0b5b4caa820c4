//! `man`: the manual pages.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};

use crate::command::Cli;
use crate::context::Context;
use crate::failure::{Failure, Result};

const AFTER_HELP: &str = "\
Writes a page for the program and one for each command.

Example:
  datapact man ~/.local/share/man/man1";

/// Write the manual pages
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Man {
    /// The folder to write them to; made if it is not there
    folder: PathBuf,
}

#[derive(serde::Serialize)]
struct Written {
    folder: PathBuf,
}

impl Man {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let failed = |error| Failure::file("write", &self.folder, &error);
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        clap_mangen::generate_to(Cli::command(), &self.folder).map_err(failed)?;
        let text = self.folder.display().to_string();
        context.output.result(&Written { folder: self.folder }, text)
    }
}
