//! Writes vectors of the formats into `testdata/`: `cargo xtask vectors NAME` runs this.
//!
//! Signatures, certificates and salts are random, so the files differ every time: write them only
//! when a format changes. The tests in `tests/vectors` hold this implementation to them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "writes fixtures")]

mod documents;
mod enrolment;
#[path = "../../tests/vectors/format.rs"]
mod format;
mod jws;
mod package;
mod release;
#[path = "../../tests/support/mod.rs"]
mod support;
mod token;

fn main() {
    for name in std::env::args().skip(1) {
        match name.as_str() {
            "documents" => documents::write(),
            "enrolment" => enrolment::write(),
            "package" => package::write(),
            "token" => token::write(),
            "release" => release::write(),
            other => panic!("there are no vectors `{other}`"),
        }
    }
}
