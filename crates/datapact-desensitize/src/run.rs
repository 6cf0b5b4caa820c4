//! Doing it: one pass over the data, or two where a rule needs to know all of them first.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datapact_core::id::Digest;
use serde::Serialize;

use crate::anonymity::{self, MEMORY_BYTES, Solution, Survey};
use crate::detect::Names;
use crate::error::{Error, Position, Result, plain};
use crate::format::{self, Format, Outgoing};
use crate::key::{self, PseudonymKey};
use crate::quantile::{Quantiles, Sorted};
use crate::report::{Anonymity, ColumnReport, QuasiIdentifier, Report};
use crate::rules::{self, Rule, Rules, Spread, Transform, no_such_column};
use crate::sample::Sample;
use crate::table::{Column, Field, Input, Kind, Record, Source};
use crate::transform::coarse::{Hierarchies, Scale};
use crate::transform::{Done, Limit, Op, number};

/// After how many records progress is told.
const RECORDS_PER_STEP: u64 = 4096;

/// A rule file with all that it needs.
pub struct Plan {
    rules: Rules,
    digest: Digest,
    hierarchies: Hierarchies,
    key: Option<PseudonymKey>,
    /// The dictionaries of names that rules name.
    names: HashMap<PathBuf, Arc<Names>>,
    /// How much memory classes may take, in bytes.
    memory: usize,
}

/// How many dictionaries of names there may be: all are in memory.
const NAMES_MAX: usize = 1;

impl Plan {
    /// Reads a rule file; `folder` is where it lies, for the files that it names.
    pub fn new(file: &[u8], folder: &Path, key: Option<PseudonymKey>) -> Result<Self> {
        let text = std::str::from_utf8(file).map_err(|error| Error::Rules {
            line: 1,
            detail: format!("byte {} is not UTF-8", error.valid_up_to()),
            hint: "save the rule file in UTF-8",
        })?;
        let rules = Rules::parse(text)?;
        if key.is_none() && rules.columns.iter().any(|rule| rule.transform.needs_key()) {
            return Err(key::missing());
        }
        let mut names = HashMap::new();
        for rule in &rules.columns {
            let Transform::Scrub { names: Some(file), .. } = &rule.transform else { continue };
            if !names.contains_key(file) {
                if names.len() == NAMES_MAX {
                    return Err(Error::Rules {
                        line: rule.line,
                        detail: "there is another file of names already".to_owned(),
                        hint: "put all names into one file",
                    });
                }
                names.insert(file.clone(), Arc::new(Names::read(file, folder)?));
            }
        }
        let hierarchies =
            Hierarchies::read(rules.columns.iter().filter_map(Rule::hierarchy), folder)?;
        Ok(Self {
            rules,
            digest: Rules::digest(file),
            hierarchies,
            key,
            names,
            memory: MEMORY_BYTES,
        })
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Refuses rules that a person must still look at.
    pub fn check_reviewed(&self) -> Result<()> {
        match self.rules.to_review().next() {
            None => Ok(()),
            Some(rule) => Err(Error::Rules {
                line: rule.line,
                detail: format!("the rule for `{}` is marked `review`", plain(&rule.name)),
                hint: "look at the rule, correct it if needed, and take the `review` line away",
            }),
        }
    }

    /// What needs the data more than once, if something does.
    pub fn needs_survey(&self) -> Option<&'static str> {
        let relative =
            |rule: &Rule| matches!(rule.transform, Transform::Noise(Spread::Relative(_)));
        if self.rules.k_anonymity.is_some() {
            Some("k-anonymity")
        } else if self.rules.columns.iter().any(relative) {
            Some("noise relative to a column's deviation")
        } else if self.rules.columns.iter().any(|rule| rule.transform.cuts_at_percentiles()) {
            Some("cutting at percentiles")
        } else {
            None
        }
    }

    fn op(&self, rule: &Rule) -> Result<Op> {
        let mut op = Op::new(rule, self.rules.reading, &self.hierarchies, self.key.as_ref())?;
        if let (Op::Scrub { names, .. }, Transform::Scrub { names: Some(file), .. }) =
            (&mut op, &rule.transform)
        {
            *names = self.names.get(file).cloned();
        }
        Ok(op)
    }
}

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

