//! `desensitize`: takes out of a table what identifies people, by rules (DP-1, SH-1).

mod scan;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use clap::{Args, Subcommand};
use datapact_core::policy::desensitization::Desensitization;
use datapact_desensitize::format::{Input, Options};
use datapact_desensitize::rules::RULES_BYTES_MAX;
use datapact_desensitize::{Error, Plan, Preview, PseudonymKey, Report, preview, run};
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, NewFile, SecretFile, Stdout};
use crate::output::{fields, table};

/// How much of what is desensitized waits for the sealer, in blocks of up to 256 KiB.
const BLOCKS_MAX: usize = 4;
/// The longest pseudonym key file, in bytes.
const KEY_BYTES_MAX: u64 = 1024;

const AFTER_HELP: &str = "\
A rule file says for every column what becomes of it; docs/desensitization.md shows them all:
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
  datapact share create raw.csv --desensitize rules.toml --allow-country SE --times 3 --expires 30d";

/// Take out of a table what identifies people, by rules that you have reviewed
#[derive(Args)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Desensitize {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Scan(scan::Scan),
    Run(Run),
    /// Make the key from which pseudonyms come
    ///
    /// Data that are pseudonymized under one key can be joined. Whoever has it can tell whether a
    /// pseudonym belongs to somebody they guess: keep it apart from the data.
    Key {
        /// Where to write the key, readable only by you; must not exist
        file: PathBuf,
    },
}

