//! `desensitize run`: desensitizes a file into a file.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use datapact_desensitize::{Error, Report, preview, run};

use super::tables::{preview_text, report_text};
use super::{failure, open, plan};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, NewFile, Stdout};

/// Desensitize a file: CSV, JSON lines, Parquet or plain text, into the same format
#[derive(Args)]
pub(super) struct Run {
    /// The file, or `-` for standard input
    file: PathBuf,
    /// The rules (TOML): one for each column
    #[arg(long, value_name = "RULES")]
    rules: PathBuf,
    /// Where to write the result, or `-` for standard output
    #[arg(long, short, value_name = "FILE", required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// The key of pseudonyms, if the rules need one
    #[arg(long, value_name = "FILE")]
    pseudonym_key: Option<PathBuf>,
    /// Also write a report of what was done and what it cost: HTML if its name ends in `.html`,
    /// else JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write nothing; show the first records before and after
    #[arg(long, conflicts_with_all = ["output", "report"])]
    dry_run: bool,
    /// How many records a dry run shows
    #[arg(long, value_name = "N", default_value_t = 5, requires = "dry_run",
          value_parser = clap::value_parser!(u16).range(1..=100))]
    records: u16,
}

impl Run {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let plan = plan(&self.rules, self.pseudonym_key.as_deref())?;
        let mut input = open(&self.file, plan.rules().options.clone())?;
        let to_stdout = self.output.as_deref().is_some_and(files::is_stream);
        let passes = if plan.needs_survey().is_some() { 2 } else { 1 };
        let length = input.length().map(|length| length * passes);
        let bar = context.output.beside_data(to_stdout).progress("desensitizing", length);
        let mut tell = |done| bar.set_position(done);
        let Some(output) = self.output else {
            let preview = preview(&mut input, &plan, usize::from(self.records), &mut tell);
            bar.finish_and_clear();
            let preview = preview.map_err(|error| failure(error, &self.file))?;
            return context.output.result(&preview, preview_text(&preview));
        };
        for rule in plan.rules().to_review() {
            context
                .output
                .note(format_args!("note: the rule for `{}` is still marked `review`", rule.name));
        }
        let report = if to_stdout {
            let report = run(&mut input, &plan, Box::new(Stdout::new(true)), &mut tell);
            bar.finish_and_clear();
            report.map_err(|error| failure(error, &self.file))?
        } else {
            // Shared with the sink, which the run consumes: the file gets its name only after a
            // run without error, so a failure leaves no half of it.
            let file = Arc::new(Mutex::new(NewFile::create(&output, false, &context.output)?));
            let report = run(&mut input, &plan, Box::new(Shared(Arc::clone(&file))), &mut tell);
            bar.finish_and_clear();
            let report = report.map_err(|error| match error {
                Error::Write(cause) => Failure::file("write", &output, &cause),
                other => failure(other, &self.file),
            })?;
            if let Some(file) = Arc::into_inner(file) {
                file.into_inner().unwrap_or_else(PoisonError::into_inner).keep()?;
            }
            report
        };
        if let Some(path) = &self.report {
            let html = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("html"));
            let text = if html { report.to_html() } else { json(&report) };
            let mut file = NewFile::create(path, true, &context.output)?;
            file.write_all(text.as_bytes())
                .map_err(|error| Failure::file("write", path, &error))?;
            file.keep()?;
        }
        if to_stdout {
            context.output.result_beside_data(&report, report_text(&report));
            return Ok(());
        }
        context.output.result(&report, report_text(&report))
    }
}

fn json(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a report is plain JSON");
    text.push('\n');
    text
}

/// A writer whose owner gets it back.
struct Shared(Arc<Mutex<NewFile>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
