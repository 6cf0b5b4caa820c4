#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use std::io::Cursor;

use proptest::prelude::*;

use super::parse::DELIMITERS;
use super::*;
use crate::format::{Formulas, Outgoing, Sink as _};
use crate::table::{COLUMNS_MAX, Field};
use crate::testing::Shared;

fn read(bytes: &[u8], options: &Options) -> Result<(Vec<String>, Vec<Vec<String>>)> {
    let mut source = CsvSource::open(Box::new(Cursor::new(bytes.to_vec())), options)?;
    let columns = source.columns().iter().map(|column| column.name.clone()).collect();
    let (mut record, mut rows) = (Record::default(), Vec::new());
    while source.read(&mut record)? {
        rows.push((0..record.len()).map(|index| record.field(index).as_str().to_owned()).collect());
    }
    Ok((columns, rows))
}

fn check(bytes: &[u8], columns: &[&str], rows: &[&[&str]]) {
    let (found_columns, found_rows) = read(bytes, &Options::default()).unwrap();
    assert_eq!(found_columns, columns);
    assert_eq!(found_rows, rows);
}

fn refused(bytes: &[u8], message: &str) {
    assert_eq!(read(bytes, &Options::default()).unwrap_err().to_string(), message);
}

fn written(rows: &[Vec<String>], dialect: &Dialect, formulas: Formulas) -> Vec<u8> {
    let output = Shared::default();
    let columns: Vec<Outgoing> = (0..rows[0].len())
        .map(|index| Outgoing { name: format!("c{index}"), typed_as: None, whole: true })
        .collect();
    let mut sink = CsvSink::create(Box::new(output.clone()), &columns, dialect, formulas).unwrap();
    for row in rows {
        let mut record = Record::default();
        for cell in row {
            record.push(Field::text(cell.as_bytes()));
        }
        sink.write(&record).unwrap();
    }
    sink.finish().unwrap();
    output.take()
}

#[test]
fn dialects_are_found_out() {
    check(b"a,b\n1,2\n", &["a", "b"], &[&["1", "2"]]);
    check(b"a;b\r\n1,5;2\r\n3,5;4", &["a", "b"], &[&["1,5", "2"], &["3,5", "4"]]);
    check(b"a\tb\n\"x\ty\"\tz\n", &["a", "b"], &[&["x\ty", "z"]]);
    check(b"a|b\n'x|y'|z\n", &["a", "b"], &[&["x|y", "z"]]);
    check(b"a\n1\n\n2\n", &["a"], &[&["1"], &[""], &["2"]]);
    check(b"a,b\n\n1,2\n\n", &["a", "b"], &[&["1", "2"]]);
    check(
        b"a,b\n5\" disk,2\n\"say \"\"hi\"\"\nthere\",3\n",
        &["a", "b"],
        &[&["5\" disk", "2"], &["say \"hi\"\nthere", "3"]],
    );
}

#[test]
fn a_table_without_header_has_numbered_columns() {
    let options = Options { header: Some(false), ..Options::default() };
    let (columns, rows) = read(b"1,2\n3,4\n", &options).unwrap();
    assert_eq!(columns, ["column1", "column2"]);
    assert_eq!(rows, [["1", "2"], ["3", "4"]]);
}

#[test]
fn what_is_broken_is_refused_with_its_position() {
    refused(
        b"a,b\n1,2\n1,2,3\n",
        "record 2 (line 3, byte 8): the record has 3 fields, the header 2",
    );
    refused(b"a,b\n1\n", "record 1 (line 2, byte 4): the record has 1 fields, the header 2");
    refused(b"a,b\n1,\"x\ny\n", "record 1 (line 2, byte 6): the quote is not closed");
    refused(
        b"a,b\n1,\"x\"y\n",
        "record 1 (line 2, byte 9): a closing quote is not followed by a delimiter or line end",
    );
    refused(
        b"a,b\n1\rx,2\n",
        "record 1 (line 2, byte 5): a carriage return is not followed by a line feed",
    );
    refused(b"a,a\n1,2\n", "header (line 1, byte 0): two columns are named `a`");
    refused(b"", "the file has no records");
    let mut huge = b"a,b\n\"".to_vec();
    huge.resize(RECORD_BYTES_MAX * 2, b'x');
    refused(
        &huge,
        &format!("record 1 (line 2, byte 4): the record is longer than {RECORD_BYTES_MAX} bytes"),
    );
}

#[test]
fn a_hundred_thousand_columns_are_read_and_one_more_refused() {
    let names = |count: usize| (0..count).map(|i| format!("c{i}")).collect::<Vec<_>>().join(",");
    let values = |count: usize| vec!["v"; count].join(",");
    let table = |count| format!("{}\n{}\n", names(count), values(count));
    let (columns, rows) = read(table(COLUMNS_MAX).as_bytes(), &Options::default()).unwrap();
    assert_eq!((columns.len(), rows[0].len()), (COLUMNS_MAX, COLUMNS_MAX));
    let error =
        read(table(COLUMNS_MAX + 1).as_bytes(), &Options::default()).unwrap_err().to_string();
    assert!(error.contains("more than 100000 fields"), "{error}");
}

#[test]
fn formulas_are_escaped_and_numbers_are_not() {
    let rows = [["=1+1", "@x", "-5", "+49 (30) 1-2", "-x", "a=b"].map(str::to_owned).to_vec()];
    let dialect = Dialect { header: false, ..Dialect::default() };
    assert_eq!(written(&rows, &dialect, Formulas::Escape), b"'=1+1,'@x,-5,+49 (30) 1-2,'-x,a=b\n");
    assert_eq!(written(&rows, &dialect, Formulas::Keep), b"=1+1,@x,-5,+49 (30) 1-2,-x,a=b\n");
}

const HOSTILE: &[u8] = b"a\",;'\r\n\xc3\xb6\0\xff";

proptest! {
    #[test]
    fn what_is_written_reads_the_same(
        rows in proptest::collection::vec(proptest::collection::vec("[a-z,;\"'\n\t |é]{0,6}", 3), 1..8),
        delimiter in prop::sample::select(&DELIMITERS[..]),
        crlf: bool,
    ) {
        let dialect = Dialect { delimiter, crlf, ..Dialect::default() };
        let bytes = written(&rows, &dialect, Formulas::Keep);
        let options =
            Options { delimiter: Some(delimiter), quote: Some(b'"'), ..Options::default() };
        prop_assert_eq!(read(&bytes, &options).unwrap().1, rows);
    }

    #[test]
    fn nothing_panics(
        bytes in proptest::collection::vec(prop::sample::select(HOSTILE), 0..60),
    ) {
        let _ = read(&bytes, &Options::default());
    }
}

#[test]
fn a_first_record_that_looks_like_data_names_no_columns() {
    let bytes = b"1,ann@example.org\n2,bob@example.org\n";
    refused(
        bytes,
        "header (line 1, byte 0): the header of column 2 looks like data about a person",
    );
    let without = Options { header: Some(false), ..Options::default() };
    let (columns, rows) = read(bytes, &without).unwrap();
    assert_eq!((columns.len(), rows.len()), (2, 2));
    let with = Options { header: Some(true), ..Options::default() };
    assert_eq!(read(bytes, &with).unwrap().0, ["1", "ann@example.org"]);
    check(
        b"id,mail,2024-01-05,10.5\n1,x,y,z\n",
        &["id", "mail", "2024-01-05", "10.5"],
        &[&["1", "x", "y", "z"]],
    );
}
