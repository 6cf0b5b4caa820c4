//! A rule file with everything that it needs: hierarchies, the dictionary of names, the key.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datapact_core::id::Digest;

use crate::anonymity::MEMORY_BYTES;
use crate::detect::Names;
use crate::error::{Error, Result, printable};
use crate::key::{self, PseudonymKey};
use crate::rules::{Rule, Rules, Spread, Transform};
use crate::transform::coarse::Hierarchies;
use crate::transform::{ColumnFacts, Op, Resources};

/// How many dictionaries of names there may be: all are in memory.
const NAMES_MAX: usize = 1;

/// A rule file with all that it needs.
pub struct Plan {
    pub(super) rules: Rules,
    pub(super) digest: Digest,
    pub(super) hierarchies: Hierarchies,
    key: Option<PseudonymKey>,
    /// The dictionaries of names that rules name.
    names: HashMap<PathBuf, Arc<Names>>,
    /// How much memory classes may take, in bytes.
    pub(super) memory: usize,
}

impl Plan {
    /// Reads a rule file, and the files that it names: relative paths begin at `folder`, which is
    /// the rule file's.
    ///
    /// # Errors
    ///
    /// [`Error::Rules`] with the line, for a rule file that is not as specified;
    /// [`Error::Mismatch`] for a hierarchy or dictionary that cannot be read; [`Error::Key`] where
    /// rules need a key and none is given.
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
                        detail: "another rule names another file of names".to_owned(),
                        hint: "put all names into one file",
                    });
                }
                names.insert(file.clone(), Arc::new(Names::read(file, folder)?));
            }
        }
        let hierarchies =
            Hierarchies::read(rules.columns.iter().filter_map(Rule::hierarchy), folder)?;
        let digest = Rules::digest(file);
        Ok(Self { rules, digest, hierarchies, key, names, memory: MEMORY_BYTES })
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
                detail: format!("the rule for `{}` is marked `review`", printable(&rule.name)),
                hint: "look at the rule, correct it if needed, and remove the `review` line",
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

    /// The op of a rule, for a column of which the survey found out `facts`.
    pub(super) fn op(&self, rule: &Rule, facts: ColumnFacts) -> Result<Op> {
        let names = match &rule.transform {
            Transform::Scrub { names: Some(file), .. } => self.names.get(file).cloned(),
            _ => None,
        };
        let resources = Resources {
            reading: self.rules.reading,
            hierarchies: &self.hierarchies,
            key: self.key.as_ref(),
            names,
        };
        Op::new(&rule.transform, resources, facts)
    }
}
