//! The one place where a column's proposal is decided.
//!
//! [`decide`] asks in this order, and the first answer counts: what most values are as a whole,
//! whether they are free text, what the header announces. What goes out are values, so they come
//! first; a header alone only adds what values cannot show.

use super::dates::{Form, form_of, year_of};
use super::findings::{Findings, Tally};
use super::header::Announced;
use super::sample::Sample;
use super::shape;
use crate::detect::{Names, SURE, find};
use crate::entity::Entity;
use crate::rules::{DateStep, Entities, Levels, Transform};

/// The share of values from which a column is what they are.
const MOST: f32 = 0.5;
/// The share of values from which a header that agrees makes a column what they are.
const MANY: f32 = 0.3;
/// The share of values from which they are worth a look.
const SOME: f32 = 0.02;
/// From so many different values on that all pass a check, the check proves what they are.
const PROOF: usize = 8;
/// The mean number of words from which values are sentences.
const SENTENCE_WORDS: f32 = 6.0;
/// Dates over so many years may be dates of birth.
const LIFETIME_YEARS: u64 = 25;

/// Everything that speaks for or against a proposal.
pub(super) struct Column<'a> {
    /// The sampled values, without white space around them; none is empty.
    pub(super) values: Vec<&'a str>,
    pub(super) sample: &'a Sample,
    /// The dictionary of names that were looked for.
    pub(super) names: Option<&'a Names>,
    pub(super) header: Vec<Announced>,
    pub(super) findings: Findings,
}

/// What a column is taken for.
pub(super) struct Verdict {
    pub(super) found: Option<&'static str>,
    /// How sure that is, 0 to 1.
    pub(super) confidence: f32,
    pub(super) transform: Transform,
    /// Why a person has to look at it, if that is needed.
    pub(super) review: Option<String>,
}

impl Verdict {
    fn sure(found: &'static str, confidence: f32, transform: Transform) -> Self {
        Self { found: Some(found), confidence, transform, review: None }
    }

    /// Nothing personal was found.
    fn keep() -> Self {
        Self { found: None, confidence: 0.8, transform: Transform::Keep, review: None }
    }

    fn marked(self, why: impl Into<String>) -> Self {
        Self { review: Some(why.into()), ..self }
    }
}

/// What a column is, and what is to be done with it.
pub(super) fn decide(column: &Column<'_>) -> Verdict {
    if column.values.is_empty() {
        return empty(column);
    }
    if column.sample.nested > 0 {
        let why = "nested values are not searched; keep them only if they hold nothing personal";
        let drop = Verdict { transform: Transform::Drop, confidence: 0.5, ..Verdict::keep() };
        return drop.marked(why);
    }
    if let Some(verdict) = by_values(column) {
        // Streets and the like have more forms than recognizers know: a header that is sure of the
        // same finding spares the review.
        let header = || by_header(column).filter(|header| header.found == verdict.found);
        let sure = verdict.review.is_some().then(header).flatten();
        return sure.filter(|header| header.review.is_none()).unwrap_or(verdict);
    }
    free_text(column).or_else(|| by_header(column)).unwrap_or_else(|| by_rare_values(column))
}

/// Without values only the header speaks, and whatever it announces needs a review.
fn empty(column: &Column<'_>) -> Verdict {
    match column.header.iter().find_map(|announced| announced.entity()) {
        Some(entity) => Verdict::sure(entity.name(), 0.4, transform_for(entity))
            .marked("the column has no values; its header announces this"),
        None => Verdict::keep(),
    }
}

