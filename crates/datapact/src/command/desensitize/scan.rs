//! `desensitize scan`: proposes rules by what a table's headers and values look like.

use std::io::Write as _;
use std::path::{Path, PathBuf, absolute};

use clap::Args;
use datapact_desensitize::detect::Names;
use datapact_desensitize::format::Options;
use datapact_desensitize::proposal::{Evidence, scan};
use datapact_desensitize::rules::Transform;
use serde::Serialize;

use super::{failure, open};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, NewFile, Stdout};
use crate::output::table;

/// Propose rules for a file, by what its headers and a sample of its values look like
///
/// Finds columns of e-mail addresses, telephone numbers, payment cards, IBANs, national
/// identifiers, dates of birth, addresses and more, and free text that contains any of these.
/// Examples show only the form of values, `9` for digits and `x` for letters. Where it is not sure,
/// the rule is marked `review`: read it, correct it, and remove the mark. Names of people are found
/// by headers, and in free text only those of `--names`.
#[derive(Args)]
pub(super) struct Scan {
    /// The file, or `-` for standard input
    file: PathBuf,
    /// Where to write the rules (TOML), or `-` for standard output
    #[arg(long, short, value_name = "RULES")]
    output: Option<PathBuf>,
    /// The file is CSV without a header: its first record is data
    #[arg(long)]
    no_header: bool,
    /// Names of people to look for in free text, one a line (UTF-8); the rules name this file, too
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
}

#[derive(Serialize)]
struct Scanned<'a> {
    records: u64,
    columns: &'a [Evidence],
    rules: Option<String>,
}

impl Scan {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let names = self.names.as_deref().map(|names| self.read_names(names)).transpose()?;
        let options = Options { header: self.no_header.then_some(false), ..Options::default() };
        let mut input = open(&self.file, options.clone())?;
        let to_stdout = self.output.as_deref().is_some_and(files::is_stream);
        let bar = context.output.beside_data(to_stdout).progress("scanning", input.length());
        let proposal = scan(&mut input, names.as_ref(), &mut |done| bar.set_position(done));
        bar.finish_and_clear();
        let mut proposal = proposal.map_err(|error| failure(error, &self.file))?;
        proposal.rules.options.header = options.header;
        let mut rules = proposal.rules.to_toml();
        if !rules.ends_with('\n') {
            rules.push('\n');
        }
        match self.output.as_deref() {
            Some(path) if !to_stdout => {
                let mut file = NewFile::create(path, false, &context.output)?;
                file.write_all(rules.as_bytes())
                    .map_err(|error| Failure::file("write", path, &error))?;
                file.keep()?;
            }
            Some(_) => Stdout::new(false)
                .write_all(rules.as_bytes())
                .map_err(|error| Failure::stdout(&error))?,
            None => {}
        }
        let keyed = proposal.rules.columns.iter().any(|rule| rule.transform.needs_key());
        let text = text(&proposal.columns, proposal.records)
            + &next(&self.file, self.output.as_deref(), keyed);
        let scanned = Scanned {
            records: proposal.records,
            columns: &proposal.columns,
            rules: self.output.as_deref().map(|path| path.display().to_string()),
        };
        if to_stdout {
            context.output.result_beside_data(&scanned, text);
            return Ok(());
        }
        context.output.result(&scanned, text)
    }
}

impl Scan {
    /// Rule files name other files relative to their own folder.
    fn read_names(&self, names: &Path) -> Result<Names> {
        let beside = self
            .output
            .as_deref()
            .and_then(Path::parent)
            .is_none_or(|folder| folder == Path::new(""));
        let file = if beside {
            names.to_owned()
        } else {
            absolute(names).map_err(|e| Failure::file("read", names, &e))?
        };
        Names::read(&file, Path::new("")).map_err(|error| failure(error, names))
    }
}

fn text(columns: &[Evidence], records: u64) -> String {
    let rows: Vec<[String; 6]> = columns
        .iter()
        .map(|column| {
            [
                column.name.clone(),
                column.found.unwrap_or("-").to_owned(),
                format!("{:.2}", column.confidence),
                column.transform.to_owned(),
                column.examples.first().cloned().unwrap_or_default(),
                column.review.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let mut text = table(["COLUMN", "FOUND", "SURE", "RULE", "LOOKS LIKE", "REVIEW"], &rows);
    let marked = columns.iter().filter(|column| column.review.is_some()).count();
    let kept = columns.iter().filter(|column| column.transform == Transform::Keep.name()).count();
    text.push_str(&format!(
        "\n{records} records, {} columns: {kept} to keep, {marked} marked for review\n",
        columns.len()
    ));
    text
}

/// What to do next.
fn next(file: &Path, rules: Option<&Path>, keyed: bool) -> String {
    let Some(rules) = rules.filter(|rules| !files::is_stream(rules)) else {
        return "to get these rules as a file, add `-o rules.toml`\n".to_owned();
    };
    let key = if keyed { " --pseudonym-key pseudonyms.key" } else { "" };
    let mut text = format!(
        "the rules are in {}: read them, and remove each `review` that you agree with\n",
        rules.display()
    );
    if keyed {
        text.push_str("for the key of pseudonyms, run `datapact desensitize key pseudonyms.key`\n");
    }
    text.push_str(&format!(
        "then see what they do: `datapact desensitize run {} --rules {}{key} --dry-run`\n",
        file.display(),
        rules.display()
    ));
    text
}
