//! JSON lines: an object a line. Members of objects in it are columns `outer.inner`; lists are
//! single values.

use std::collections::HashMap;
use std::fmt;
use std::io::{Read, Write};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text::Lines;
use super::{Buffered, Dialect, Options, Outgoing, Sink, Source};
use crate::error::{Error, Position, Result, printable};
use crate::table::{COLUMNS_MAX, Column, Kind, NAME_BYTES_MAX, Record};

const HINT: &str = "write one JSON object a line; member names without a point or a backslash";
/// How deep objects may nest.
const DEPTH_MAX: usize = 8;

/// Reads JSON lines.
pub(super) struct JsonSource {
    lines: Lines,
    columns: Columns,
}

#[derive(Default)]
struct Columns {
    list: Vec<Column>,
    by_name: HashMap<String, usize>,
    /// Names that have been objects: no column may have one of them, too.
    objects: HashMap<String, ()>,
    path: String,
}

impl JsonSource {
    pub(super) fn open(input: Box<dyn Read + Send>, options: &Options) -> Result<Self> {
        Ok(Self { lines: Lines::open(input, options)?, columns: Columns::default() })
    }
}

impl Source for JsonSource {
    fn columns(&self) -> &[Column] {
        &self.columns.list
    }

    fn read(&mut self, record: &mut Record) -> Result<bool> {
        loop {
            let columns = &mut self.columns;
            let blank = self.lines.next(|line, position| {
                record.clear();
                record.position = position;
                if line.iter().all(u8::is_ascii_whitespace) {
                    return Ok(true);
                }
                columns.path.clear();
                columns.object(line, record, 0).map(|()| false)
            })?;
            match blank {
                None => return Ok(false),
                Some(true) => {}
                Some(false) => return Ok(true),
            }
        }
    }

    fn bytes_read(&self) -> u64 {
        self.lines.bytes_read()
    }

    fn dialect(&self) -> &Dialect {
        &self.lines.dialect
    }
}

