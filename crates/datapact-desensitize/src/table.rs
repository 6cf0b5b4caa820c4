//! What all formats look like to transforms and detection: records of fields under named columns,
//! in one pass.

use crate::error::Position;

/// The most columns of a table.
pub const COLUMNS_MAX: usize = 100_000;
/// The largest record, in bytes of UTF-8.
pub const RECORD_BYTES_MAX: usize = 8 << 20;
/// The longest name of a column, in bytes.
pub const NAME_BYTES_MAX: usize = 1 << 10;

/// What a field's bytes are. Text formats know only [`Kind::Text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// The record has no such field (JSON lines).
    #[default]
    Missing,
    /// A null (JSON lines, Parquet).
    Null,
    /// Text. An empty one counts as absent.
    Text,
    /// A number, as JSON writes it.
    Number,
    /// `true` or `false`.
    Bool,
    /// Something nested, as JSON. Transforms cannot look into it.
    Nested,
}

/// One value; by default a missing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Field<'a> {
    /// What it is.
    pub kind: Kind,
    /// UTF-8. Empty for [`Kind::Missing`] and [`Kind::Null`].
    pub bytes: &'a [u8],
}

impl<'a> Field<'a> {
    /// A text.
    pub fn text(bytes: &'a [u8]) -> Self {
        Self { kind: Kind::Text, bytes }
    }

    /// Whether there is nothing to protect: missing, null, or an empty text.
    pub fn is_absent(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The value as text. Sources yield UTF-8 only, so nothing is lost.
    pub fn as_str(&self) -> &'a str {
        std::str::from_utf8(self.bytes).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u32,
    end: u32,
    kind: Kind,
}

/// One record. It is reused from record to record, so that none needs memory of its own.
#[derive(Debug, Clone, Default)]
pub struct Record {
    data: Vec<u8>,
    spans: Vec<Span>,
    /// Where it begins.
    pub position: Position,
}

impl Record {
    /// Takes all fields away.
    pub fn clear(&mut self) {
        self.data.clear();
        self.spans.clear();
    }

    /// How many fields it has; fields from there on are missing.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether it has no field.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The field of the column with this index.
    pub fn field(&self, index: usize) -> Field<'_> {
        let span = self.spans.get(index).copied().unwrap_or_default();
        Field {
            kind: span.kind,
            bytes: self.data.get(span.start as usize..span.end as usize).unwrap_or_default(),
        }
    }

    /// Appends a field.
    pub fn push(&mut self, field: Field<'_>) {
        self.push_with(|data| {
            data.extend_from_slice(field.bytes);
            field.kind
        });
    }

    /// Appends a field whose bytes `write` appends to what it is given; it must not change what is
    /// there.
    pub fn push_with<K>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> K) -> K
    where
        K: Copy + Into<Kind>,
    {
        self.put(self.spans.len(), write)
    }

    /// Like [`Record::push_with`], for the column with this index; fields before it that are not
    /// there are missing.
    pub fn put<K>(&mut self, index: usize, write: impl FnOnce(&mut Vec<u8>) -> K) -> K
    where
        K: Copy + Into<Kind>,
    {
        let start = self.data.len() as u32;
        let kind = write(&mut self.data);
        let span = Span { start, end: self.data.len() as u32, kind: kind.into() };
        if index >= self.spans.len() {
            self.spans.resize(index, Span::default());
            self.spans.push(span);
        } else if let Some(place) = self.spans.get_mut(index) {
            *place = span;
        }
        kind
    }

    /// Sets the field of a column, which need not be the next; those between are missing.
    pub fn set(&mut self, index: usize, kind: Kind, bytes: &[u8]) {
        self.put(index, |data| {
            data.extend_from_slice(bytes);
            kind
        });
    }

    /// Appends a field that is at these bytes of what [`Record::fill`] takes afterwards.
    pub(crate) fn mark(&mut self, start: usize, end: usize) {
        self.spans.push(Span { start: start as u32, end: end as u32, kind: Kind::Text });
    }

    /// Takes the text of all marked fields at once.
    pub(crate) fn fill(&mut self, text: &[u8]) {
        self.data.extend_from_slice(text);
    }

    /// Takes out the second of every two quotes of marked fields behind a quote.
    pub(crate) fn undouble(&mut self, quote: u8) {
        for span in &mut self.spans {
            let behind =
                (span.start as usize).checked_sub(1).and_then(|before| self.data.get(before));
            if behind != Some(&quote) {
                continue;
            }
            let field =
                self.data.get_mut(span.start as usize..span.end as usize).unwrap_or_default();
            let (mut kept, mut first) = (0, false);
            for read in 0..field.len() {
                let is_quote = field.get(read) == Some(&quote);
                first = is_quote && !first;
                if first || !is_quote {
                    field.swap(kept, read);
                    kept += 1;
                }
            }
            span.end = span.start + kept as u32;
        }
    }

    /// The text of all fields, and what separates it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.data
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, unique in the table. A member of a nested JSON object is `outer.inner`.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_knows_fields_that_are_missing() {
        let mut record = Record::default();
        record.set(2, Kind::Number, b"7");
        record.set(0, Kind::Text, b"a");
        assert_eq!(record.field(0), Field::text(b"a"));
        assert_eq!(record.field(1), Field { kind: Kind::Missing, bytes: b"" });
        assert_eq!(record.field(2), Field { kind: Kind::Number, bytes: b"7" });
        assert!(record.field(3).is_absent());
    }
}
