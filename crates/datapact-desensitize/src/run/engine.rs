//! The pass that writes: each record through the ops of its columns.

use std::collections::HashMap;

use super::plan::Plan;
use super::survey::Surveyed;
use crate::anonymity;
use crate::error::{Error, Position, Result};
use crate::format::{Format, Outgoing, Source};
use crate::report::{Anonymity, ColumnReport, QuasiIdentifier, Report, Sample};
use crate::rules::{Rule, Transform, no_such_column, without_rule};
use crate::table::{Column, Field, Kind, Record};
use crate::transform::coarse::Scale;
use crate::transform::{Done, Op};

/// One column as it is read.
pub(super) struct BoundColumn<'p> {
    pub(super) rule: &'p Rule,
    op: Op,
    is_quasi: bool,
    /// Where it is in what goes out; none if it is dropped.
    pub(super) place: Option<usize>,
    absent: u64,
    unchanged: u64,
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

pub(super) struct Engine<'p> {
    plan: &'p Plan,
    rules: HashMap<&'p str, &'p Rule>,
    pub(super) columns: Vec<BoundColumn<'p>>,
    pub(super) outgoing: Vec<Outgoing>,
    /// JSON lines: where each rule's column is in what goes out.
    places: Option<HashMap<&'p str, usize>>,
    /// The last record that was desensitized.
    pub(super) out: Record,
    survey: Surveyed<'p>,
    /// The quasi-identifiers in the rules' order.
    quasi: Vec<Quasi<'p>>,
    sample: Option<Sample>,
    pub(super) records: u64,
    suppressed: u64,
}

impl<'p> Engine<'p> {
    /// Makes ready for the columns of `source`.
    ///
    /// # Errors
    ///
    /// A column without a rule, a rule without a column, and rules that leave no column.
    pub(super) fn new(
        plan: &'p Plan,
        mut survey: Surveyed<'p>,
        format: Format,
        source: &dyn Source,
    ) -> Result<Self> {
        let found = plan.rules.for_columns(source.columns(), format)?;
        let stays = |rule: &&Rule| rule.transform != Transform::Drop;
        let columns = source.columns().iter().enumerate();
        let places_read: HashMap<&str, usize> =
            columns.map(|(place, column)| (column.name.as_str(), place)).collect();
        let outgoing = |rule: &Rule| {
            // A quasi-identifier at level 0 is as exact as it was, and keeps its type, too.
            let is_exact = matches!(rule.transform, Transform::QuasiIdentifier(_))
                && survey.facts.get(&*rule.name).is_some_and(|facts| facts.level == 0);
            let place = places_read.get(rule.name.as_str()).copied();
            Outgoing {
                name: rule.name.clone(),
                typed_as: place.filter(|_| rule.transform.keeps_type() || is_exact),
                whole: rule.transform == Transform::Keep,
            }
        };
        // Columns of JSON lines are known only as they are read: the rules say which go out.
        let by_rules = format == Format::JsonLines;
        let outgoing: Vec<Outgoing> = if by_rules {
            plan.rules.columns.iter().filter(stays).map(outgoing).collect()
        } else {
            found.into_iter().filter(stays).map(outgoing).collect()
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
        let is_quasi = |rule: &&Rule| matches!(rule.transform, Transform::QuasiIdentifier(_));
        let quasi = plan
            .rules
            .columns
            .iter()
            .filter(is_quasi)
            .zip(std::mem::take(&mut survey.scales))
            .map(|(rule, scale)| {
                let level = survey.facts.get(&*rule.name).map_or(0, |facts| facts.level);
                Quasi { name: &rule.name, scale, level, place: None }
            })
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
            records: 0,
            suppressed: 0,
        };
        engine.bind(source.columns(), &Position::default())?;
        Ok(engine)
    }

