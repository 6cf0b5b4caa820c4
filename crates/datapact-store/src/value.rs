//! What is given to statements and read from rows, the same for both databases.

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;

/// A parameter of a statement, or a column of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// SQL's `NULL`.
    Null,
    /// A `BIGINT`, or `INTEGER`.
    Integer(i64),
    /// A `TEXT`.
    Text(String),
    /// A `BYTEA`.
    Blob(Vec<u8>),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

/// As 0 or 1.
impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Integer(truth.into())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

/// None is `NULL`.
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What has a text form, as that: ids, digests, identities.
pub fn text(value: impl ToString) -> Value {
    Value::Text(value.to_string())
}

/// A count, size, position or time. These are far below 2^63; what is not cannot be in the
/// database, and becomes the largest number that can.
pub fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// What is only read back whole, as JSON.
///
/// # Errors
/// [`StoreError::Damaged`] for what JSON cannot hold, such as a map whose keys are not strings.
pub fn json(value: &impl Serialize) -> Result<Value, StoreError> {
    serde_json::to_string(value)
        .map(Value::Text)
        .map_err(|e| StoreError::Damaged(format!("a value that JSON cannot hold: {e}")))
}

/// A row, read by position from 0. A column that holds something else than what is asked for is
/// [`StoreError::Damaged`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(Vec<Value>);

impl Row {
    pub(crate) fn new(columns: Vec<Value>) -> Self {
        Self(columns)
    }

    /// The columns.
    pub fn into_values(self) -> Vec<Value> {
        self.0
    }

    /// A text.
    pub fn text(&self, column: usize) -> Result<String, StoreError> {
        self.as_str(column).map(str::to_owned)
    }

    /// A text, or none for `NULL`.
    pub fn optional_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        self.optional(column, Self::text)
    }

    /// A number that is not negative.
    pub fn number(&self, column: usize) -> Result<u64, StoreError> {
        match self.value(column)? {
            Value::Integer(number) => u64::try_from(*number)
                .map_err(|_| StoreError::Damaged(format!("a negative number, {number}"))),
            other => Err(unexpected(column, "a number", other)),
        }
    }

    /// A number that is not negative, or none for `NULL`.
    pub fn optional_number(&self, column: usize) -> Result<Option<u64>, StoreError> {
        self.optional(column, Self::number)
    }

    /// Bytes.
    pub fn bytes(&self, column: usize) -> Result<Vec<u8>, StoreError> {
        match self.value(column)? {
            Value::Blob(bytes) => Ok(bytes.clone()),
            other => Err(unexpected(column, "bytes", other)),
        }
    }

    /// What has a text form.
    pub fn parse<T: FromStr>(&self, column: usize) -> Result<T, StoreError>
    where
        T::Err: Display,
    {
        let text = self.as_str(column)?;
        text.parse().map_err(|e| StoreError::Damaged(format!("`{text}`: {e}")))
    }

    /// What has a text form, or none for `NULL`.
    pub fn optional_parse<T: FromStr>(&self, column: usize) -> Result<Option<T>, StoreError>
    where
        T::Err: Display,
    {
        self.optional(column, Self::parse)
    }

    /// What was written by [`json`].
    pub fn json<T: DeserializeOwned>(&self, column: usize) -> Result<T, StoreError> {
        serde_json::from_str(self.as_str(column)?)
            .map_err(|e| StoreError::Damaged(format!("a stored value: {e}")))
    }

    fn optional<T>(
        &self,
        column: usize,
        read: impl FnOnce(&Self, usize) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            _ => read(self, column).map(Some),
        }
    }

    fn as_str(&self, column: usize) -> Result<&str, StoreError> {
        match self.value(column)? {
            Value::Text(text) => Ok(text),
            other => Err(unexpected(column, "a text", other)),
        }
    }

    fn value(&self, column: usize) -> Result<&Value, StoreError> {
        self.0
            .get(column)
            .ok_or_else(|| StoreError::Damaged(format!("a row has no column {column}")))
    }
}

/// The content itself may be personal, so the error names only its kind.
fn unexpected(column: usize, expected: &str, found: &Value) -> StoreError {
    let found = match found {
        Value::Null => "nothing",
        Value::Integer(_) => "a number",
        Value::Text(_) => "a text",
        Value::Blob(_) => "bytes",
    };
    StoreError::Damaged(format!("column {column} holds {found} instead of {expected}"))
}