/// Desensitizes `input` into `output`. `progress` is told how many bytes were read, over all
/// passes.
///
/// On an error nothing of `output` may be used.
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
        if engine.take(&record, source.columns())? {
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

/// What would become of the first few records that go out.
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
        if !engine.take(&record, source.columns())? {
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

/// What all of the data had to tell before the first record.
#[derive(Default)]
struct Surveyed {
    solution: Option<Solution>,
    /// The scales of the quasi-identifiers, in the rules' order.
    scales: Vec<Scale>,
    /// Standard deviations by column.
    deviations: HashMap<String, f64>,
    /// The numbers of columns that are cut at percentiles.
    numbers: HashMap<String, Sorted>,
    bytes: u64,
}

fn survey(input: &mut Input, plan: &Plan, progress: &mut dyn FnMut(u64)) -> Result<Surveyed> {
    let Some(what) = plan.needs_survey() else { return Ok(Surveyed::default()) };
    if !input.is_seekable() {
        return Err(Error::NotSeekable(what));
    }
    let rules = &plan.rules;
    let mut scales = Vec::new();
    let mut quasi: Vec<(&str, Option<usize>)> = Vec::new();
    let mut noisy: Vec<(&str, Option<usize>, Moments)> = Vec::new();
    let mut cut: Vec<(&str, Option<usize>, Quantiles)> = Vec::new();
    for rule in &rules.columns {
        match &rule.transform {
            Transform::QuasiIdentifier(levels) => {
                scales.push(Scale::new(levels, rules.reading, &plan.hierarchies));
                quasi.push((&rule.name, None));
            }
            Transform::Noise(Spread::Relative(_)) => {
                noisy.push((&rule.name, None, Moments::default()))
            }
            transform if transform.cuts_at_percentiles() => {
                cut.push((&rule.name, None, Quantiles::default()))
            }
            _ => {}
        }
    }
    let diversity = rules.k_anonymity.as_ref().and_then(|rule| rule.diversity.as_ref());
    let mut sensitive =
        match diversity.and_then(|(_, name)| rules.by_name().get(name.as_str()).copied()) {
            Some(rule) => Some((rule, None::<usize>, plan.op(rule)?)),
            None => None,
        };
    let mut classes = rules
        .k_anonymity
        .as_ref()
        .map(|rule| Survey::new(rule, scales.iter().collect(), plan.memory));
    let mut source = input.open()?;
    rules.for_columns(source.columns(), input.format())?;
    let (mut record, mut known, mut records) = (Record::default(), 0, 0_u64);
    let mut scratch = Vec::new();
    while source.read(&mut record)? {
        records += 1;
        for (index, column) in source.columns().iter().enumerate().skip(known) {
            for (name, place) in &mut quasi {
                place.get_or_insert_if(*name == column.name, index);
            }
            for (name, place, _) in &mut noisy {
                place.get_or_insert_if(*name == column.name, index);
            }
            for (name, place, _) in &mut cut {
                place.get_or_insert_if(*name == column.name, index);
            }
            if let Some((rule, place, _)) = &mut sensitive {
                place.get_or_insert_if(rule.name == column.name, index);
            }
        }
        known = source.columns().len();
        for (_, place, moments) in &mut noisy {
            let field = record.field(place.unwrap_or(usize::MAX));
            if let Some(number) = number::parse(field.bytes, rules.reading.mark(field.kind)) {
                moments.add(number.value);
            }
        }
        for (_, place, quantiles) in &mut cut {
            let field = record.field(place.unwrap_or(usize::MAX));
            if let Some(number) = number::parse(field.bytes, rules.reading.mark(field.kind)) {
                quantiles.add(number.value);
            }
        }
        if let Some(classes) = &mut classes {
            scratch.clear();
            if let Some((rule, place, op)) = &mut sensitive {
                let field = record.field(place.unwrap_or(usize::MAX));
                // Noise would make all values different; dropped and redacted ones are what is told
                // by the class.
                match rule.transform {
                    Transform::Noise(_) | Transform::Drop | Transform::Redact { .. } => {
                        scratch.extend_from_slice(field.bytes);
                    }
                    _ => {
                        op.apply(field, &mut scratch);
                    }
                }
            }
            let fields = quasi.iter().map(|(_, place)| record.field(place.unwrap_or(usize::MAX)));
            classes.add(fields, &scratch)?;
        }
        if records.is_multiple_of(RECORDS_PER_STEP) {
            progress(source.bytes_read());
        }
    }
    let bytes = source.bytes_read();
    progress(bytes);
    let deviations = noisy
        .into_iter()
        .map(|(name, _, moments)| (name.to_owned(), moments.deviation()))
        .collect();
    let solution = classes.map(Survey::solve).transpose()?;
    let numbers =
        cut.into_iter().map(|(name, _, numbers)| (name.to_owned(), numbers.sorted())).collect();
    Ok(Surveyed { solution, scales, deviations, numbers, bytes })
}

trait InsertIf<T> {
    fn get_or_insert_if(&mut self, condition: bool, value: T);
}

impl<T> InsertIf<T> for Option<T> {
    fn get_or_insert_if(&mut self, condition: bool, value: T) {
        if condition {
            self.get_or_insert(value);
        }
    }
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

/// One column as it is read.
struct Bound<'p> {
    rule: &'p Rule,
    op: Op,
    quasi: bool,
    /// Where it stands in what goes out; none if it is dropped.
    place: Option<usize>,
    absent: u64,
    kept: u64,
    changed: u64,
    redacted: u64,
}

/// A quasi-identifier.
struct Quasi<'p> {
    name: &'p str,
    scale: Scale,
    level: usize,
    /// Where it is read; none as long as no record had it (JSON lines).
    place: Option<usize>,
}

struct Engine<'p> {
    plan: &'p Plan,
    rules: HashMap<&'p str, &'p Rule>,
    columns: Vec<Bound<'p>>,
    outgoing: Vec<Outgoing>,
    /// JSON lines: where each rule's column stands in what goes out.
    places: Option<HashMap<&'p str, usize>>,
    out: Record,
    survey: Surveyed,
    /// The quasi-identifiers in the rules' order.
    quasi: Vec<Quasi<'p>>,
    sample: Option<Sample>,
    sample_places: Vec<Option<usize>>,
    records: u64,
    suppressed: u64,
}

