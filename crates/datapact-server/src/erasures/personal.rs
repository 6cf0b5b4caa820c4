//! Which rows name whom: what backups seal, so that who is erased is erased in them, too, and what
//! is taken out of the files of a database.

use std::collections::BTreeSet;

use datapact_core::contract::Documents;
use datapact_core::identity::Identity;
use datapact_store::{Row, StoreError};

use super::secret::Subject;
use crate::users::Marker;

/// A table whose rows name people. Each SQL text is an expression about the row `t`.
pub(crate) struct Personal {
    pub(crate) table: &'static str,
    /// Whose erasure deletes the row.
    pub(crate) of: &'static [By],
    /// A column that names another, whose erasure empties it alone.
    pub(crate) part: Option<Part>,
    /// What an erasure leaves of the row, if anything.
    pub(crate) remains: Option<Remains>,
}

/// What an expression gives; each may be `NULL`, and names none then.
pub(crate) enum By {
    /// An identity.
    User(&'static str),
    /// A key's id: the end of the key destroys the row.
    Key(&'static str),
    /// Documents of a call; whom they name.
    Documents(&'static str),
}

/// A column that is erased alone.
pub(crate) struct Part {
    pub(crate) column: &'static str,
    /// Whom it names.
    pub(crate) of: By,
    /// What an erasure leaves there; `NULL` if not given.
    pub(crate) emptied: Option<&'static str>,
}

/// What an erasure leaves of a row, which names no person.
pub(crate) struct Remains {
    /// The columns that it is made of.
    pub(crate) columns: &'static [&'static str],
    /// The statement that makes it; its parameters are the columns, and the time now.
    pub(crate) sql: &'static str,
}

impl Personal {
    /// A table whose rows are deleted with those whom they name.
    pub(crate) const fn rows(table: &'static str, of: &'static [By]) -> Self {
        Self { table, of, part: None, remains: None }
    }
}

impl By {
    pub(crate) fn sql(&self) -> &'static str {
        match self {
            Self::User(sql) | Self::Key(sql) | Self::Documents(sql) => sql,
        }
    }

    /// Adds whom the column says to `subjects`.
    pub(crate) fn read(
        &self,
        row: &Row,
        column: usize,
        marker: &Marker,
        subjects: &mut BTreeSet<Subject>,
    ) -> Result<(), StoreError> {
        let Some(text) = row.optional_text(column)?.filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        match self {
            Self::Key(_) => {
                subjects.insert(Subject::Key(row.parse(column)?));
            }
            Self::User(_) => {
                let identity: Identity = row.parse(column)?;
                subjects.insert(Subject::User(marker.digest(&identity)));
            }
            Self::Documents(_) => {
                let documents: Documents = serde_json::from_str(&text)
                    .map_err(|e| StoreError::Damaged(format!("an intent's documents: {e}")))?;
                let named = named(&documents);
                subjects.extend(named.into_iter().map(|of| Subject::User(marker.digest(of))));
            }
        }
        Ok(())
    }
}

/// Whom the documents of a call name.
fn named(documents: &Documents) -> Vec<&Identity> {
    match documents {
        Documents::Policy { owner, users, .. } => {
            users.iter().chain([owner]).map(|opening| &opening.identity).collect()
        }
        Documents::Access { consumer, .. } | Documents::Usage { consumer, .. } => {
            vec![&consumer.identity]
        }
    }
}
