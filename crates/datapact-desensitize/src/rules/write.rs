//! Writing a rule file, for detection's proposals.

use std::fmt::{Display, Write as _};

use super::{Bound, DayOrder, Levels, Rule, Rules, Spread, Transform};
use crate::format::Formulas;

pub(super) fn to_toml(rules: &Rules) -> String {
    // Only what differs from the defaults is written: a person reads the file.
    let mut out = Out("version = 1\n".to_owned());
    let options = &rules.options;
    if let Some(format) = options.format {
        out.text("format", format.name());
    }
    if let Some(encoding) = options.encoding {
        out.text("encoding", encoding.name());
    }
    if let Some(delimiter) = options.delimiter {
        out.text("delimiter", char::from(delimiter));
    }
    if let Some(quote) = options.quote {
        out.text("quote", char::from(quote));
    }
    if let Some(header) = options.header {
        out.plain("header", header);
    }
    if rules.reading.decimal != b'.' {
        out.text("decimal", char::from(rules.reading.decimal));
    }
    match rules.reading.dates {
        Some(DayOrder::DayMonth) => out.text("dates", "day-month"),
        Some(DayOrder::MonthDay) => out.text("dates", "month-day"),
        None => {}
    }
    if rules.formulas == Formulas::Keep {
        out.text("formulas", "keep");
    }
    if let Some(k_anonymity) = &rules.k_anonymity {
        out.0.push_str("\n[k-anonymity]\n");
        out.plain("k", k_anonymity.k);
        out.plain("suppress-max", number(k_anonymity.suppress_max));
        if let Some((l, sensitive)) = &k_anonymity.diversity {
            out.plain("l", l);
            out.text("sensitive", sensitive);
        }
    }
    for rule in &rules.columns {
        out.rule(rule);
    }
    out.0
}

struct Out(String);

impl Out {
    fn plain(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn text(&mut self, key: &str, value: impl Display) {
        let value = quoted(&value.to_string());
        self.plain(key, value);
    }

    fn list<T>(&mut self, key: &str, values: &[T], show: impl Fn(&T) -> String) {
        let values: Vec<String> = values.iter().map(show).collect();
        self.plain(key, format_args!("[{}]", values.join(", ")));
    }

    fn rule(&mut self, rule: &Rule) {
        self.0.push('\n');
        for comment in &rule.comments {
            let comment: String =
                comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = writeln!(self.0, "# {comment}");
        }
        self.0.push_str("[[column]]\n");
        self.text("name", &rule.name);
        if let Some(found) = &rule.found {
            self.text("found", found);
        }
        if let Some(confidence) = rule.confidence {
            self.plain("confidence", number((confidence * 100.0).round() / 100.0));
        }
        if let Some(review) = &rule.review {
            self.text("review", review);
        }
        self.text("transform", rule.transform.name());
        self.parameters(&rule.transform);
    }

    fn parameters(&mut self, transform: &Transform) {
        // Parameters are written even if they are the defaults: they are what a reviewer changes.
        match transform {
            Transform::Keep | Transform::Drop | Transform::Redact { with: None } => {}
            Transform::Redact { with: Some(with) } => self.text("with", with),
            Transform::Mask { keep_first, keep_last, with } => {
                self.plain("keep-first", keep_first);
                self.plain("keep-last", keep_last);
                self.text("with", with);
            }
            Transform::Pseudonym { domain, length } => {
                self.text("domain", domain);
                self.plain("length", length);
            }
            Transform::Ff1 { domain, alphabet } => {
                self.text("domain", domain);
                self.text("alphabet", alphabet.name());
            }
            Transform::Generalize { levels, level } => {
                self.text("as", levels.name());
                match levels {
                    Levels::Number(bins) => {
                        bins.iter().for_each(|bin| self.plain("bin", number(*bin)));
                    }
                    Levels::Date(steps) => {
                        steps.iter().for_each(|step| self.text("to", step.name()));
                    }
                    Levels::Postcode(kept) => kept.iter().for_each(|kept| self.plain("keep", kept)),
                    Levels::Hierarchy(hierarchy) => {
                        self.text("file", hierarchy.file.display());
                        self.plain("level", level);
                    }
                    Levels::Category => {}
                }
            }
            Transform::Grid { cell } => {
                self.text("as", "grid");
                self.plain("cell", number(*cell));
            }
            Transform::Noise(Spread::Absolute(deviation)) => {
                self.plain("deviation", number(*deviation))
            }
            Transform::Noise(Spread::Relative(relative)) => {
                self.plain("relative", number(*relative))
            }
            Transform::TopBottom { bottom, top } => {
                for (key, bound) in [("bottom", bottom), ("top", top)] {
                    match bound {
                        Some(Bound::At(at)) => self.plain(key, number(*at)),
                        Some(Bound::Percentile(percent)) => {
                            self.plain(&format!("{key}-percentile"), number(*percent));
                        }
                        None => {}
                    }
                }
            }
            Transform::QuasiIdentifier(levels) => {
                self.text("as", levels.name());
                match levels {
                    Levels::Number(bins) => self.list("levels", bins, |bin| number(*bin)),
                    Levels::Date(steps) => {
                        self.list("levels", steps, |step| quoted(step.name()));
                    }
                    Levels::Postcode(kept) => self.list("levels", kept, ToString::to_string),
                    Levels::Hierarchy(hierarchy) => self.text("file", hierarchy.file.display()),
                    Levels::Category => {}
                }
            }
            Transform::Scrub { entities, names } => {
                self.list("entities", &entities.0, |entity| quoted(entity.name()));
                if let Some(names) = names {
                    self.text("names", names.display());
                }
            }
        }
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A TOML number.
fn number(number: f64) -> String {
    if number == number.trunc() && number.abs() < 1e15 {
        format!("{number:.0}")
    } else {
        format!("{number:?}")
    }
}
