//! What the user sees: results on standard output, everything else on standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use datapact_client::{Progress, ProgressSink};
use datapact_core::document::UsageAction;
use datapact_core::identity::is_seen;
use datapact_core::permission::{AccessPermission, AccessTimes};
use datapact_core::policy::desensitization::Desensitization;
use datapact_core::policy::{ShareState, SharingInformation};
use datapact_core::terms::Terms;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::price::price_text;

/// How results are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    yes: bool,
    quiet: bool,
}

impl Output {
    pub(crate) fn new(json: bool, yes: bool) -> Self {
        Self { json, yes, quiet: false }
    }

    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Writes one result: with `--json` the value as one line, else the text for people, if there
    /// is any.
    pub(crate) fn result(&self, value: &impl Serialize, text: impl Display) -> Result<()> {
        let line = if self.json { to_line(value) } else { text.to_string() };
        if line.is_empty() { Ok(()) } else { print(&line) }
    }

    /// Writes a list: with `--json` one object a line, else a table.
    pub(crate) fn list<const N: usize>(
        &self,
        values: &[impl Serialize],
        head: [&str; N],
        rows: &[[String; N]],
    ) -> Result<()> {
        if self.json {
            return values.iter().try_for_each(|value| print(&to_line(value)));
        }
        if rows.is_empty() {
            self.note("(none)");
            return Ok(());
        }
        print(&table(head, rows))
    }

    /// Writes the result of a command whose standard output is the data: on standard error.
    pub(crate) fn result_beside_data(&self, value: &impl Serialize, text: impl Display) {
        let line = if self.json { to_line(value) } else { text.to_string() };
        if !line.is_empty() {
            complain(&line);
        }
    }

    /// Tells people something beside the result; programs get all of it in the result.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.json {
            complain(&text.to_string());
        }
    }

    /// Asks before something that cannot be taken back.
    pub(crate) fn confirm(&self, question: impl Display) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if self.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Failure::declined(
                format!("this needs a yes: {question}"),
                "add `--yes` to say it without being asked",
            ));
        }
        let _ = write!(io::stderr(), "{question} [y/N] ");
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes") {
            return Ok(());
        }
        Err(Failure::declined("nothing was done", "answer `y` to go on"))
    }

    /// A progress bar that follows the SDK's steps; `length` is how much there is to seal, if
    /// known.
    pub(crate) fn transfer(&self, length: Option<u64>) -> (ProgressSink, ProgressBar) {
        let bar = self.progress("", length);
        let shown = bar.clone();
        let tell = move |step| {
            let (what, done, total) = match step {
                Progress::Sealing { done } => ("sealing", done, length),
                Progress::Uploading { done, total } => ("uploading", done, Some(total)),
                Progress::Downloading { done, total } => ("downloading", done, Some(total)),
                Progress::Opening { done, total } => ("opening", done, Some(total)),
            };
            if let Some(total) = total {
                shown.set_length(total);
            }
            shown.set_message(what);
            shown.set_position(done);
        };
        (std::sync::Arc::new(tell), bar)
    }

    /// The same output without progress bars where the data goes to the terminal that would show
    /// them.
    pub(crate) fn beside_data(mut self, to_stdout: bool) -> Self {
        self.quiet |= to_stdout && io::stdout().is_terminal();
        self
    }

    /// A progress bar over `total` bytes on standard error, hidden unless that is a terminal.
    pub(crate) fn progress(&self, what: &'static str, total: Option<u64>) -> ProgressBar {
        if self.json || self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
        let template = match total {
            Some(_) => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "{msg} {spinner} {bytes} {bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

fn to_line(value: &impl Serialize) -> String {
    escaped(&serde_json::to_string(value).expect("results are plain JSON"))
}

/// JSON in which characters that are not seen are escaped: a terminal or a reader could take what
/// is around them for something else. They occur in strings only.
fn escaped(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        if is_seen(c) {
            line.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            line.push_str(&format!("\\u{unit:04x}"));
        }
    }
    line
}

/// Writes a line to standard output at once.
fn print(line: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", line.trim_end_matches('\n'))
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::stdout(&error))
}

/// Writes a line to standard error; if that fails, no other stream is left to say it on.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", line.trim_end_matches('\n'));
}

/// Says why a command failed.
pub(crate) fn print_failure(failure: &Failure, json: bool) {
    if matches!(failure, Failure::OutputClosed) {
        return;
    }
    if json {
        return complain(&to_line(&failure.to_json()));
    }
    complain(&format!("error: {}", plain(failure.detail())));
    if let Some(hint) = failure.hint() {
        complain(&format!("hint: {}", plain(hint)));
    }
}

/// `text` without what a terminal might obey, or that might turn its reading order around.
pub(crate) fn plain(text: &str) -> String {
    let steers = |c: char| {
        let embeds = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        embeds || matches!(c, '\u{200e}' | '\u{200f}')
    };
    text.chars()
        .map(|c| if (c.is_control() && c != '\n') || steers(c) { '\u{fffd}' } else { c })
        .collect()
}

/// A table for people: columns padded to their widest cell, the last one not.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.iter().cloned().map(|row| row.map(|cell| plain(&cell).replace('\n', " "))));
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Aligned `name: value` lines for people.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    fields.iter().fold(String::new(), |mut text, (name, value)| {
        let indent = format!("\n{}", " ".repeat(width + 1));
        let value = plain(value).replace('\n', &indent);
        text.push_str(&format!("{:<width$} {value}\n", format!("{name}:")));
        text
    })
}

