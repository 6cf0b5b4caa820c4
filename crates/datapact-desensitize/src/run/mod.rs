//! Desensitizing a table: one pass over the data, or two where a rule needs to know all of them
//! before the first record goes out.

mod engine;
mod plan;
mod quantile;
mod survey;

use std::io::Write;

use serde::Serialize;

use self::engine::Engine;
pub use self::plan::Plan;
use self::survey::survey;
use crate::error::Result;
use crate::format::{self, Input};
use crate::report::Report;
use crate::table::Record;

/// How many records go by between two calls of `progress`.
const RECORDS_PER_STEP: u64 = 4096;

/// A few records before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The columns that were read.
    pub columns: Vec<PreviewColumn>,
}

/// A column of a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreviewColumn {
    /// Its name.
    pub name: String,
    /// What is done.
    pub transform: &'static str,
    /// The values before, one a record.
    pub before: Vec<String>,
    /// What became of them; none where the column or the value is left out.
    pub after: Vec<Option<String>>,
}

/// Desensitizes `input` into `output`, in one pass or two. `progress` is called with the number of
/// bytes read, over all passes.
///
/// # Errors
///
/// What reading and writing refuse; rules that do not fit the data; k-anonymity that cannot be
/// reached. Nothing of `output` may be used then.
pub fn run(
    input: &mut Input,
    plan: &Plan,
    output: Box<dyn Write + Send>,
    progress: &mut dyn FnMut(u64),
) -> Result<Report> {
    let survey = survey(input, plan, progress)?;
    let before = survey.bytes;
    let mut source = input.open()?;
    let mut engine = Engine::new(plan, survey, input.format(), &*source)?;
    let mut sink = format::create(
        input.format(),
        &engine.outgoing,
        source.dialect(),
        plan.rules.formulas,
        output,
    )?;
    let mut record = Record::default();
    while source.read(&mut record)? {
        if engine.desensitize(&record, source.columns())? {
            sink.write(&engine.out)?;
        }
        if engine.records % RECORDS_PER_STEP == 0 {
            progress(before + source.bytes_read());
        }
    }
    progress(before + source.bytes_read());
    engine.check_end()?;
    sink.finish()?;
    Ok(engine.report(input.format(), &*source, sink.formulas()))
}

/// What would become of the first `records` that go out; nothing is written.
///
/// # Errors
///
/// As of [`run`].
pub fn preview(
    input: &mut Input,
    plan: &Plan,
    records: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<Preview> {
    let survey = survey(input, plan, progress)?;
    let mut source = input.open()?;
    let mut engine = Engine::new(plan, survey, input.format(), &*source)?;
    let mut columns: Vec<PreviewColumn> = Vec::new();
    let (mut record, mut shown) = (Record::default(), 0);
    while shown < records && source.read(&mut record)? {
        if !engine.desensitize(&record, source.columns())? {
            continue;
        }
        for (index, column) in engine.columns.iter().enumerate() {
            if columns.len() <= index {
                columns.push(PreviewColumn {
                    name: column.rule.name.clone(),
                    transform: column.rule.transform.name(),
                    before: vec![String::new(); shown],
                    after: vec![None; shown],
                });
            }
            let Some(preview) = columns.get_mut(index) else { continue };
            preview.before.push(record.field(index).as_str().to_owned());
            let after = column.place.map(|place| engine.out.field(place));
            preview.after.push(
                after.filter(|field| !field.is_absent()).map(|field| field.as_str().to_owned()),
            );
        }
        shown += 1;
    }
    Ok(Preview { columns })
}

#[cfg(test)]
mod tests;