/// Desensitize a file: CSV, JSON lines, Parquet or plain text, into the same format
#[derive(Args)]
struct Run {
    /// The file, or `-` for standard input
    file: PathBuf,
    /// The rules (TOML): one for each column
    #[arg(long, value_name = "RULES")]
    rules: PathBuf,
    /// Where to write what comes of it, or `-` for standard output
    #[arg(long, short, value_name = "FILE", required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// The key of pseudonyms, where the rules need one
    #[arg(long, value_name = "FILE")]
    pseudonym_key: Option<PathBuf>,
    /// Write what was done and what it cost to this file, too: HTML or JSON, by its name
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

impl Run {
    fn run(self, context: &Context) -> Result<()> {
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

/// The rules that data go through on their way into a package, if any.
#[derive(Args)]
pub(crate) struct Through {
    /// Desensitize the data by the rules in this file (TOML) as they are sealed; rules marked
    /// `review` are refused
    #[arg(long, value_name = "RULES", requires = "file")]
    desensitize: Option<PathBuf>,
    /// The key of pseudonyms, where the rules need one; `datapact desensitize key` makes it
    #[arg(long, value_name = "FILE", requires = "desensitize")]
    pseudonym_key: Option<PathBuf>,
}

impl Through {
    /// Opens the file at `path` to be shared.
    pub(crate) fn open(&self, path: &Path) -> Result<Outgoing> {
        match &self.desensitize {
            None => {
                let (input, length) = files::open_input_to_send(path)?;
                Ok(Outgoing { input, length, work: None })
            }
            Some(rules) => begin(path, rules, self.pseudonym_key.as_deref()),
        }
    }
}

/// Data to be shared: as they are, or desensitized as they are read.
pub(crate) struct Outgoing {
    pub(crate) input: Box<dyn Read + Send>,
    /// How long they are, in bytes, if that is known.
    pub(crate) length: Option<u64>,
    /// What desensitizes them, if something does.
    pub(crate) work: Option<Desensitizing>,
}

/// Data that are being desensitized.
#[derive(Clone)]
pub(crate) struct Desensitizing {
    manifest: Arc<OnceLock<Desensitization>>,
    failure: Arc<Mutex<Option<Failure>>>,
}

impl Desensitizing {
    /// Where the manifest will stand once all is read.
    pub(crate) fn manifest(&self) -> Arc<OnceLock<Desensitization>> {
        Arc::clone(&self.manifest)
    }

    /// What came of sharing them. Why they could not be desensitized says more than that they could
    /// not be read to their end.
    pub(crate) fn outcome<T>(work: Option<Self>, shared: Result<T>) -> Result<T> {
        let failure = work
            .and_then(|work| work.failure.lock().unwrap_or_else(PoisonError::into_inner).take());
        match failure {
            Some(failure) if shared.is_err() => Err(failure),
            _ => shared,
        }
    }
}

/// Begins to desensitize the file at `path` for sharing: the plaintext goes from memory to memory.
fn begin(path: &Path, rules: &Path, key: Option<&Path>) -> Result<Outgoing> {
    let plan = plan(rules, key)?;
    plan.check_reviewed().map_err(|error| failure(error, rules))?;
    let mut input = open(path, plan.rules().options.clone())?;
    if let Some(what) = plan.needs_survey().filter(|_| !input.is_seekable()) {
        return Err(failure(Error::NotSeekable(what), path));
    }
    let (sender, receiver) = sync_channel(BLOCKS_MAX);
    let work = Desensitizing { manifest: Arc::default(), failure: Arc::default() };
    let (manifest, failed, path) =
        (Arc::clone(&work.manifest), Arc::clone(&work.failure), path.to_owned());
    std::thread::spawn(move || {
        let output = Blocks(sender.clone());
        match run(&mut input, &plan, Box::new(output), &mut |_| {}) {
            Ok(report) => {
                let _ = manifest.set(report.manifest());
                let _ = sender.send(None);
            }
            // Nobody reads any more, and says why.
            Err(Error::Write(_)) => {}
            Err(error) => {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(failure(error, &path));
            }
        }
    });
    let input = Box::new(Blocked { receiver, block: Vec::new(), read: 0, ended: false });
    Ok(Outgoing { input, length: None, work: Some(work) })
}

/// The writer's side: blocks of bytes, and none behind the last.
struct Blocks(SyncSender<Option<Vec<u8>>>);

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(Some(bytes.to_vec())).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reader's side. If the writer goes away before the end, reading fails: half a table is never
/// shared.
struct Blocked {
    receiver: Receiver<Option<Vec<u8>>>,
    block: Vec<u8>,
    read: usize,
    ended: bool,
}

impl Read for Blocked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() && !self.ended {
            match self.receiver.recv() {
                Ok(Some(block)) => (self.block, self.read) = (block, 0),
                Ok(None) => self.ended = true,
                Err(_) => return Err(io::Error::other("the data could not be desensitized")),
            }
        }
        let rest = self.block.get(self.read..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.read += count;
        Ok(count)
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn report_text(report: &Report) -> String {
    let mut lines = vec![
        ("records", (report.records - report.suppressed).to_string()),
        ("left out", report.suppressed.to_string()),
        ("format", format!("{}, read as {}", report.format, report.encoding)),
    ];
    if report.formulas > 0 {
        lines.push(("formula cells", report.formulas.to_string()));
    }
    if let Some(anonymity) = &report.k_anonymity {
        let levels = anonymity.quasi_identifiers.iter().map(|quasi| {
            format!(
                "{} at level {} of {}, {} lost",
                quasi.name,
                quasi.level,
                quasi.top,
                percent(quasi.loss)
            )
        });
        let diverse = anonymity
            .diversity
            .map_or_else(String::new, |[_, l]| format!(", at least {l}-diverse"));
        let head = format!("{} in {} classes{diverse}", anonymity.reached, anonymity.classes);
        lines.push((
            "k-anonymity",
            std::iter::once(head).chain(levels).collect::<Vec<_>>().join("\n"),
        ));
    }
    lines.push(("rules", report.rules.to_string()));
    let rows: Vec<[String; 8]> = report
        .columns
        .iter()
        .map(|column| {
            let counts = [column.changed, column.kept, column.absent, column.redacted]
                .map(|n| n.to_string());
            let [changed, kept, absent, redacted] = counts;
            let found = column.found.clone().unwrap_or_default();
            let lost = percent(column.loss.information);
            [
                column.name.clone(),
                found,
                column.transform.to_owned(),
                changed,
                kept,
                absent,
                redacted,
                lost,
            ]
        })
        .collect();
    let head = ["COLUMN", "FOUND", "TRANSFORM", "CHANGED", "KEPT", "ABSENT", "REDACTED", "LOST"];
    let mut text = format!("{}\n{}", fields(&lines), table(head, &rows));
    if !report.correlations.is_empty() {
        let rows: Vec<[String; 4]> = report
            .correlations
            .iter()
            .map(|pair| {
                let [before, after] = [pair.before, pair.after].map(|r| format!("{r:.3}"));
                [pair.first.clone(), pair.second.clone(), before, after]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(["CORRELATION OF", "WITH", "BEFORE", "AFTER"], &rows));
    }
    text.push_str(&format!(
        "\nlosses and correlations are estimated from {} records\n",
        report.sampled
    ));
    text
}

fn preview_text(preview: &Preview) -> String {
    const CHARS_MAX: usize = 40;
    let short = |text: &str| -> String {
        match text.char_indices().nth(CHARS_MAX) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text.to_owned(),
        }
    };
    let rows: Vec<[String; 4]> = preview
        .columns
        .iter()
        .flat_map(|column| {
            column.before.iter().zip(&column.after).enumerate().map(
                move |(index, (before, after))| {
                    let (name, transform) = if index == 0 {
                        (column.name.as_str(), column.transform)
                    } else {
                        ("", "")
                    };
                    let after = after.as_deref().unwrap_or("");
                    [name.to_owned(), transform.to_owned(), short(before), short(after)]
                },
            )
        })
        .collect();
    table(["COLUMN", "TRANSFORM", "BEFORE", "AFTER"], &rows)
}