impl<'p> Engine<'p> {
    fn new(
        plan: &'p Plan,
        mut survey: Surveyed,
        format: Format,
        source: &dyn Source,
    ) -> Result<Self> {
        let found = plan.rules.for_columns(source.columns(), format)?;
        let stays = |rule: &&Rule| rule.transform != Transform::Drop;
        let levels = survey.solution.iter().flat_map(|solution| solution.levels.iter().copied());
        let is_quasi = |rule: &&Rule| matches!(rule.transform, Transform::QuasiIdentifier(_));
        let exact: std::collections::HashSet<&str> = plan
            .rules
            .columns
            .iter()
            .filter(is_quasi)
            .zip(levels)
            .filter(|(_, level)| *level == 0)
            .map(|(rule, _)| rule.name.as_str())
            .collect();
        let places_read: HashMap<&str, usize> = source
            .columns()
            .iter()
            .enumerate()
            .map(|(place, column)| (column.name.as_str(), place))
            .collect();
        let column = |rule: &Rule| Outgoing {
            name: rule.name.clone(),
            typed_as: places_read
                .get(rule.name.as_str())
                .copied()
                .filter(|_| rule.transform.keeps_type() || exact.contains(rule.name.as_str())),
            whole: rule.transform == Transform::Keep,
        };
        let by_rules = format == Format::JsonLines;
        let outgoing: Vec<Outgoing> = if by_rules {
            plan.rules.columns.iter().filter(stays).map(column).collect()
        } else {
            found.into_iter().filter(stays).map(column).collect()
        };
        if outgoing.is_empty() {
            return Err(Error::mismatch(
                "nothing would be left: all columns are dropped",
                "keep one column",
            ));
        }
        let places = by_rules.then(|| {
            let stay = plan.rules.columns.iter().filter(stays);
            stay.enumerate().map(|(place, rule)| (rule.name.as_str(), place)).collect()
        });
        let levels = survey.solution.iter().flat_map(|solution| solution.levels.iter().copied());
        let quasi = plan
            .rules
            .columns
            .iter()
            .filter(is_quasi)
            .zip(std::mem::take(&mut survey.scales).into_iter().zip(levels))
            .map(|(rule, (scale, level))| Quasi { name: &rule.name, scale, level, place: None })
            .collect();
        let mut engine = Self {
            plan,
            rules: plan.rules.by_name(),
            columns: Vec::new(),
            outgoing,
            places,
            out: Record::default(),
            survey,
            quasi,
            sample: None,
            sample_places: Vec::new(),
            records: 0,
            suppressed: 0,
        };
        engine.bind(source.columns(), &Position::default())?;
        Ok(engine)
    }

