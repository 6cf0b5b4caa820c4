//! What detection recognizes in a column's values, counted by name.

use std::collections::HashMap;

use crate::detect::{Found, Names, NationalId, find, whole};
use crate::entity::Entity;

/// How sure it is that a value is a name that the dictionary has.
const DICTIONARY_CONFIDENCE: f32 = 0.9;

/// Findings in the values of one column. Names are those of entities and of national identifiers.
#[derive(Default)]
pub(super) struct Findings {
    /// What values are as a whole.
    pub(super) wholly: HashMap<&'static str, Tally>,
    /// How many values contain something among other text.
    pub(super) within: HashMap<&'static str, usize>,
    /// How many values were looked at.
    values: usize,
}

/// How many values are one thing.
#[derive(Clone, Copy)]
pub(super) struct Tally {
    pub(super) entity: Entity,
    pub(super) kind: Option<NationalId>,
    pub(super) hits: usize,
    confidence: f32,
}

impl Tally {
    /// The mean confidence of its values.
    pub(super) fn mean(&self) -> f32 {
        self.confidence / self.hits.max(1) as f32
    }

    /// The sum of its values' confidence: much for many values or sure ones.
    pub(super) fn weight(&self) -> f32 {
        self.confidence
    }
}

impl Findings {
    /// Looks into all `values`, and for `names` if there are some.
    pub(super) fn of(values: &[&str], names: Option<&Names>) -> Self {
        let mut findings = Self { values: values.len(), ..Self::default() };
        let (mut inner, mut named) = (Vec::new(), Vec::new());
        for value in values {
            if let Some(names) = names {
                let name = Entity::PersonName.name();
                names.find(value, &mut named);
                if named.first() == Some(&(0..value.len())) {
                    findings.count(name, Entity::PersonName, None, DICTIONARY_CONFIDENCE);
                } else if !named.is_empty() {
                    *findings.within.entry(name).or_default() += 1;
                }
            }
            for (name, one) in surest_of_each(whole(value)) {
                findings.count(name, one.entity, one.kind, one.confidence);
            }
            find(value, Entity::PERSONAL, &mut inner);
            inner.retain(|one| one.range.len() < value.len());
            inner.sort_by_key(Found::name);
            inner.dedup_by_key(|one| one.name());
            for one in &inner {
                *findings.within.entry(one.name()).or_default() += 1;
            }
        }
        findings
    }

    fn count(
        &mut self,
        name: &'static str,
        entity: Entity,
        kind: Option<NationalId>,
        confidence: f32,
    ) {
        let none = Tally { entity, kind, hits: 0, confidence: 0.0 };
        let tally = self.wholly.entry(name).or_insert(none);
        tally.hits += 1;
        tally.confidence += confidence;
    }

    /// So many values as a share of all, 0 to 1.
    pub(super) fn share(&self, hits: usize) -> f32 {
        hits as f32 / self.values.max(1) as f32
    }

    /// What values are as a whole and what they contain, each with its share of the values, the
    /// greatest first.
    pub(super) fn shares(&self) -> [Vec<(&'static str, f32)>; 2] {
        let wholly = self.wholly.iter().map(|(name, tally)| (*name, self.share(tally.hits)));
        let within = self.within.iter().map(|(name, hits)| (*name, self.share(*hits)));
        [wholly.collect::<Vec<_>>(), within.collect()].map(|mut shares| {
            shares.retain(|(_, share)| *share >= 0.005);
            shares.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
            shares
        })
    }
}

/// Of what a value may be, the surest of each name.
fn surest_of_each(found: Vec<Found>) -> HashMap<&'static str, Found> {
    let mut best = HashMap::<&'static str, Found>::new();
    for one in found {
        if best.get(one.name()).is_none_or(|other| other.confidence < one.confidence) {
            best.insert(one.name(), one);
        }
    }
    best
}
