//! The steps of the quickstart, printed as they are done.

use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use crate::failure::Result;
use crate::output::Output;

/// Prints the steps as they are done.
pub(super) struct Steps {
    output: Output,
    number: u32,
    since: Instant,
}

/// One step, as `--json` prints it.
#[derive(Serialize)]
struct Step<'a> {
    step: u32,
    /// The clauses of X.1410 that it shows.
    clause: &'a str,
    title: &'a str,
    milliseconds: u128,
    detail: Value,
}

impl Steps {
    pub(super) fn new(output: Output) -> Self {
        Self { output, number: 0, since: Instant::now() }
    }

    /// Prints the next step, with the time since the one before.
    pub(super) fn done(
        &mut self,
        clause: &str,
        title: &str,
        lines: &[String],
        detail: Value,
    ) -> Result<()> {
        self.number += 1;
        let milliseconds = self.since.elapsed().as_millis();
        let mut text = format!("{:>2}. {title}  [{clause}]", self.number);
        for line in lines {
            text.push_str("\n      ");
            text.push_str(line);
        }
        let step = Step { step: self.number, clause, title, milliseconds, detail };
        self.output.result(&step, text)?;
        self.since = Instant::now();
        Ok(())
    }
}
