//! One column: its evidence, and the rule that follows.

use super::decide::{Column, Verdict, decide};
use super::findings::Findings;
use super::header::announced;
use super::mask;
use super::sample::Sample;
use crate::detect::Names;
use crate::rules::Rule;

/// What was found out about a column, and what is proposed for it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Evidence {
    /// The column's name.
    pub name: String,
    /// What it is: an entity's name, the code of a national identifier, `record-id` or `free-text`.
    pub found: Option<&'static str>,
    /// How sure that is, 0 to 1; of a column without a finding, how sure it is that there is
    /// nothing.
    pub confidence: f32,
    /// The proposed transform.
    pub transform: &'static str,
    /// Why a person has to look at it.
    pub review: Option<String>,
    /// The forms of some values.
    pub examples: Vec<String>,
    /// How many values it has.
    pub values: u64,
    /// How many records have none.
    pub absent: u64,
    /// How many values were looked at.
    pub sampled: usize,
    /// What values are as a whole, each with its share of those that were looked at.
    pub wholly: Vec<(&'static str, f32)>,
    /// What values contain among other text, each with its share.
    pub within: Vec<(&'static str, f32)>,
    /// What the header announces.
    pub header: Vec<&'static str>,
}

/// Looks at a column and proposes its rule.
pub(super) fn propose(name: &str, sample: &Sample, names: Option<&Names>) -> (Rule, Evidence) {
    let trimmed = sample.values().iter().map(|value| value.trim());
    let values: Vec<&str> = trimmed.filter(|value| !value.is_empty()).collect();
    let findings = Findings::of(&values, names);
    let column = Column { values, sample, names, header: announced(name), findings };
    let Verdict { found, confidence, transform, review } = decide(&column);
    let [wholly, within] = column.findings.shares();
    let evidence = Evidence {
        name: name.to_owned(),
        found,
        confidence,
        transform: transform.name(),
        review: review.clone(),
        examples: mask::examples(column.values.iter().copied()),
        values: sample.seen,
        absent: sample.absent,
        sampled: column.values.len(),
        wholly,
        within,
        header: column.header.iter().map(|announced| announced.name()).collect(),
    };
    let mut rule = Rule::new(name, transform);
    rule.found = found.map(str::to_owned);
    rule.confidence = Some((f64::from(confidence) * 100.0).round() / 100.0);
    rule.review = review;
    rule.comments =
        evidence.examples.iter().map(|example| format!("for example {example}")).collect();
    (rule, evidence)
}
