//! The keys of a TOML table: each is taken by name, and faults have their line.

use std::fmt::Display;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result, printable};

/// The hint of all faults in rule files.
pub(super) const SEE: &str = "docs/desensitization.md shows rule files";

/// The keys of one table that were not yet taken.
pub(super) struct Keys<'a> {
    pub(super) text: &'a str,
    pub(super) span: Range<usize>,
    pub(super) table: DeTable<'a>,
    pub(super) what: &'static str,
}

impl<'a> Keys<'a> {
    fn remove(&mut self, key: &str) -> Option<Spanned<DeValue<'a>>> {
        let position = Spanned::new(0..0, std::borrow::Cow::Owned(key.to_owned()));
        self.table.remove(&position)
    }

    pub(super) fn take<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Result<Option<T>> {
        let Some(value) = self.remove(key) else { return Ok(None) };
        let read = read(value.get_ref());
        read.map(Some).map_err(|expected| {
            fault(self.text, value.span(), format_args!("`{key}` must be {expected}"))
        })
    }

    pub(super) fn need<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Result<T> {
        let what = self.what;
        self.take(key, read)?.ok_or_else(|| self.fault(format_args!("{what} needs `{key}`")))
    }

    pub(super) fn table(&mut self, key: &str, what: &'static str) -> Result<Option<Keys<'a>>> {
        self.remove(key).map(|value| self.nested(value, what)).transpose()
    }

    pub(super) fn tables(&mut self, key: &str, what: &'static str) -> Result<Vec<Keys<'a>>> {
        let Some(value) = self.remove(key) else { return Ok(Vec::new()) };
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(values) => {
                values.into_iter().map(|value| self.nested(value, what)).collect()
            }
            _ => Err(fault(self.text, span, format_args!("write {what} before each rule"))),
        }
    }

    fn nested(&self, value: Spanned<DeValue<'a>>, what: &'static str) -> Result<Keys<'a>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Ok(Keys { text: self.text, span, table, what }),
            _ => Err(fault(self.text, span, format_args!("{what} must be a table"))),
        }
    }

    pub(super) fn finish(self) -> Result<()> {
        match self.table.keys().min_by_key(|key| key.span().start) {
            Some(key) => {
                let detail = format!("{} has no key `{}`", self.what, printable(key.get_ref()));
                Err(fault(self.text, key.span(), detail))
            }
            None => Ok(()),
        }
    }

    pub(super) fn fault(&self, detail: impl Display) -> Error {
        fault(self.text, self.span.clone(), detail)
    }
}

pub(super) fn line_of(text: &str, at: usize) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes().get(..at).unwrap_or_default()).count() + 1
}

pub(super) fn fault(text: &str, span: Range<usize>, detail: impl Display) -> Error {
    Error::Rules { line: line_of(text, span.start), detail: detail.to_string(), hint: SEE }
}
