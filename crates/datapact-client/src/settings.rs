//! What a user has set for a profile, in `settings.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::home::read_json;

/// The file, in a profile's folder. Without it everything is as it is by default.
pub(crate) const SETTINGS: &str = "settings.json";

/// A profile's settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Whether the profile goes on without current revocation lists.
    pub(crate) revocation: RevocationRule,
}

/// What is asked of revocation lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RevocationRule {
    /// A current one of each CA, or nothing is shared, opened or audited.
    #[default]
    Required,
    /// Those that there are.
    IfAvailable,
}

impl Settings {
    /// Those of the profile in `folder`.
    ///
    /// # Errors
    /// When the file is not as specified.
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        Ok(read_json(&folder.join(SETTINGS))?.unwrap_or_default())
    }
}