/// Values that are mostly one entity.
fn by_values(column: &Column<'_>) -> Option<Verdict> {
    let findings = &column.findings;
    let distinct = column.sample.distinct();
    let agrees = |tally: &Tally| {
        column.header.iter().any(|announced| announced.agrees(tally.entity, tally.kind))
    };
    let score = |tally: &Tally| {
        let (share, mean) = (findings.share(tally.hits), tally.mean());
        // How likely other numbers of the same form pass the entity's check.
        let chance = match (tally.entity, tally.kind) {
            (_, Some(kind)) => kind.chance(),
            (Entity::PaymentCard, _) => 0.05,
            _ => 1.0,
        };
        // Of many values that all pass a check, not all do so by chance.
        let proven = mean >= 0.15 && share >= 0.95 && chance <= 0.1 && distinct >= PROOF;
        let sure = if proven { mean.max(0.9 - chance) } else { mean };
        share * if agrees(tally) { 1.0 - (1.0 - sure) * 0.15 } else { sure }
    };
    let (name, tally, sure) = findings
        .wholly
        .iter()
        .filter(|(_, tally)| findings.share(tally.hits) >= MANY)
        .map(|(name, tally)| (*name, tally, score(tally)))
        // Names decide between equals, so that the proposal is the same each time.
        .max_by(|a, b| a.2.total_cmp(&b.2).then(b.0.cmp(a.0)))?;
    let (agreed, share) = (agrees(tally), findings.share(tally.hits));
    if !agreed && (share < MOST || sure < 0.3) {
        return None;
    }
    if tally.entity == Entity::Date {
        return Some(dates(column, sure));
    }
    let is_definite =
        |announced: &&Announced| matches!(announced, Announced::Entity(_) | Announced::Kind(_));
    let denied = !agreed && column.header.iter().any(|announced| is_definite(&announced));
    // Digits without any check are more often something else.
    if !agreed && !denied && sure < 0.42 {
        return None;
    }
    let verdict = Verdict::sure(name, sure, transform_for(tally.entity));
    let why = if denied && sure < 0.9 {
        let announced = column.header.first().map_or("", |announced| announced.name());
        format!("the header announces {announced}")
    } else if share < 0.9 {
        format!("only {:.0} % of the values are {name}", share * 100.0)
    } else if sure < SURE {
        format!("values look like {name}, but no check proves it")
    } else if tally.entity == Entity::Url {
        "a URL may name a person".to_owned()
    } else {
        return Some(verdict);
    };
    Some(verdict.marked(why))
}

/// Dates: of birth if the header says so, and perhaps if they go back a lifetime.
fn dates(column: &Column<'_>, sure: f32) -> Verdict {
    let birth_dates = |confidence, why: Option<&str>| {
        let (transform, why) = match form_of(&column.values) {
            Form::Plain | Form::Ordered(_) => (transform_for(Entity::BirthDate), why),
            Form::Either => (
                transform_for(Entity::BirthDate),
                Some("say by `dates` which of day and month is first"),
            ),
            // The rule could not read them and would take them away: so does this, and says it.
            Form::Unreadable => {
                (Transform::Redact { with: None }, Some("dates of this form cannot be generalized"))
            }
        };
        let verdict = Verdict::sure(Entity::BirthDate.name(), confidence, transform);
        Verdict { review: why.map(str::to_owned), ..verdict }
    };
    if column.header.contains(&Announced::Entity(Entity::BirthDate)) {
        return birth_dates(sure.max(0.9), None);
    }
    let years = || column.values.iter().filter_map(|value| year_of(value));
    let (first, last) = (years().min().unwrap_or(0), years().max().unwrap_or(0));
    if last.saturating_sub(first) >= LIFETIME_YEARS {
        return birth_dates(0.5, Some("dates over many years may be dates of birth"));
    }
    Verdict::sure(Entity::Date.name(), sure, Transform::Keep)
}

/// Sentences, and values with something personal among other text.
fn free_text(column: &Column<'_>) -> Option<Verdict> {
    let findings = &column.findings;
    let words: usize = column.values.iter().map(|value| shape::words(value)).sum();
    let mean = words as f32 / column.values.len().max(1) as f32;
    let most = findings.within.iter().max_by_key(|(name, hits)| (**hits, **name));
    let personal = most.filter(|(_, hits)| findings.share(**hits) >= SOME);
    let is_street = column.header.contains(&Announced::Entity(Entity::Address));
    if is_street || (mean < SENTENCE_WORDS && personal.is_none()) {
        return None;
    }
    let of_names = match column.names {
        Some(_) => "of names of people, only those in the dictionary are found",
        None => "names of people in free text are not found",
    };
    let scrub = |confidence| Verdict::sure("free-text", confidence, scrub(column));
    Some(match personal {
        Some((name, hits)) => {
            let percent = (findings.share(*hits) * 100.0).ceil();
            scrub(0.9).marked(format!("{percent:.0} % of the values contain {name}; {of_names}"))
        }
        None => scrub(0.7).marked(of_names),
    })
}

