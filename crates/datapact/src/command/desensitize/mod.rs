//! `desensitize`: removes from a table what identifies people, by rules (DP-1, SH-1).

mod outgoing;
mod run;
mod scan;
mod tables;

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use datapact_desensitize::format::{Input, Options};
use datapact_desensitize::rules::RULES_BYTES_MAX;
use datapact_desensitize::{Error, Plan, PseudonymKey};
use serde::Serialize;

pub(crate) use self::outgoing::{Desensitizing, Outgoing, Through};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, SecretFile};
use crate::output::fields;

/// The longest pseudonym key file, in bytes.
const KEY_BYTES_MAX: u64 = 1024;

const AFTER_HELP: &str = "\
A rule file has a rule for every column; docs/desensitization.md explains them all:
  version = 1
  [[column]]
  name = \"patient\"
  transform = \"pseudonym\"
  [[column]]
  name = \"age\"
  transform = \"generalize\"
  as = \"number\"
  bin = 10

Examples:
  datapact desensitize scan raw.csv -o rules.toml
  datapact desensitize key pseudonyms.key
  datapact desensitize run raw.csv --rules rules.toml --pseudonym-key pseudonyms.key --dry-run
  datapact desensitize run raw.csv --rules rules.toml -o clean.csv --report report.html
  datapact share create raw.csv --desensitize rules.toml --allow-country SE --times 3 --expires 30d\
";

/// Remove from a table what identifies people, by rules that you have reviewed
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Desensitize {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Scan(scan::Scan),
    Run(run::Run),
    /// Make the key from which pseudonyms come
    ///
    /// Data that are pseudonymized under one key can be joined. With the key, one can test whether
    /// a pseudonym belongs to a guessed person: keep it apart from the data.
    Key {
        /// Where to write the key, readable only by you; must not exist
        file: PathBuf,
    },
}

impl Desensitize {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self.command {
            Verb::Scan(scan) => scan.run(context),
            Verb::Run(run) => run.run(context),
            Verb::Key { file } => {
                #[derive(Serialize)]
                struct Made {
                    key: String,
                }
                SecretFile::write(&file, PseudonymKey::random().to_file().as_bytes())?.keep();
                let key = file.display().to_string();
                let text = fields(&[("pseudonym key", key.clone())]);
                context.output.result(&Made { key }, text)
            }
        }
    }
}

/// Reads a rule file and the key that it needs.
fn plan(rules: &Path, key: Option<&Path>) -> Result<Plan> {
    let file = files::read_small(rules, RULES_BYTES_MAX as u64)?;
    let key = key
        .map(|path| {
            files::check_private(path)?;
            let bytes = files::read_small(path, KEY_BYTES_MAX)?;
            PseudonymKey::from_file(&bytes).map_err(|error| failure(error, path))
        })
        .transpose()?;
    let folder = rules.parent().unwrap_or(Path::new(""));
    Plan::new(&file, folder, key).map_err(|error| failure(error, rules))
}

/// Opens the data at `path`, or standard input.
fn open(path: &Path, options: Options) -> Result<Input> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let (stream, length) = files::open_input_to_send(path)?;
    if length.is_none() {
        return Ok(Input::stream(stream, extension, options));
    }
    let file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
    Input::file(file, extension, options).map_err(|error| failure(error, path))
}

/// A failure of desensitization, where the data are the file at `path`.
pub(crate) fn failure(error: Error, path: &Path) -> Failure {
    match error {
        Error::Read(cause) => Failure::file("read", path, &cause),
        Error::Write(cause) => Failure::stdout(&cause),
        other => {
            let hint = other.hint().unwrap_or("see docs/desensitization.md");
            Failure::usage(&other, hint)
        }
    }
}