/// A moment for people: RFC 3339 in UTC. JSON has the seconds.
pub(crate) fn time(at: datapact_core::id::Timestamp) -> String {
    // Beyond the year 9999, which no valid document reaches, only the seconds are right.
    match std::time::UNIX_EPOCH.checked_add(Duration::from_secs(at)) {
        Some(moment) if at <= datapact_core::permission::TIME_MAX => {
            humantime::format_rfc3339_seconds(moment).to_string()
        }
        _ => format!("{at} s after 1970"),
    }
}

/// A share's state, in JSON's word.
pub(crate) fn state(state: ShareState) -> &'static str {
    match state {
        ShareState::Active => "active",
        ShareState::Suspended => "suspended",
        ShareState::Revoked => "revoked",
    }
}

/// What a consumer did, in JSON's word.
pub(crate) fn action(action: UsageAction) -> &'static str {
    match action {
        UsageAction::Opened => "opened",
        UsageAction::Exported => "exported",
        UsageAction::Closed => "closed",
    }
}

fn joined(values: impl IntoIterator<Item = impl ToString>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
}

/// What is shared, line by line.
pub(crate) fn information(information: &SharingInformation) -> Vec<(&'static str, String)> {
    let mut lines = vec![("media type", information.media_type.clone())];
    if !information.categories.is_empty() {
        lines.push(("categories", joined(&information.categories)));
    }
    for (name, text) in [("introduction", &information.introduction), ("usage", &information.usage)]
    {
        if !text.is_empty() {
            lines.push((name, text.clone()));
        }
    }
    if let Some(price) = &information.price {
        lines.push(("price", price_text(price)));
    }
    if let Some(done) = &information.desensitization {
        lines.push(("desensitized", desensitization(done)));
    }
    lines.push((
        "package",
        format!("{} ({} bytes)", information.package.id, information.package.size),
    ));
    lines.push(("key", information.key.id.to_string()));
    lines
}

/// What was done to the data before they were shared, as the provider signed it.
fn desensitization(done: &Desensitization) -> String {
    let suppressed = match done.suppressed {
        0 => String::new(),
        left_out => format!(", {left_out} left out"),
    };
    let mut lines = vec![format!(
        "{} records{suppressed}, by {}, rules {}",
        done.records, done.tool, done.rules
    )];
    if let Some(anonymity) = &done.k_anonymity {
        let diverse = anonymity.l.map_or_else(String::new, |l| format!(", {l}-diverse"));
        let by = anonymity.quasi_identifiers.join(", ");
        lines.push(format!("{}-anonymous in {by}{diverse}", anonymity.reached));
    }
    for column in &done.columns {
        let redacted = match column.redacted {
            0 => String::new(),
            redacted => format!(", {redacted} unreadable left out"),
        };
        let loss = f64::from(column.loss_permille) / 10.0;
        lines.push(format!(
            "{}: {}, {} changed{redacted}, {loss} % lost",
            column.name, column.transform, column.changed
        ));
    }
    if done.more_columns > 0 {
        lines.push(format!("and {} more columns", done.more_columns));
    }
    lines.join("\n")
}

/// Who may access, line by line.
pub(crate) fn terms(terms: &Terms) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if terms.anyone {
        lines.push(("allowed", "anyone".to_owned()));
    }
    for (name, values) in [
        ("users", joined(&terms.users)),
        ("organisations", joined(&terms.organisations)),
        ("industries", joined(&terms.industries)),
        ("countries", joined(&terms.countries)),
        ("purposes", joined(&terms.purposes)),
    ] {
        if !values.is_empty() {
            lines.push((name, values));
        }
    }
    lines
}

/// How often, how long and how, line by line.
pub(crate) fn permission(permission: &AccessPermission) -> Vec<(&'static str, String)> {
    let times = match permission.access_times {
        AccessTimes::Times(times) => format!("{times} for each consumer"),
        AccessTimes::Unlimited => "unlimited".to_owned(),
    };
    vec![
        ("access times", times),
        ("from", time(permission.not_before)),
        ("expires", time(permission.expires)),
        ("edits", if permission.read_only { "no: read only" } else { "allowed" }.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\u{202e}c\nd"), "a\u{fffd}[2Jb\u{fffd}c\nd");
    }

    #[test]
    fn what_is_not_seen_is_escaped_in_json() {
        let title = "a\u{200d}b\u{202e}\u{7f}\u{e0001}\u{e4}\n";
        let line = to_line(&title);
        assert_eq!(line, "\"a\\u200db\\u202e\\u007f\\udb40\\udc01\u{e4}\\n\"");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), title);
    }

    #[test]
    fn tables_and_fields_are_aligned() {
        let rows = [["a".to_owned(), "long one".to_owned()], ["abc".to_owned(), "b".to_owned()]];
        assert_eq!(table(["ID", "TITLE"], &rows), "ID   TITLE\na    long one\nabc  b\n");
        assert_eq!(
            fields(&[("a", "1".into()), ("long", "2\n3".into())]),
            "a:    1\nlong: 2\n      3\n"
        );
    }
}
