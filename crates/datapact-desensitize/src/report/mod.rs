//! What was done to a table, and what it cost: for the provider, who holds the data.

mod html;
mod sample;

pub(crate) use sample::Sample;
use serde::Serialize;

/// What was done, and what it cost. It is for the provider: it holds ranges and means of the raw
/// data, though no values of single records. What consumers see is the manifest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The digest of the rule file.
    pub rules: datapact_core::id::Digest,
    /// The format's name.
    pub format: &'static str,
    /// The encoding that was read; UTF-8 was written.
    pub encoding: &'static str,
    /// How many records were read.
    pub records: u64,
    /// How many of them were left out for k-anonymity.
    pub suppressed: u64,
    /// How many cells a spreadsheet would run as formulas; the rule file says whether they were
    /// escaped.
    pub formulas: u64,
    /// The columns that were read, in their order.
    pub columns: Vec<ColumnReport>,
    /// The k-anonymity that was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k_anonymity: Option<Anonymity>,
    /// How many records the estimates rest on.
    pub sampled: u64,
    /// Pairs of numeric columns.
    pub correlations: Vec<Correlation>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// What was found in it, as the rule file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What was done.
    pub transform: &'static str,
    /// How many fields were absent.
    pub absent: u64,
    /// How many values stayed as they were.
    pub kept: u64,
    /// How many became another value, or none as the rule says.
    pub changed: u64,
    /// How many the rule could not read; they were left out.
    pub redacted: u64,
    /// What it cost.
    pub loss: Loss,
}

/// What a column lost, estimated from a sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loss {
    /// The share of the values' information that is gone, 0 to 1: H(before | after) / H(before);
    /// for noise, the share of the variance that is not the values'.
    pub information: f64,
    /// How many different values the sample had.
    pub distinct_before: u64,
    /// How many it has.
    pub distinct_after: u64,
    /// Of numeric columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
}

/// How numbers were and are distributed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distribution {
    /// The begin of the first bar.
    pub from: f64,
    /// The end of the last bar.
    pub to: f64,
    /// The share of values in each bar before.
    pub before: Vec<f64>,
    /// The share of values in each bar after.
    pub after: Vec<f64>,
    /// The mean before and after.
    pub mean: [f64; 2],
    /// The standard deviation before and after.
    pub deviation: [f64; 2],
    /// How much of the distribution moved to other bars, 0 to 1 (total variation distance).
    pub moved: f64,
}

/// Two numeric columns (Pearson).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Correlation {
    /// One column.
    pub first: String,
    /// The other.
    pub second: String,
    /// Before, -1 to 1.
    pub before: f64,
    /// After.
    pub after: f64,
}

/// The k-anonymity that was reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Anonymity {
    /// The k of the rule file.
    pub k: u64,
    /// The records of the smallest class that went out; 0 if none did.
    pub reached: u64,
    /// How many classes there are.
    pub classes: u64,
    /// The l of the rule file, and how many different values the least diverse class has at least;
    /// none without l-diversity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diversity: Option<[u64; 2]>,
    /// The quasi-identifiers, with the level that each got.
    pub quasi_identifiers: Vec<QuasiIdentifier>,
}

/// A quasi-identifier.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuasiIdentifier {
    /// The column.
    pub name: String,
    /// The level, 0 for exact values.
    pub level: usize,
    /// The level at which all values are `*`.
    pub top: usize,
    /// The share of entropy lost, over all records, 0 to 1.
    pub loss: f64,
}

impl Distribution {
    pub(crate) fn new(before: &[f64], after: &[f64], bars: usize) -> Self {
        let all = || before.iter().chain(after);
        let (from, to) = all()
            .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
        let shares = |values: &[f64]| {
            let mut shares = vec![0.0; bars];
            for value in values {
                let place = (value - from) / (to - from) * bars as f64;
                let place = if place.is_finite() { (place as usize).min(bars - 1) } else { 0 };
                if let Some(share) = shares.get_mut(place) {
                    *share += 1.0 / values.len() as f64;
                }
            }
            shares
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let deviation = |values: &[f64]| {
            let mean = mean(values);
            let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            (squares / values.len().max(1) as f64).sqrt()
        };
        let (shares_before, shares_after) = (shares(before), shares(after));
        let moved = shares_before
            .iter()
            .zip(&shares_after)
            .map(|(before, after)| (before - after).abs())
            .sum::<f64>()
            / 2.0;
        Self {
            from,
            to,
            before: shares_before,
            after: shares_after,
            mean: [mean(before), mean(after)],
            deviation: [deviation(before), deviation(after)],
            moved,
        }
    }
}

impl Report {
    /// The report as one HTML page that loads nothing.
    pub fn to_html(&self) -> String {
        html::page(self)
    }

    /// What the signed sharing information says about it: no value of the data.
    pub fn manifest(&self) -> datapact_core::policy::desensitization::Desensitization {
        use datapact_core::policy::desensitization as core;
        let permille = |loss: f64| (loss * 1000.0).round() as u16;
        let columns = self.columns.iter().take(core::COLUMNS_MAX).map(|column| core::Column {
            name: core::Column::name(&column.name),
            transform: column.transform.to_owned(),
            changed: column.changed,
            redacted: column.redacted,
            loss_permille: permille(column.loss.information),
        });
        core::Desensitization {
            tool: concat!("datapact ", env!("CARGO_PKG_VERSION")).to_owned(),
            rules: self.rules,
            format: self.format.to_owned(),
            records: self.records - self.suppressed,
            suppressed: self.suppressed,
            columns: columns.collect(),
            more_columns: self.columns.len().saturating_sub(core::COLUMNS_MAX) as u64,
            k_anonymity: self.k_anonymity.as_ref().map(|anonymity| core::Anonymity {
                k: anonymity.k,
                reached: anonymity.reached,
                l: anonymity.diversity.map(|[l, _]| l),
                quasi_identifiers: anonymity
                    .quasi_identifiers
                    .iter()
                    .take(core::COLUMNS_MAX)
                    .map(|quasi| core::Column::name(&quasi.name))
                    .collect(),
            }),
        }
    }
}
