//! Reading a record, and finding out under which delimiter and quote there are records.

use crate::format::Dialect;
use crate::needles::Needles;
use crate::table::{COLUMNS_MAX, Record};

pub(super) const DELIMITERS: [u8; 4] = *b",;\t|";
const QUOTES: [u8; 2] = *b"\"'";
const TOO_MANY: &str = "the record has more than 100000 fields";

/// What is at the begin of a text.
pub(super) enum Parsed {
    /// A record, how long it is with its line end, and how many lines it takes.
    Record { bytes: usize, lines: u64, fields: usize },
    /// The record is not complete.
    More,
    /// Nothing is left.
    End,
    /// Where the fault is, relative to the record's begin.
    Broken { at: usize, line: u64, detail: &'static str },
}

/// Reads the record at the begin of `text` into `record`; `last` says that the input ends with
/// `text`.
pub(super) fn parse(text: &[u8], dialect: &Dialect, last: bool, record: &mut Record) -> Parsed {
    if text.is_empty() {
        return if last { Parsed::End } else { Parsed::More };
    }
    let Dialect { delimiter, quote, .. } = *dialect;
    record.clear();
    // Of the field: where it starts, whether its quote is open and in which line, and where it was
    // closed, if it was.
    let (mut start, mut open, mut opened, mut closed) = (0, false, 0, 0);
    let (mut lines, mut doubled) = (0, false);
    let mut places = Needles::new([delimiter, quote, b'\n', b'\r']).places(text);
    let (end, bytes) = loop {
        let place = match places.next() {
            Some(place) => place,
            None if !last => return Parsed::More,
            None if open => {
                return Parsed::Broken {
                    at: start,
                    line: opened,
                    detail: "the quote is not closed",
                };
            }
            None => text.len(),
        };
        let byte = text.get(place);
        if open || byte == Some(&quote) {
            match byte {
                Some(byte) if *byte != quote => lines += u64::from(*byte == b'\n'),
                // The next byte decides whether this quote closes the field.
                Some(_) if open => {
                    (open, closed) = (false, place);
                    match text.get(place + 1) {
                        None if !last => return Parsed::More,
                        Some(next)
                            if *next != quote && *next != delimiter && !b"\r\n".contains(next) =>
                        {
                            let detail =
                                "a closing quote is not followed by a delimiter or line end";
                            return Parsed::Broken { at: place + 1, line: lines, detail };
                        }
                        _ => {}
                    }
                }
                _ if place == start => (open, opened) = (true, lines),
                _ if closed > 0 && closed + 1 == place => (open, doubled) = (true, true),
                _ => {}
            }
            continue;
        }
        if record.len() == COLUMNS_MAX {
            return Parsed::Broken { at: start, line: lines, detail: TOO_MANY };
        }
        if closed > 0 {
            record.mark(start + 1, closed);
            closed = 0;
        } else {
            record.mark(start, place);
        }
        if byte == Some(&delimiter) {
            start = place + 1;
            continue;
        }
        match (byte, text.get(place + 1)) {
            (Some(b'\n'), _) => break (place, place + 1),
            (Some(_), Some(b'\n')) => break (place, place + 2),
            (Some(_), Some(_)) => {
                let detail = "a carriage return is not followed by a line feed";
                return Parsed::Broken { at: place, line: lines, detail };
            }
            (_, None) if last => break (place, text.len()),
            _ => return Parsed::More,
        }
    };
    record.fill(text.get(..end).unwrap_or_default());
    if doubled {
        record.undouble(quote);
    }
    Parsed::Record { bytes, lines: lines + 1, fields: record.len() }
}

/// The delimiter and quote under which the first lines are most alike.
pub(super) fn detect(look: &[u8], delimiter: Option<u8>, quote: Option<u8>) -> (u8, u8) {
    let mut best = (delimiter.unwrap_or(b','), quote.unwrap_or(b'"'));
    let mut best_score = 0;
    let mut record = Record::default();
    // An apostrophe quotes only where nothing else could.
    let has_quotes = memchr::memchr(b'"', look).is_some();
    let quotes = QUOTES.into_iter().filter(|candidate| match quote {
        Some(said) => said == *candidate,
        None => *candidate == b'"' || !has_quotes,
    });
    for quote in quotes {
        for delimiter in DELIMITERS.into_iter().filter(|d| delimiter.is_none_or(|said| said == *d))
        {
            let dialect = Dialect { delimiter, quote, ..Dialect::default() };
            let (mut rest, mut records, mut fields_first, mut alike) = (look, 0_usize, 0, 0_usize);
            while let Parsed::Record { bytes, fields, .. } =
                parse(rest, &dialect, false, &mut record)
            {
                if records == 0 {
                    fields_first = fields;
                }
                records += 1;
                alike += usize::from(fields == fields_first && fields > 1);
                rest = rest.get(bytes..).unwrap_or_default();
            }
            // Alike first, then the more fields; of equals the first candidate.
            let score = alike * 1000 / records.max(1) * 1_000_000
                + fields_first.min(1000) * 1000
                + alike.min(999);
            if alike > 0 && score > best_score {
                (best, best_score) = ((delimiter, quote), score);
            }
        }
    }
    best
}