    /// Takes note of columns that were not there before.
    fn bind(&mut self, columns: &[Column], at: &Position) -> Result<()> {
        for (index, column) in columns.iter().enumerate().skip(self.columns.len()) {
            let rule = *self.rules.get(column.name.as_str()).ok_or_else(|| {
                let detail = format!("the column `{}` has no rule", plain(&column.name));
                let hint = "add a rule for it; `transform = \"keep\"` is one, `\"drop\"` another";
                Error::malformed(at.clone(), detail, hint)
            })?;
            let mut op = self.plan.op(rule)?;
            let quasi = self.quasi.iter_mut().find(|quasi| quasi.name == rule.name);
            let solved = quasi.map(|quasi| {
                quasi.place = Some(index);
                quasi.level
            });
            match (&mut op, &rule.transform, solved) {
                (Op::Coarse { level, .. }, Transform::QuasiIdentifier(_), Some(solved)) => {
                    *level = solved
                }
                (Op::Noise { deviation, .. }, Transform::Noise(Spread::Relative(relative)), _) => {
                    *deviation =
                        relative * self.survey.deviations.get(&rule.name).copied().unwrap_or(0.0);
                }
                (
                    Op::TopBottom { bottom, top, .. },
                    Transform::TopBottom { bottom: low, top: high },
                    _,
                ) => {
                    let numbers = self.survey.numbers.get(&rule.name);
                    let at = |bound| numbers?.percentile(rules::Bound::percentile(bound)?);
                    if let Some(low) = at(*low) {
                        *bottom = Limit::bottom(Some(low));
                    }
                    if let Some(high) = at(*high) {
                        *top = Limit::top(Some(high));
                    }
                }
                _ => {}
            }
            let place = match &self.places {
                _ if op.drops() => None,
                Some(places) => places.get(rule.name.as_str()).copied(),
                None => Some(
                    self.columns
                        .iter()
                        .filter_map(|column| column.place)
                        .next_back()
                        .map_or(0, |p| p + 1),
                ),
            };
            let quasi = matches!(rule.transform, Transform::QuasiIdentifier(_));
            self.columns.push(Bound {
                rule,
                op,
                quasi,
                place,
                absent: 0,
                kept: 0,
                changed: 0,
                redacted: 0,
            });
            self.sample_places.push(place);
        }
        Ok(())
    }

