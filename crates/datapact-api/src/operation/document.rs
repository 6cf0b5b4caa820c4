//! The body of an operation that takes a signed document.

use serde::{Deserialize, Serialize};

/// A JSON body that is one signed document.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Document<T> {
    pub(crate) document: T,
}
