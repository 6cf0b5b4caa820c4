//! The first of two passes, for rules that need to know all of the data before the first record
//! goes out.

use std::collections::HashMap;

use super::RECORDS_PER_STEP;
use super::plan::Plan;
use super::quantile::Quantiles;
use crate::anonymity::{Solution, Survey};
use crate::error::{Error, Result};
use crate::format::Input;
use crate::rules::{Bound, Reading, Spread, Transform};
use crate::table::{Column, Field, Record};
use crate::transform::coarse::Scale;
use crate::transform::{ColumnFacts, Op, number};

/// What the first pass found out.
#[derive(Default)]
pub(super) struct Surveyed<'p> {
    pub(super) solution: Option<Solution>,
    /// The scales of the quasi-identifiers, in the rules' order.
    pub(super) scales: Vec<Scale>,
    /// By column.
    pub(super) facts: HashMap<&'p str, ColumnFacts>,
    /// How many bytes the pass read.
    pub(super) bytes: u64,
}

/// A column that the survey looks at, and what it has gathered of it.
struct Watched<'p, T> {
    name: &'p str,
    /// Where it is read; none as long as no record had it (JSON lines).
    place: Option<usize>,
    gathered: T,
}

impl<'p, T> Watched<'p, T> {
    fn new(name: &'p str, gathered: T) -> Self {
        Self { name, place: None, gathered }
    }

    fn meet(&mut self, column: &Column, place: usize) {
        if self.name == column.name {
            self.place.get_or_insert(place);
        }
    }

    fn field<'r>(&self, record: &'r Record) -> Field<'r> {
        self.place.map(|place| record.field(place)).unwrap_or_default()
    }

    fn number(&self, record: &Record, reading: Reading) -> Option<f64> {
        let field = self.field(record);
        number::parse(field.bytes, reading.mark(field.kind)).map(|number| number.value)
    }
}

/// Reads the data once if the plan needs that; else nothing is read.
///
/// # Errors
///
/// [`Error::NotSeekable`] for a stream; what reading refuses; rules that do not fit the data; and
/// [`Error::Mismatch`] if k-anonymity cannot be reached.
pub(super) fn survey<'p>(
    input: &mut Input,
    plan: &'p Plan,
    progress: &mut dyn FnMut(u64),
) -> Result<Surveyed<'p>> {
    let Some(what) = plan.needs_survey() else { return Ok(Surveyed::default()) };
    if !input.is_seekable() {
        return Err(Error::NotSeekable(what));
    }
    let rules = &plan.rules;
    let (mut scales, mut quasi, mut noisy, mut cut) = (vec![], vec![], vec![], vec![]);
    for rule in &rules.columns {
        match &rule.transform {
            Transform::QuasiIdentifier(levels) => {
                scales.push(Scale::new(levels, rules.reading, &plan.hierarchies));
                quasi.push(Watched::new(&rule.name, ()));
            }
            Transform::Noise(Spread::Relative(relative)) => {
                noisy.push(Watched::new(&rule.name, (*relative, Moments::default())));
            }
            Transform::TopBottom { bottom, top } if rule.transform.cuts_at_percentiles() => {
                cut.push(Watched::new(&rule.name, ([*bottom, *top], Quantiles::default())));
            }
            _ => {}
        }
    }
    let k_anonymity = rules.k_anonymity.as_ref();
    let diversity = k_anonymity.and_then(|rule| rule.diversity.as_ref());
    let by_name = rules.by_name();
    let sensitive = diversity.and_then(|(_, name)| by_name.get(name.as_str()).copied());
    let mut sensitive = sensitive
        .map(|rule| plan.op(rule, ColumnFacts::default()).map(|op| Watched::new(&rule.name, op)))
        .transpose()?;
    let mut classes =
        k_anonymity.map(|rule| Survey::new(rule, scales.iter().collect(), plan.memory));
    let mut source = input.open()?;
    rules.for_columns(source.columns(), input.format())?;
    let (mut record, mut met, mut records) = (Record::default(), 0, 0_u64);
    let mut scratch = Vec::new();
    while source.read(&mut record)? {
        records += 1;
        // JSON lines may have new columns in any record.
        for (place, column) in source.columns().iter().enumerate().skip(met) {
            quasi.iter_mut().for_each(|watched| watched.meet(column, place));
            noisy.iter_mut().for_each(|watched| watched.meet(column, place));
            cut.iter_mut().for_each(|watched| watched.meet(column, place));
            sensitive.iter_mut().for_each(|watched| watched.meet(column, place));
        }
        met = source.columns().len();
        for watched in &mut noisy {
            if let Some(number) = watched.number(&record, rules.reading) {
                watched.gathered.1.add(number);
            }
        }
        for watched in &mut cut {
            if let Some(number) = watched.number(&record, rules.reading) {
                watched.gathered.1.add(number);
            }
        }
        if let Some(classes) = &mut classes {
            scratch.clear();
            if let Some(watched) = &mut sensitive {
                let field = watched.field(&record);
                match &mut watched.gathered {
                    // Noise would make all values different. Of dropped and redacted values, a
                    // class must not betray what they were.
                    Op::Noise { .. } | Op::Drop | Op::Redact(_) => {
                        scratch.extend_from_slice(field.bytes);
                    }
                    op => {
                        op.apply(field, &mut scratch);
                    }
                }
            }
            classes.add(quasi.iter().map(|watched| watched.field(&record)), &scratch)?;
        }
        if records.is_multiple_of(RECORDS_PER_STEP) {
            progress(source.bytes_read());
        }
    }
    let bytes = source.bytes_read();
    progress(bytes);
    let solution = classes.map(Survey::solve).transpose()?;
    let mut facts = HashMap::new();
    for watched in noisy {
        let (relative, moments) = watched.gathered;
        let deviation = relative * moments.deviation();
        facts.insert(watched.name, ColumnFacts { deviation, ..ColumnFacts::default() });
    }
    for watched in cut {
        let (bounds, numbers) = watched.gathered;
        let numbers = numbers.sorted();
        let [bottom, top] = bounds.map(|bound| numbers.percentile(Bound::percentile(bound)?));
        facts.insert(watched.name, ColumnFacts { bottom, top, ..ColumnFacts::default() });
    }
    let levels = solution.iter().flat_map(|solution| solution.levels.iter().copied());
    for (watched, level) in quasi.iter().zip(levels) {
        facts.insert(watched.name, ColumnFacts { level, ..ColumnFacts::default() });
    }
    Ok(Surveyed { solution, scales, facts, bytes })
}

/// Mean and variance in one pass (Welford).
#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let difference = value - self.mean;
        self.mean += difference / self.count;
        self.squares += difference * (value - self.mean);
    }

    fn deviation(&self) -> f64 {
        if self.count > 1.0 { (self.squares / (self.count - 1.0)).sqrt() } else { 0.0 }
    }
}