/// What values must look like, whether they are all that `announced` can mean, and how sure it is
/// then.
fn expected(announced: Announced) -> (fn(&str) -> bool, f32) {
    match announced {
        Announced::Entity(Entity::PersonName) => (shape::is_name, 0.92),
        Announced::Entity(Entity::Address) => (shape::has_letter, 0.88),
        Announced::Entity(Entity::PostalCode) => (shape::is_postcode, 0.9),
        Announced::Entity(Entity::IdentityDocument) => (shape::is_code, 0.85),
        Announced::Entity(Entity::Phone) => (shape::is_phone, 0.85),
        Announced::Entity(Entity::NationalId) => (shape::is_code, 0.82),
        Announced::Entity(Entity::Iban) => (shape::is_account, 0.7),
        Announced::Degrees => (shape::is_degrees, 0.92),
        Announced::Kind(_) => (shape::is_code, 0.6),
        // Recognizers know all forms of these: values that they do not recognize are something
        // else.
        _ => (|_| false, 0.4),
    }
}

/// Columns whose values prove nothing, but whose headers do.
fn by_header(column: &Column<'_>) -> Option<Verdict> {
    let share = |test: fn(&str) -> bool| {
        column.findings.share(column.values.iter().filter(|value| test(value)).count())
    };
    // Where most values do not look like it, a header that may mean names means something else.
    let counts =
        |announced: &&Announced| **announced != Announced::SomeName || share(shape::is_name) >= 0.6;
    let announced = *column.header.iter().find(counts)?;
    let Some(entity) = announced.entity() else {
        return Some(if announced == Announced::SomeName {
            let name = Entity::PersonName;
            Verdict::sure(name.name(), 0.5, transform_for(name))
                .marked("the header may mean names of people, or of something else")
        } else {
            Verdict::sure("record-id", 0.6, pseudonym("record-id")).marked(
                "others may know whose record has which number; `keep` numbers that belong to no \
                 person",
            )
        });
    };
    let name = if entity == Entity::Coordinates { entity.name() } else { announced.name() };
    let (test, sure) = expected(announced);
    let plausible = share(test);
    let confidence = sure * plausible;
    if plausible >= 0.6 && confidence >= SURE {
        return Some(Verdict::sure(name, confidence, transform_for(entity)));
    }
    let why = format!("the header announces {name}, the values do not show it");
    Some(Verdict::sure(name, confidence.max(0.3), transform_for(entity)).marked(why))
}

/// Few values, or unsure ones, that look personal in a column that is nothing as a whole.
fn by_rare_values(column: &Column<'_>) -> Verdict {
    let mut found = Vec::new();
    let has_email = |value: &String| {
        find(value, &[Entity::Email], &mut found);
        !found.is_empty()
    };
    if column.sample.marked().iter().any(has_email) {
        return Verdict::sure("free-text", 0.6, scrub(column))
            .marked("a few of the values contain email");
    }
    let findings = &column.findings;
    let strongest = findings
        .wholly
        .iter()
        .filter(|(_, tally)| tally.entity != Entity::Date)
        .max_by(|a, b| a.1.weight().total_cmp(&b.1.weight()));
    match strongest {
        Some((name, tally)) if findings.share(tally.hits) >= SOME && tally.mean() >= 0.5 => {
            let percent = (findings.share(tally.hits) * 100.0).ceil();
            let unsure = Verdict { confidence: 0.5, ..Verdict::keep() };
            unsure.marked(format!("{percent:.0} % of the values look like {name}"))
        }
        _ => Verdict::keep(),
    }
}

/// The transform that leaves most use in values of an entity, and no person.
fn transform_for(entity: Entity) -> Transform {
    match entity {
        // What joins tables stays joinable.
        Entity::Email
        | Entity::Iban
        | Entity::CryptoAddress
        | Entity::NationalId
        | Entity::IdentityDocument
        | Entity::Ip
        | Entity::Mac => pseudonym(entity.name()),
        Entity::PaymentCard => Transform::Mask { keep_first: 0, keep_last: 4, with: '*' },
        // The country or area stays.
        Entity::Phone => Transform::Mask { keep_first: 3, keep_last: 0, with: '*' },
        Entity::BirthDate => Transform::generalize(Levels::Date(vec![DateStep::Year])),
        Entity::Date => Transform::Keep,
        Entity::PostalCode => Transform::generalize(Levels::Postcode(vec![2])),
        Entity::Coordinates => Transform::Grid { cell: 0.1 },
        Entity::Url | Entity::Address | Entity::PersonName => Transform::Redact { with: None },
    }
}

fn pseudonym(domain: &str) -> Transform {
    Transform::Pseudonym { domain: domain.to_owned(), length: 32 }
}

fn scrub(column: &Column<'_>) -> Transform {
    Transform::Scrub {
        entities: Entities(Entity::PERSONAL.to_vec()),
        names: column.names.map(|names| names.file().to_owned()),
    }
}
