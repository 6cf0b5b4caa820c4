//! What a column is, by its header and a sample of its values.

use std::collections::HashMap;

use super::date::Order;
use super::header::{Announced, announced};
use super::sample::Sample;
use super::{Entity, Found, Names, NationalId, date, find, mask, whole};
use crate::rules::{DateStep, DayOrder, Entities, Generalize, Rule, Transform};

/// From this confidence on a proposal needs no review.
pub(super) const SURE: f32 = 0.8;
/// The share of values from which a column is what they are.
const MOST: f32 = 0.5;
/// The share of values from which they are worth a look.
const SOME: f32 = 0.02;
/// How sure it is that a value is a name that the dictionary has.
const NAMED: f32 = 0.9;
/// From so many different values on that all pass a check, the check proves what they are.
const PROOF: usize = 8;

/// What was found out about a column.
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

/// What a column is taken for.
struct Verdict {
    found: Option<&'static str>,
    confidence: f32,
    transform: Transform,
    review: Option<String>,
}

#[derive(Default)]
struct Tally {
    hits: usize,
    confidence: f32,
    entity: Option<Entity>,
    kind: Option<NationalId>,
}

/// Which of day and month is first in the dates of a column that a rule generalizes, if it has to
/// be told.
pub(super) fn order(rule: &Rule, sample: &Sample) -> Option<DayOrder> {
    if !matches!(rule.transform, Transform::Generalize(Generalize::Date(_))) {
        return None;
    }
    let values: Vec<&str> = sample.values().iter().map(|value| value.trim()).collect();
    match date::order_of(&values) {
        Order::Told(order) => Some(order),
        _ => None,
    }
}

/// Judges a column and proposes its rule.
pub(super) fn judge(name: &str, sample: &Sample, names: Option<&Names>) -> (Rule, Evidence) {
    let values: Vec<&str> = sample
        .values()
        .iter()
        .map(|value| value.trim())
        .filter(|value| !value.is_empty())
        .collect();
    let (mut wholly, mut within) =
        (HashMap::<&'static str, Tally>::new(), HashMap::<&'static str, usize>::new());
    let (mut inner, mut named) = (Vec::new(), Vec::new());
    for value in &values {
        if let Some(names) = names {
            names.find(value, &mut named);
            if named.first() == Some(&(0..value.len())) {
                let tally = wholly.entry(Entity::PersonName.name()).or_default();
                tally.hits += 1;
                tally.confidence += NAMED;
                tally.entity = Some(Entity::PersonName);
            } else if !named.is_empty() {
                *within.entry(Entity::PersonName.name()).or_default() += 1;
            }
        }
        for (name, one) in best_of_each(whole(value)) {
            let tally = wholly.entry(name).or_default();
            tally.hits += 1;
            tally.confidence += one.confidence;
            (tally.entity, tally.kind) = (Some(one.entity), one.kind);
        }
        find(value, &Entity::PERSONAL, &mut inner);
        inner.retain(|one| one.range.len() < value.len());
        inner.sort_by_key(Found::name);
        inner.dedup_by_key(|one| one.name());
        inner.iter().for_each(|one| *within.entry(one.name()).or_default() += 1);
    }
    let header = announced(name);
    let known =
        Known { values: &values, sample, names, header: &header, wholly: &wholly, within: &within };
    let verdict = known.verdict();
    let share = |hits: usize| hits as f32 / values.len().max(1) as f32;
    let sorted = |mut shares: Vec<(&'static str, f32)>| {
        shares.retain(|(_, share)| *share >= 0.005);
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        shares
    };
    let evidence = Evidence {
        name: name.to_owned(),
        found: verdict.found,
        confidence: verdict.confidence,
        transform: verdict.transform.name(),
        review: verdict.review.clone(),
        examples: mask::examples(values.iter().copied()),
        values: sample.seen,
        absent: sample.absent,
        sampled: values.len(),
        wholly: sorted(wholly.iter().map(|(name, tally)| (*name, share(tally.hits))).collect()),
        within: sorted(within.iter().map(|(name, hits)| (*name, share(*hits))).collect()),
        header: header.iter().map(|announced| announced.name()).collect(),
    };
    let mut rule = Rule::new(name, verdict.transform);
    rule.found = verdict.found.map(str::to_owned);
    rule.confidence = Some((f64::from(verdict.confidence) * 100.0).round() / 100.0);
    rule.review = verdict.review;
    rule.comments =
        evidence.examples.iter().map(|example| format!("for example {example}")).collect();
    (rule, evidence)
}

