//! What detection finds, as JSON lines, for comparison with other programs (`bench/detection.sh`).
//!
//! `detect find` reads texts, one a line, and writes for each what it contains; `detect scan
//! FILE...` writes for each table what its columns are.

use std::fs::File;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;

use datapact_desensitize::Entity;
use datapact_desensitize::detect::find;
use datapact_desensitize::format::{Input, Options};
use datapact_desensitize::proposal::scan;
use serde_json::json;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("find") => find_lines(),
        Some("scan") => arguments.try_for_each(|path| scan_file(&path)),
        _ => Err("usage: detect find < TEXTS, or detect scan FILE...".into()),
    }
}

fn find_lines() -> Result<(), Error> {
    let (mut out, mut found) = (io::stdout().lock(), Vec::new());
    for line in io::stdin().lock().lines() {
        find(&line?, &Entity::ALL, &mut found);
        let found: Vec<_> = found
            .iter()
            .map(|one| {
                json!({
                    "entity": one.name(),
                    "start": one.range.start,
                    "end": one.range.end,
                    "confidence": one.confidence,
                })
            })
            .collect();
        writeln!(out, "{}", json!(found))?;
    }
    Ok(())
}

fn scan_file(path: &str) -> Result<(), Error> {
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
    let mut input = Input::file(File::open(path)?, extension, Options::default())?;
    let proposal = scan(&mut input, None, &mut |_| {})?;
    println!(
        "{}",
        json!({ "file": path, "records": proposal.records, "columns": proposal.columns })
    );
    Ok(())
}