/// The members of an object, in order, each with its value as JSON.
struct Members<'a>(Vec<(std::borrow::Cow<'a, str>, &'a RawValue)>);

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            members.push((name.0, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// A name that is borrowed where it can be.
struct Name<'a>(std::borrow::Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(name.into()))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(name.to_owned().into()))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

impl Columns {
    fn object(&mut self, json: &[u8], record: &mut Record, depth: usize) -> Result<()> {
        let at = record.position.clone();
        let wrong = |detail: String| Error::malformed(at.clone(), detail, HINT);
        let mut reader = serde_json::Deserializer::from_slice(json);
        let members = reader
            .deserialize_map(MembersVisitor)
            .and_then(|members| reader.end().map(|()| members))
            // The parser's message could quote a value.
            .map_err(|error| {
                wrong(format!("not a JSON object, at character {} of the line", error.column()))
            })?;
        let begin = self.path.len();
        for (name, value) in members.0 {
            if name.contains(['.', '\\']) || name.len() + self.path.len() >= NAME_BYTES_MAX {
                return Err(wrong(format!(
                    "the name `{}` has a point or is too long",
                    printable(&name)
                )));
            }
            if begin > 0 {
                self.path.push('.');
            }
            self.path.push_str(&name);
            let json = value.get().as_bytes();
            match json.first() {
                // An empty object is a value: it has no members to be columns.
                Some(b'{') if depth < DEPTH_MAX && !is_empty_object(json) => {
                    if self.by_name.contains_key(&self.path) {
                        return Err(wrong(self.clash()));
                    }
                    if !self.objects.contains_key(&self.path) {
                        self.objects.insert(self.path.clone(), ());
                    }
                    self.object(json, record, depth + 1)?;
                }
                _ => self.value(json, record, &at)?,
            }
            self.path.truncate(begin);
        }
        Ok(())
    }

    fn clash(&self) -> String {
        format!("`{}` is an object in some records and a value in others", printable(&self.path))
    }

    fn value(&mut self, json: &[u8], record: &mut Record, at: &Position) -> Result<()> {
        let index = match self.by_name.get(&self.path) {
            Some(index) => *index,
            // A null may take the place of an object in other records.
            None if json == b"null" && self.objects.contains_key(&self.path) => return Ok(()),
            None if self.objects.contains_key(&self.path) => {
                return Err(Error::malformed(at.clone(), self.clash(), HINT));
            }
            None if self.list.len() >= COLUMNS_MAX => {
                let detail = format!("there are more than {COLUMNS_MAX} different members");
                return Err(Error::malformed(at.clone(), detail, HINT));
            }
            None => {
                let index = self.list.len();
                self.by_name.insert(self.path.clone(), index);
                self.list.push(Column { name: self.path.clone() });
                index
            }
        };
        if record.field(index).kind != Kind::Missing {
            let detail = format!("the member `{}` occurs twice", printable(&self.path));
            return Err(Error::malformed(at.clone(), detail, HINT));
        }
        match json.first() {
            Some(b'"') => {
                let text: std::borrow::Cow<'_, str> =
                    serde_json::from_slice(json).map_err(|_| {
                        Error::malformed(at.clone(), "a string has a lone surrogate", HINT)
                    })?;
                record.set(index, Kind::Text, text.as_bytes());
            }
            Some(b'n') => record.set(index, Kind::Null, b""),
            Some(b't' | b'f') => record.set(index, Kind::Bool, json),
            Some(b'{' | b'[') => record.set(index, Kind::Nested, json),
            _ => record.set(index, Kind::Number, json),
        }
        Ok(())
    }
}

fn is_empty_object(json: &[u8]) -> bool {
    let inside = json.strip_prefix(b"{").and_then(|json| json.strip_suffix(b"}"));
    inside.is_some_and(|inside| inside.trim_ascii().is_empty())
}

/// Writes JSON lines. Members have the order of the columns; objects are nested again.
pub(super) struct JsonSink {
    output: Buffered,
    crlf: bool,
    root: Vec<Node>,
}

/// A member: a column, or an object of members.
struct Node {
    /// As JSON, with its colon.
    name: Vec<u8>,
    column: Option<usize>,
    members: Vec<Node>,
}

impl JsonSink {
    pub(super) fn create(
        output: Box<dyn Write + Send>,
        columns: &[Outgoing],
        dialect: &Dialect,
    ) -> Self {
        let mut root = Vec::new();
        let mut places = HashMap::new();
        for (index, column) in columns.iter().enumerate() {
            insert(&mut root, &mut places, &column.name, index);
        }
        Self { output: Buffered::new(output), crlf: dialect.crlf, root }
    }
}

/// Puts a column in its place; `places` knows where in its parent each object is.
fn insert(root: &mut Vec<Node>, places: &mut HashMap<String, usize>, path: &str, index: usize) {
    let mut nodes = root;
    let mut end = 0;
    loop {
        let rest = path.get(end..).unwrap_or_default();
        let part = rest.split('.').next().unwrap_or_default();
        end += part.len();
        let mut name = serde_json::to_vec(part).expect("a string is JSON");
        name.push(b':');
        if end >= path.len() {
            nodes.push(Node { name, column: Some(index), members: Vec::new() });
            return;
        }
        let prefix = path.get(..end).unwrap_or_default().to_owned();
        let place = *places.entry(prefix).or_insert_with(|| {
            nodes.push(Node { name, column: None, members: Vec::new() });
            nodes.len() - 1
        });
        let Some(node) = nodes.get_mut(place) else { return };
        nodes = &mut node.members;
        end += 1;
    }
}

fn write_members(nodes: &[Node], record: &Record, out: &mut Vec<u8>) -> bool {
    let begin = out.len();
    out.push(b'{');
    let mut first = true;
    for node in nodes {
        let before = out.len();
        if !first {
            out.push(b',');
        }
        out.extend_from_slice(&node.name);
        let written = match node.column {
            Some(index) => write_value(record, index, out),
            None => write_members(&node.members, record, out),
        };
        if written {
            first = false;
        } else {
            out.truncate(before);
        }
    }
    out.push(b'}');
    if first {
        out.truncate(begin);
    }
    !first
}

/// Appends a value as JSON; false if it is missing.
fn write_value(record: &Record, index: usize, out: &mut Vec<u8>) -> bool {
    let field = record.field(index);
    match field.kind {
        Kind::Missing => return false,
        Kind::Null => out.extend_from_slice(b"null"),
        Kind::Number | Kind::Bool | Kind::Nested => out.extend_from_slice(field.bytes),
        Kind::Text => serde_json::to_writer(out, field.as_str()).expect("a string is JSON"),
    }
    true
}

impl Sink for JsonSink {
    fn write(&mut self, record: &Record) -> Result<()> {
        let out = &mut self.output.buffer;
        if !write_members(&self.root, record, out) {
            out.extend_from_slice(b"{}");
        }
        out.extend_from_slice(if self.crlf { b"\r\n" } else { b"\n" });
        self.output.flush_if_full()
    }

    fn finish(&mut self) -> Result<()> {
        self.output.finish()
    }
}

#[cfg(test)]
mod tests;