/// Of what a value may be, the surest of each name.
fn best_of_each(found: Vec<Found>) -> HashMap<&'static str, Found> {
    let mut best = HashMap::<&'static str, Found>::new();
    for one in found {
        if best.get(one.name()).is_none_or(|other| other.confidence < one.confidence) {
            best.insert(one.name(), one);
        }
    }
    best
}

impl Announced {
    fn name(self) -> &'static str {
        match self {
            Self::Entity(entity) => entity.name(),
            Self::Kind(kind) => kind.code(),
            Self::SomeName => "some-name",
            Self::RecordId => "record-id",
            Self::Degrees => "degrees",
        }
    }

    /// Whether values of this entity and kind are what the header announces.
    fn agrees(self, entity: Entity, kind: Option<NationalId>) -> bool {
        match self {
            Self::Entity(announced) => {
                announced == entity || (announced == Entity::BirthDate && entity == Entity::Date)
            }
            Self::Kind(announced) => kind == Some(announced),
            _ => false,
        }
    }
}

struct Known<'a> {
    values: &'a [&'a str],
    sample: &'a Sample,
    names: Option<&'a Names>,
    header: &'a [Announced],
    wholly: &'a HashMap<&'static str, Tally>,
    within: &'a HashMap<&'static str, usize>,
}

