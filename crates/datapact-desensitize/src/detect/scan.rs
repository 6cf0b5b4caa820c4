//! The scan of a whole table, from which rules are proposed.

use super::column::{Evidence, judge};
use super::sample::Sample;
use crate::error::Result;
use crate::rules::Rules;
use crate::table::{Input, Kind, Record};

/// How many records go by between two calls of `progress`.
const STEP: u64 = 4096;

/// Rules that a scan proposes, and why.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// One rule for each column.
    pub rules: Rules,
    /// What was found out about each column, in the same order.
    pub columns: Vec<Evidence>,
    /// How many records the table has.
    pub records: u64,
}

/// Reads a table once and proposes a rule for every column: by its header, and by a sample of its values from all over
/// the table. `progress` is told how many bytes of the input were read. Memory stays bounded whatever the table.
///
/// # Errors
///
/// What reading the table refuses.
pub fn scan(input: &mut Input, progress: &mut dyn FnMut(u64)) -> Result<Proposal> {
    let mut source = input.open()?;
    let (mut record, mut records) = (Record::default(), 0u64);
    let mut samples: Vec<Sample> = Vec::new();
    while source.read(&mut record)? {
        let columns = source.columns().len();
        while samples.len() < columns {
            let mut sample = Sample::new(columns, samples.len());
            sample.absent = records;
            samples.push(sample);
        }
        for (index, sample) in samples.iter_mut().enumerate() {
            let field = record.field(index);
            let text = field.as_str();
            if text.trim().is_empty() {
                sample.absent += 1;
                continue;
            }
            sample.nested += u64::from(field.kind == Kind::Nested);
            sample.add(text);
        }
        records += 1;
        if records.is_multiple_of(STEP) {
            progress(source.bytes_read());
        }
    }
    progress(source.bytes_read());
    let columns = source.columns();
    while samples.len() < columns.len() {
        samples.push(Sample::new(columns.len(), samples.len()));
    }
    let judged = columns.iter().zip(&samples).map(|(column, sample)| judge(&column.name, sample));
    let (rules, evidence) = judged.unzip();
    let rules = Rules { columns: rules, ..Rules::default() };
    Ok(Proposal { rules, columns: evidence, records })
}
