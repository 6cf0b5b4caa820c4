//! Detection: what in a table identifies people, and which rules would take care of it.
//!
//! What is to be provided here, and by whom it is used:
//!
//! - `scan(&mut Input, progress) -> Result<Proposal>`: reads a table through its [`Source`](crate::table::Source) and
//!   proposes [`Rules`](crate::rules::Rules): one [`Rule`](crate::rules::Rule) for each column, with `found`,
//!   `confidence`, masked examples in `comments`, and `review` where it is not sure; and the evidence, for a report.
//!   `datapact desensitize scan` writes `rules.to_toml()`.
//! - [`find`]: the entities in a piece of free text, for the transform `scrub`.
//!
//! Values never go into errors, and into proposals only masked.

/// What can be found. Its name stands in rule files (`found`, `entities`) and in what `scrub` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// An e-mail address.
    Email,
}

impl Entity {
    /// All entities that [`find`] looks for.
    pub const ALL: [Self; 1] = [Self::Email];

    /// Its name, lower case with hyphens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
        }
    }

    /// The entity with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entity| entity.name() == name)
    }
}

/// An entity in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub entity: Entity,
    /// Where it is, in bytes.
    pub range: std::ops::Range<usize>,
}

/// Finds these entities in a text, in order and without overlaps; `found` is emptied first.
pub fn find(text: &str, entities: &[Entity], found: &mut Vec<Found>) {
    found.clear();
    if !entities.contains(&Entity::Email) {
        return;
    }
    for (at, _) in text.match_indices('@') {
        let local = |c: char| c.is_alphanumeric() || "._%+-".contains(c);
        let domain = |c: char| c.is_alphanumeric() || ".-".contains(c);
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
        let start = before.trim_end_matches(local).len();
        let end = at + 1 + (after.len() - after.trim_start_matches(domain).len());
        let host = text.get(at + 1..end).unwrap_or_default().trim_end_matches(['.', '-']);
        if start < at && host.contains('.') && found.last().is_none_or(|last| last.range.end <= start) {
            found.push(Found { entity: Entity::Email, range: start..at + 1 + host.len() });
        }
    }
}