impl Known<'_> {
    fn verdict(&self) -> Verdict {
        if self.values.is_empty() {
            return self.empty();
        }
        if self.sample.nested > 0 {
            return review(
                None,
                0.5,
                Transform::Drop,
                "nested values cannot be looked into; keep them only if they hold nothing personal",
            );
        }
        if let Some(verdict) = self.by_values() {
            // Streets and the like have more forms than recognizers know; the header may know
            // better.
            let better = || {
                self.by_header()
                    .filter(|header| header.found == verdict.found && header.review.is_none())
            };
            let unsure = verdict.review.is_some().then(better).flatten();
            return unsure.unwrap_or(verdict);
        }
        if let Some(verdict) = self.free_text() {
            return verdict;
        }
        if let Some(verdict) = self.by_header() {
            return verdict;
        }
        self.nothing()
    }

    fn scrub(&self) -> Transform {
        Transform::Scrub {
            entities: Entities(Entity::PERSONAL.to_vec()),
            names: self.names.map(|names| names.file().to_owned()),
        }
    }

    fn share(&self, hits: usize) -> f32 {
        hits as f32 / self.values.len().max(1) as f32
    }

    /// Values that are mostly one entity.
    fn by_values(&self) -> Option<Verdict> {
        let distinct = self.sample.distinct();
        let score = |tally: &Tally| {
            let share = self.share(tally.hits);
            let mean = tally.confidence / tally.hits.max(1) as f32;
            // A check that one in ten values passes by chance, and that all of many pass, is no
            // chance.
            let chance = match (tally.entity, tally.kind) {
                (_, Some(kind)) => kind.chance(),
                (Some(Entity::PaymentCard), _) => 0.05,
                _ => 1.0,
            };
            let proven = mean >= 0.15 && share >= 0.95 && chance <= 0.1 && distinct >= PROOF;
            let sure = if proven { mean.max(0.9 - chance) } else { mean };
            let agreed = self.header.iter().any(|announced| {
                tally.entity.is_some_and(|entity| announced.agrees(entity, tally.kind))
            });
            let sure = share * if agreed { 1.0 - (1.0 - sure) * 0.15 } else { sure };
            (sure, agreed)
        };
        let candidates = self.wholly.iter().filter(|(_, tally)| self.share(tally.hits) >= 0.3);
        let (name, tally, (sure, agreed)) = candidates
            .map(|(name, tally)| (*name, tally, score(tally)))
            .max_by(|a, b| a.2.0.total_cmp(&b.2.0).then(b.0.cmp(a.0)))?;
        let entity = tally.entity?;
        let share = self.share(tally.hits);
        if !agreed && (share < MOST || sure < 0.3) {
            return None;
        }
        if entity == Entity::Date {
            return Some(self.dates(sure));
        }
        let denied = !agreed
            && self
                .header
                .iter()
                .any(|announced| matches!(announced, Announced::Entity(_) | Announced::Kind(_)));
        // Digits without any check are more often something else.
        if !agreed && !denied && sure < 0.42 {
            return None;
        }
        let transform = transform_for(entity);
        let why = if denied && sure < 0.9 {
            Some(format!(
                "the header announces {}",
                self.header.first().map_or("", |announced| announced.name())
            ))
        } else if share < 0.9 {
            Some(format!("only {:.0} % of the values are {name}", share * 100.0))
        } else if sure < SURE {
            Some(format!("values look like {name}, which only a person can tell for sure"))
        } else if entity == Entity::Url {
            Some("addresses may name a person, or nobody".to_owned())
        } else {
            None
        };
        Some(Verdict { found: Some(name), confidence: sure, transform, review: why })
    }

    /// Dates: of birth if the header says so, and perhaps if they go back a lifetime.
    fn dates(&self, sure: f32) -> Verdict {
        let order = date::order_of(self.values);
        let birth_dates = |confidence, why: Option<&str>| {
            let transform = match order {
                // What the rule could not read it would take away all the same.
                Order::Unreadable => Transform::Redact { with: None },
                _ => transform_for(Entity::BirthDate),
            };
            let why = match order {
                Order::Plain | Order::Told(_) => why,
                Order::Either => Some("say by `dates` which of day and month is first"),
                Order::Unreadable => Some("dates of this form cannot be generalized"),
            };
            Verdict {
                found: Some(Entity::BirthDate.name()),
                confidence,
                transform,
                review: why.map(str::to_owned),
            }
        };
        if self.header.contains(&Announced::Entity(Entity::BirthDate)) {
            return birth_dates(sure.max(0.9), None);
        }
        let years: Vec<u64> = self.values.iter().filter_map(|value| date::year_of(value)).collect();
        let (first, last) =
            (years.iter().min().copied().unwrap_or(0), years.iter().max().copied().unwrap_or(0));
        if last.saturating_sub(first) >= 25 {
            return birth_dates(0.5, Some("dates over many years may be dates of birth"));
        }
        Verdict {
            found: Some(Entity::Date.name()),
            confidence: sure,
            transform: Transform::Keep,
            review: None,
        }
    }

    /// Sentences, and values with something personal among other text.
    fn free_text(&self) -> Option<Verdict> {
        let words: usize = self.values.iter().map(|value| words_of(value)).sum();
        let mean = words as f32 / self.values.len().max(1) as f32;
        let most = self.within.iter().max_by_key(|(name, hits)| (**hits, **name));
        let personal = most.filter(|(_, hits)| self.share(**hits) >= SOME);
        let street = self.header.contains(&Announced::Entity(Entity::Address));
        if street || (mean < 6.0 && personal.is_none()) {
            return None;
        }
        let of_names = match self.names {
            Some(_) => "of names of people, only those in the dictionary are found",
            None => "names of people in free text are not found",
        };
        let why = match personal {
            Some((name, hits)) => format!(
                "{:.0} % of the values contain {name}; {of_names}",
                (self.share(*hits) * 100.0).ceil()
            ),
            None => of_names.to_owned(),
        };
        Some(Verdict {
            found: Some("free-text"),
            confidence: if personal.is_some() { 0.9 } else { 0.7 },
            transform: self.scrub(),
            review: Some(why),
        })
    }

    /// Columns whose values prove nothing, but whose headers do.
    fn by_header(&self) -> Option<Verdict> {
        let count = |test: &dyn Fn(&str) -> bool| {
            self.share(self.values.iter().filter(|value| test(value)).count())
        };
        for announced in self.header {
            let (plausible, sure, entity) = match announced {
                Announced::Entity(Entity::PersonName) => {
                    (count(&is_name), 0.92, Entity::PersonName)
                }
                Announced::Entity(Entity::Address) => {
                    (count(&|value| value.chars().any(char::is_alphabetic)), 0.88, Entity::Address)
                }
                Announced::Entity(Entity::PostalCode) => {
                    (count(&is_postcode), 0.9, Entity::PostalCode)
                }
                Announced::Entity(Entity::IdentityDocument) => {
                    (count(&is_code), 0.85, Entity::IdentityDocument)
                }
                Announced::Entity(Entity::Phone) => (
                    count(&|value| digits_of(value) >= 5 && value.len() <= 32),
                    0.85,
                    Entity::Phone,
                ),
                Announced::Entity(Entity::NationalId) => {
                    (count(&is_code), 0.82, Entity::NationalId)
                }
                Announced::Entity(Entity::Iban) => {
                    (count(&|value| is_code(value) && value.len() >= 6), 0.7, Entity::Iban)
                }
                Announced::Degrees => (count(&is_degrees), 0.92, Entity::Coordinates),
                Announced::Kind(_) => (count(&is_code), 0.6, Entity::NationalId),
                Announced::Entity(entity) => (0.0, 0.4, *entity),
                Announced::SomeName => {
                    let names = count(&is_name);
                    if names < 0.6 {
                        continue;
                    }
                    return Some(review(
                        Some(Entity::PersonName.name()),
                        0.5,
                        transform_for(Entity::PersonName),
                        "the header may mean names of people, or of something else",
                    ));
                }
                Announced::RecordId => {
                    return Some(review(
                        Some("record-id"),
                        0.6,
                        pseudonym("record-id"),
                        "records of persons have numbers that others may know; `keep` them if they are nobody's",
                    ));
                }
            };
            let name = match announced {
                Announced::Kind(kind) => kind.code(),
                _ => entity.name(),
            };
            if plausible >= 0.6 {
                let confidence = sure * plausible;
                if confidence >= SURE {
                    return Some(Verdict {
                        found: Some(name),
                        confidence,
                        transform: transform_for(entity),
                        review: None,
                    });
                }
            }
            let why = format!("the header announces {name}, the values do not show it");
            let confidence = (sure * plausible).max(0.3);
            return Some(review(Some(name), confidence, transform_for(entity), &why));
        }
        None
    }

    fn nothing(&self) -> Verdict {
        let marked = self.sample.marked().iter().any(|value| {
            let mut found = Vec::new();
            find(value, &[Entity::Email], &mut found);
            !found.is_empty()
        });
        if marked {
            return review(
                Some("free-text"),
                0.6,
                self.scrub(),
                "few values, but some, contain email",
            );
        }
        let strongest = self
            .wholly
            .iter()
            .filter(|(_, tally)| tally.entity != Some(Entity::Date))
            .max_by(|a, b| a.1.confidence.total_cmp(&b.1.confidence));
        if let Some((name, tally)) = strongest {
            let mean = tally.confidence / tally.hits.max(1) as f32;
            if self.share(tally.hits) >= SOME && mean >= 0.5 {
                let why = format!(
                    "{:.0} % of the values look like {name}",
                    (self.share(tally.hits) * 100.0).ceil()
                );
                return Verdict {
                    found: None,
                    confidence: 0.5,
                    transform: Transform::Keep,
                    review: Some(why),
                };
            }
        }
        Verdict { found: None, confidence: 0.8, transform: Transform::Keep, review: None }
    }

    fn empty(&self) -> Verdict {
        let entity = self.header.iter().find_map(|announced| match announced {
            Announced::Entity(entity) => Some(*entity),
            Announced::Kind(_) => Some(Entity::NationalId),
            Announced::Degrees => Some(Entity::Coordinates),
            _ => None,
        });
        match entity {
            Some(entity) => review(
                Some(entity.name()),
                0.4,
                transform_for(entity),
                "the column has no values; its header announces this",
            ),
            None => {
                Verdict { found: None, confidence: 0.8, transform: Transform::Keep, review: None }
            }
        }
    }
}

