//! Reports and previews on a terminal.

use datapact_desensitize::{Preview, Report};

use crate::output::{fields, table};

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A report as text.
pub(super) fn report_text(report: &Report) -> String {
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

/// A preview as text.
pub(super) fn preview_text(preview: &Preview) -> String {
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