    /// Desensitizes a record into `out`; false if it is to be left out.
    fn take(&mut self, record: &Record, columns: &[Column]) -> Result<bool> {
        self.records += 1;
        if columns.len() > self.columns.len() {
            self.bind(columns, &record.position)?;
        }
        if !self.is_admitted(record)? {
            self.suppressed += 1;
            return Ok(false);
        }
        let json = self.places.is_some();
        self.out.clear();
        for (index, column) in self.columns.iter_mut().enumerate() {
            let field = record.field(index);
            let (op, quasi) = (&mut column.op, column.quasi);
            let done = match column.place {
                None if field.is_absent() => Done::Absent(field.kind),
                None => Done::Changed(Kind::Missing),
                Some(place) => self.out.put(place, |data| match op.apply(field, data) {
                    // In a class no record may be told from another by how its value is written.
                    Done::Absent(_) if quasi => Done::Absent(Kind::Null),
                    Done::Kept(_) if quasi && json => Done::Kept(Kind::Text),
                    done => done,
                }),
            };
            let count = match done {
                Done::Absent(_) => &mut column.absent,
                Done::Kept(_) => &mut column.kept,
                Done::Changed(_) => &mut column.changed,
                Done::Redacted => &mut column.redacted,
            };
            *count += 1;
        }
        if let Some(places) = &self.places {
            for quasi in self.quasi.iter().filter(|quasi| quasi.place.is_none()) {
                let Some(place) = places.get(quasi.name) else { continue };
                self.out.put(*place, |data| {
                    anonymity::label(&quasi.scale, quasi.level, Field::default(), data);
                    if quasi.level >= quasi.scale.top() { Kind::Text } else { Kind::Null }
                });
            }
        }
        let sample = self
            .sample
            .get_or_insert_with(|| Sample::new(self.columns.len(), self.plan.rules.reading));
        sample.offer(record, &self.out, &self.sample_places);
        Ok(true)
    }

    fn is_admitted(&mut self, record: &Record) -> Result<bool> {
        let Some(solution) = &mut self.survey.solution else { return Ok(true) };
        solution.admits(
            self.quasi
                .iter()
                .map(|quasi| (&quasi.scale, record.field(quasi.place.unwrap_or(usize::MAX)))),
        )
    }

    fn check_end(&self) -> Result<()> {
        if self.survey.solution.as_ref().is_some_and(|solution| {
            (solution.records, solution.suppressed) != (self.records, self.suppressed)
        }) {
            return Err(Error::mismatch(
                "the data changed between the first and the second reading",
                "let nothing write to the file meanwhile, and try again",
            ));
        }
        let seen: std::collections::HashSet<&str> =
            self.columns.iter().map(|column| column.rule.name.as_str()).collect();
        match self.plan.rules.columns.iter().find(|rule| !seen.contains(rule.name.as_str())) {
            Some(rule) => Err(no_such_column(rule)),
            None => Ok(()),
        }
    }

    fn report(&self, format: Format, source: &dyn Source, formulas: u64) -> Report {
        let empty = Sample::new(0, self.plan.rules.reading);
        let sample = self.sample.as_ref().unwrap_or(&empty);
        let columns = self.columns.iter().enumerate().map(|(index, column)| ColumnReport {
            name: column.rule.name.clone(),
            found: column.rule.found.clone(),
            transform: column.rule.transform.name(),
            absent: column.absent,
            kept: column.kept,
            changed: column.changed,
            redacted: column.redacted,
            loss: sample.loss(index, &column.rule.transform),
        });
        let names: Vec<String> =
            self.columns.iter().map(|column| column.rule.name.clone()).collect();
        let solved = self.plan.rules.k_anonymity.as_ref().zip(self.survey.solution.as_ref());
        let k_anonymity = solved.map(|(rule, solution)| Anonymity {
            k: rule.k,
            reached: solution.k,
            classes: solution.classes(),
            diversity: rule.diversity.as_ref().map(|(l, _)| [*l, solution.l.unwrap_or(0)]),
            quasi_identifiers: self
                .quasi
                .iter()
                .zip(&solution.losses)
                .map(|(quasi, loss)| QuasiIdentifier {
                    name: quasi.name.to_owned(),
                    level: quasi.level,
                    top: quasi.scale.top(),
                    loss: *loss,
                })
                .collect(),
        });
        Report {
            rules: self.plan.digest,
            format: format.name(),
            encoding: source.dialect().encoding,
            records: self.records,
            suppressed: self.suppressed,
            formulas,
            columns: columns.collect(),
            k_anonymity,
            sampled: sample.len() as u64,
            correlations: sample.correlations(&names),
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
