//! `cargo xtask vectors NAME...`: writes vectors of the formats, each by an example of its crate.
//!
//! The tests of those crates hold the code to the vectors. Most vectors have random signatures and
//! differ at every writing, so a name must be given, and only a change of a format is a reason.

use std::process::Command;

use crate::tree::root;

/// The vectors by name, each with the crate and its example that writes it.
const VECTORS: [(&str, &str, &str); 6] = [
    ("documents", "datapact-core", "vectors"),
    ("enrolment", "datapact-core", "vectors"),
    ("package", "datapact-core", "vectors"),
    ("token", "datapact-core", "vectors"),
    ("release", "datapact-core", "vectors"),
    ("parquet", "datapact-desensitize", "parquet_vectors"),
];

/// Writes the vectors with these names, or all for `all`; returns those that were not written.
pub(crate) fn run(names: &[&str]) -> Vec<String> {
    if names.is_empty() {
        let known = VECTORS.map(|(name, ..)| name).join("|");
        return vec![format!("vectors: say which to write: {known}|all")];
    }
    let all = VECTORS.map(|(name, ..)| name);
    let names = if names == ["all"] { &all[..] } else { names };
    names.iter().filter(|name| !write(name)).map(|name| format!("vectors {name}")).collect()
}

fn write(name: &str) -> bool {
    let Some((_, package, example)) = VECTORS.iter().find(|(known, ..)| *known == name) else {
        return false;
    };
    Command::new("cargo")
        .current_dir(root())
        .args(["run", "--quiet", "--package", package, "--example", example, "--", name])
        .status()
        .is_ok_and(|status| status.success())
}