fn review(
    found: Option<&'static str>,
    confidence: f32,
    transform: Transform,
    why: &str,
) -> Verdict {
    Verdict { found, confidence, transform, review: Some(why.to_owned()) }
}

fn pseudonym(domain: &str) -> Transform {
    Transform::Pseudonym { domain: domain.to_owned(), length: 32 }
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
        Entity::BirthDate => Transform::Generalize(Generalize::Date(DateStep::Year)),
        Entity::Date => Transform::Keep,
        Entity::PostalCode => Transform::Generalize(Generalize::Postcode { keep: 2 }),
        Entity::Coordinates => Transform::Generalize(Generalize::Grid { cell: 0.1 }),
        Entity::Url | Entity::Address | Entity::PersonName => Transform::Redact { with: None },
    }
}

fn digits_of(value: &str) -> usize {
    value.chars().filter(|c| c.is_numeric()).count()
}

/// Words; of scripts without spaces, pairs of letters.
fn words_of(value: &str) -> usize {
    let dense = value.chars().filter(|c| u32::from(*c) >= 0x2E80).count();
    value.split_whitespace().count() + dense / 2
}

/// A name of a person: one to six words of letters.
fn is_name(value: &str) -> bool {
    let letters = |c: char| {
        c.is_alphabetic()
            || matches!(c, '\'' | '’' | '-' | '.' | ',' | ' ' | '·' | '・' | '(' | ')')
            || ('\u{300}'..='\u{36f}').contains(&c)
            || ('\u{900}'..='\u{d7f}').contains(&c)
            || ('\u{e00}'..='\u{e7f}').contains(&c)
    };
    value.chars().all(letters)
        && value.chars().any(char::is_alphabetic)
        && value.chars().count() <= 64
        && (1..=6).contains(&value.split_whitespace().count())
}

fn is_postcode(value: &str) -> bool {
    (3..=10).contains(&value.len())
        && digits_of(value) >= 1
        && value.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'))
}

/// Letters, digits and separators, with digits.
fn is_code(value: &str) -> bool {
    (4..=40).contains(&value.len())
        && digits_of(value) >= 2
        && value
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '.' | '/' | '(' | ')' | '+'))
}

fn is_degrees(value: &str) -> bool {
    value.replacen(',', ".", 1).parse::<f64>().is_ok_and(|degrees| degrees.abs() <= 180.0)
}