    /// Gives columns that were not there before their ops.
    fn bind(&mut self, columns: &[Column], at: &Position) -> Result<()> {
        for (index, column) in columns.iter().enumerate().skip(self.columns.len()) {
            let rule = *self.rules.get(column.name.as_str()).ok_or_else(|| {
                let (detail, hint) = without_rule(column);
                Error::malformed(at.clone(), detail, hint)
            })?;
            if let Some(quasi) = self.quasi.iter_mut().find(|quasi| quasi.name == rule.name) {
                quasi.place = Some(index);
            }
            let facts = self.survey.facts.get(&*rule.name).copied().unwrap_or_default();
            let op = self.plan.op(rule, facts)?;
            let place = match &self.places {
                _ if op.drops() => None,
                Some(places) => places.get(rule.name.as_str()).copied(),
                None => {
                    let before = self.columns.iter().rev().find_map(|column| column.place);
                    Some(before.map_or(0, |place| place + 1))
                }
            };
            self.columns.push(BoundColumn {
                rule,
                op,
                is_quasi: matches!(rule.transform, Transform::QuasiIdentifier(_)),
                place,
                absent: 0,
                unchanged: 0,
                changed: 0,
                redacted: 0,
            });
        }
        Ok(())
    }

    /// Desensitizes a record into `out`; false if it is to be left out.
    pub(super) fn desensitize(&mut self, record: &Record, columns: &[Column]) -> Result<bool> {
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
            let (op, quasi) = (&mut column.op, column.is_quasi);
            let done = match column.place {
                None if field.is_absent() => Done::Absent(field.kind),
                None => Done::Changed(Kind::Missing),
                Some(place) => self.out.put(place, |data| match op.apply(field, data) {
                    // How a value is written must not distinguish the records of a class.
                    Done::Absent(_) if quasi => Done::Absent(Kind::Null),
                    Done::Unchanged(_) if quasi && json => Done::Unchanged(Kind::Text),
                    done => done,
                }),
            };
            let count = match done {
                Done::Absent(_) => &mut column.absent,
                Done::Unchanged(_) => &mut column.unchanged,
                Done::Changed(_) => &mut column.changed,
                Done::Redacted => &mut column.redacted,
            };
            *count += 1;
        }
        self.add_missing_quasi();
        let columns = &self.columns;
        let sample =
            self.sample.get_or_insert_with(|| Sample::new(columns.len(), self.plan.rules.reading));
        sample.offer(record, &self.out, |index| columns.get(index)?.place);
        Ok(true)
    }

    /// JSON lines: a quasi-identifier that no record had so far must look in the output like an
    /// absent one, or its absence would tell these records from later ones.
    fn add_missing_quasi(&mut self) {
        let Some(places) = &self.places else { return };
        for quasi in self.quasi.iter().filter(|quasi| quasi.place.is_none()) {
            let Some(place) = places.get(quasi.name) else { continue };
            self.out.put(*place, |data| {
                anonymity::label(&quasi.scale, quasi.level, Field::default(), data);
                if quasi.level >= quasi.scale.top() { Kind::Text } else { Kind::Null }
            });
        }
    }

    /// Whether enough records share this one's quasi-identifiers.
    fn is_admitted(&mut self, record: &Record) -> Result<bool> {
        let Some(solution) = &mut self.survey.solution else { return Ok(true) };
        solution.admits(self.quasi.iter().map(|quasi| {
            let field = quasi.place.map(|place| record.field(place)).unwrap_or_default();
            (&quasi.scale, field)
        }))
    }

    /// Refuses data that changed since the survey, and rules whose column never came.
    pub(super) fn check_end(&self) -> Result<()> {
        let counted = (self.records, self.suppressed);
        let solution = self.survey.solution.as_ref();
        if solution.is_some_and(|solution| (solution.records, solution.suppressed) != counted) {
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

    /// What was done, and what it cost.
    pub(super) fn report(&self, format: Format, source: &dyn Source, formulas: u64) -> Report {
        // Without any record that went out there is no sample, and nothing was lost.
        let empty = Sample::new(0, self.plan.rules.reading);
        let sample = self.sample.as_ref().unwrap_or(&empty);
        let columns = self.columns.iter().enumerate().map(|(index, column)| ColumnReport {
            name: column.rule.name.clone(),
            found: column.rule.found.clone(),
            transform: column.rule.transform.name(),
            absent: column.absent,
            kept: column.unchanged,
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
