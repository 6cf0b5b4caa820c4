//! The report as one HTML page: no script, nothing external.

use std::fmt::Write as _;

use super::{ColumnReport, Distribution, Report};

/// The most columns whose distributions are drawn.
const PLOTS_MAX: usize = 60;

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;\
color:#1a1a1a}\
table{border-collapse:collapse;width:100%}\
td,th{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:left}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
figure{display:inline-block;vertical-align:top;width:28rem;margin:.5rem 1.5rem .5rem 0}\
figcaption{font-size:13px}\
.bar{background:#e8eef7;height:.7rem;width:8rem;display:inline-block}\
.bar i{background:#b3402a;height:.7rem;display:block}\
.b{color:#8aa4c8}.a{color:#b3402a}code{font-size:12px}";

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
                    <title>Desensitization report</title><style>";

pub(super) fn page(report: &Report) -> String {
    let mut page = Page(String::new());
    page.0.push_str(HEAD);
    page.0.push_str(STYLE);
    page.0.push_str("</style>\n<h1>Desensitization report</h1>\n");
    let out = report.records - report.suppressed;
    page.line(format_args!(
        "<p>{} records were read ({}, {}), <b>{out}</b> went out, {} were left out. \
         Rules <code>{}</code>.",
        report.records,
        escape(report.format),
        escape(report.encoding),
        report.suppressed,
        report.rules
    ));
    if report.formulas > 0 {
        page.line(format_args!("<p>{} cells began like a spreadsheet's formula.", report.formulas));
    }
    page.line("<p>For the provider only: this page shows means and ranges of the raw data.");
    page.anonymity(report);
    page.columns(&report.columns);
    page.line(format_args!(
        "<p>Losses are estimated from {} records drawn at random.",
        report.sampled
    ));
    page.distributions(&report.columns);
    page.correlations(report);
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, text: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{text}");
    }

    fn anonymity(&mut self, report: &Report) {
        let Some(anonymity) = &report.k_anonymity else { return };
        self.line("<h2>k-anonymity</h2>");
        self.line(format_args!(
            "<p>Required: k = {}; reached: <b>{}</b>, in {} classes of records that are alike.",
            anonymity.k, anonymity.reached, anonymity.classes
        ));
        if let Some([required, reached]) = anonymity.diversity {
            self.line(format_args!(
                "<p>Required: l = {required}; each class has at least <b>{reached}</b>."
            ));
        }
        self.line("<table><tr><th>Quasi-identifier<th class=n>Level<th class=n>of<th>Entropy lost");
        for quasi in &anonymity.quasi_identifiers {
            let name = escape(&quasi.name);
            self.line(format_args!(
                "<tr><td>{name}<td class=n>{}<td class=n>{}<td>{}",
                quasi.level,
                quasi.top,
                bar(quasi.loss)
            ));
        }
        self.line("</table>");
    }

    fn columns(&mut self, columns: &[ColumnReport]) {
        self.line(
            "<h2>Columns</h2>\n<table><tr><th>Column<th>Found<th>Transform<th class=n>Changed\
             <th class=n>Kept<th class=n>Absent<th class=n>Unreadable, left out\
             <th class=n>Different before<th class=n>after<th>Information lost",
        );
        for column in columns {
            let (name, found) =
                (escape(&column.name), escape(column.found.as_deref().unwrap_or_default()));
            self.line(format_args!(
                "<tr><td>{name}<td>{found}<td>{}<td class=n>{}<td class=n>{}<td class=n>{}\
                 <td class=n>{}<td class=n>{}<td class=n>{}<td>{}",
                column.transform,
                column.changed,
                column.kept,
                column.absent,
                column.redacted,
                column.loss.distinct_before,
                column.loss.distinct_after,
                bar(column.loss.information)
            ));
        }
        self.line("</table>");
    }

    fn distributions(&mut self, columns: &[ColumnReport]) {
        let with =
            columns.iter().filter_map(|column| Some((column, column.loss.distribution.as_ref()?)));
        let drawn: Vec<_> = with.take(PLOTS_MAX).collect();
        if drawn.is_empty() {
            return;
        }
        self.line(
            "<h2>Distributions of numbers and dates</h2>\n\
             <p><span class=b>■ before</span> <span class=a>■ after</span>",
        );
        for (column, distribution) in drawn {
            self.distribution(&column.name, distribution);
        }
    }

    fn distribution(&mut self, name: &str, distribution: &Distribution) {
        const WIDTH: f64 = 280.0;
        const HEIGHT: f64 = 110.0;
        let shares = || distribution.before.iter().chain(&distribution.after);
        let highest = shares().fold(0.0_f64, |highest, share| highest.max(*share)).max(1e-9);
        let step = WIDTH / distribution.before.len().max(1) as f64;
        let _ = write!(
            self.0,
            "<figure><svg width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" \
             aria-label=\"distribution\">"
        );
        for (offset, colour, shares) in
            [(0.08, "#8aa4c8", &distribution.before), (0.5, "#b3402a", &distribution.after)]
        {
            for (index, share) in shares.iter().enumerate() {
                let height = share / highest * (HEIGHT - 4.0);
                let x = (index as f64 + offset) * step;
                let _ = write!(
                    self.0,
                    "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" \
                     fill=\"{colour}\"/>",
                    HEIGHT - height,
                    step * 0.42
                );
            }
        }
        let [mean, mean_after] = distribution.mean;
        let [deviation, deviation_after] = distribution.deviation;
        self.line(format_args!(
            "</svg><figcaption><b>{}</b>, {:.4} to {:.4}<br>mean {mean:.4} → {mean_after:.4}, \
             deviation {deviation:.4} → {deviation_after:.4}, {:.1} % moved</figcaption></figure>",
            escape(name),
            distribution.from,
            distribution.to,
            distribution.moved * 100.0
        ));
    }

    fn correlations(&mut self, report: &Report) {
        if report.correlations.is_empty() {
            return;
        }
        self.line(
            "<h2>Correlations</h2>\n<table><tr><th>Column<th>with<th class=n>Before\
             <th class=n>After<th class=n>Difference",
        );
        for pair in &report.correlations {
            self.line(format_args!(
                "<tr><td>{}<td>{}<td class=n>{:.3}<td class=n>{:.3}<td class=n>{:+.3}",
                escape(&pair.first),
                escape(&pair.second),
                pair.before,
                pair.after,
                pair.after - pair.before
            ));
        }
        self.line("</table>");
    }
}

fn bar(share: f64) -> String {
    let percent = share * 100.0;
    format!("<span class=bar><i style=\"width:{percent:.0}%\"></i></span> {percent:.1} %")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_the_data_are_no_markup() {
        assert_eq!(escape("<script>\"&'\n"), "&lt;script&gt;&quot;&amp;&#39; ");
    }
}
