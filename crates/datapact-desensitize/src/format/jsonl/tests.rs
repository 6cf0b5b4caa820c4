#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::testing::Shared;

/// Reads, and writes what was read.
fn through(text: &str) -> Result<(Vec<String>, String)> {
    let open =
        || JsonSource::open(Box::new(Cursor::new(text.as_bytes().to_vec())), &Options::default());
    let (mut source, mut record) = (open()?, Record::default());
    while source.read(&mut record)? {}
    let columns = source.columns().to_vec();
    let outgoing: Vec<Outgoing> = columns
        .iter()
        .map(|column| Outgoing { name: column.name.clone(), typed_as: None, whole: true })
        .collect();
    let output = Shared::default();
    let mut sink = JsonSink::create(Box::new(output.clone()), &outgoing, source.dialect());
    let mut source = open()?;
    while source.read(&mut record)? {
        sink.write(&record)?;
    }
    sink.finish()?;
    let written = String::from_utf8(output.take()).unwrap();
    Ok((columns.into_iter().map(|column| column.name).collect(), written))
}

fn refused(text: &str, expected: &str) {
    let error = through(text).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn objects_become_columns_and_objects_again() {
    let text = "{\"id\":1,\"name\":{\"first\":\"Ad\\\"a\",\"last\":null},\"tags\":[1,{\"a\":2}],\"ok\":true}\n\
                {\"id\":2.50,\"name\":{\"first\":\"Zoë\"},\"more\":{}}\n{}\n";
    let (columns, written) = through(text).unwrap();
    assert_eq!(columns, ["id", "name.first", "name.last", "tags", "ok", "more"]);
    assert_eq!(written, text);
    assert_eq!(through("\n {\"a\" : 1} \r\n").unwrap().1, "{\"a\":1}\n");
}

#[test]
fn what_is_no_json_line_is_refused_with_its_position_and_without_its_content() {
    refused(
        "{\"a\":1}\n{\"a\":secret}\n",
        "record 2 (line 2, byte 8): not a JSON object, at character",
    );
    refused("[1]\n", "not a JSON object");
    refused("{\"a\":1} x\n", "not a JSON object");
    refused("{\"a\":1,\"a\":2}\n", "the member `a` occurs twice");
    refused("{\"a.b\":1}\n", "has a point");
    refused(
        "{\"a\":{\"b\":1}}\n{\"a\":2}\n",
        "`a` is an object in some records and a value in others",
    );
    refused(
        "{\"a\":2}\n{\"a\":{\"b\":1}}\n",
        "`a` is an object in some records and a value in others",
    );
    refused("{\"a\":\"\\ud800\"}\n", "lone surrogate");
    let deep = format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500));
    assert_eq!(through(&deep).unwrap().1.trim_end(), deep);
    let secret = through("{\"a\": \"Ada Sentinel\" oops}\n").unwrap_err().to_string();
    assert!(!secret.contains("Sentinel"));
}

proptest! {
    #[test]
    fn nothing_panics(text in "[{}\\[\\]\",:a\\\\u0-9\n.e -]{0,60}") {
        let _ = through(&text);
    }

    #[test]
    fn any_text_comes_out_as_it_went_in(texts in proptest::collection::vec("\\PC{0,12}", 1..5)) {
        let line = serde_json::json!({"t": texts[0], "o": {"u": texts.last()}}).to_string();
        let out = through(&line).unwrap().1;
        let (a, b): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&line).unwrap(), serde_json::from_str(&out).unwrap());
        prop_assert_eq!(a, b);
    }
}
