//! What goes out as k-anonymous is so by the reckoning of a program that is not ours (pycanon).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::Command;

use datapact_desensitize::format::{Input, Options};
use datapact_desensitize::{Plan, Report, run};

const RULES: &str = r#"
version = 1
[k-anonymity]
k = K
suppress-max = 0.03
DIVERSITY
[[column]]
name = "age"
transform = "quasi-identifier"
as = "number"
levels = [5, 10, 20, 40]
[[column]]
name = "zip"
transform = "quasi-identifier"
as = "postcode"
levels = [4, 3, 2, 1]
[[column]]
name = "seen"
transform = "quasi-identifier"
as = "date"
[[column]]
name = "sex"
transform = "quasi-identifier"
as = "category"
[[column]]
name = "diagnosis"
transform = "keep"
"#;

/// Patients, skewed as real ones are; some values are missing, some are nonsense.
fn patients(count: u64) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let mut table = "age,zip,seen,sex,diagnosis\n".to_owned();
    for _ in 0..count {
        let age = match below(50) {
            0 => String::new(),
            1 => "unknown".to_owned(),
            _ => (below(50) + below(50)).to_string(),
        };
        let zip = if below(40) == 0 {
            String::new()
        } else {
            format!("{:05}", 10_000 + below(30) * below(100))
        };
        let (year, month, day) = (2020 + below(5), below(12) + 1, below(28) + 1);
        let sex = ["f", "m", "f", "m", "x"][below(5) as usize];
        let diagnosis = ["flu", "cold", "gout", "asthma"][(below(4) * below(4) / 3) as usize];
        writeln!(table, "{age},{zip},{year}-{month:02}-{day:02},{sex},{diagnosis}").unwrap();
    }
    table
}

fn desensitized(folder: &Path, k: u64, diversity: &str) -> Report {
    let rules = RULES.replace("= K", &format!("= {k}")).replace("DIVERSITY", diversity);
    let plan = Plan::new(rules.as_bytes(), folder, None).unwrap();
    let raw = File::open(folder.join("raw.csv")).unwrap();
    let mut input = Input::file(raw, Some("csv"), Options::default()).unwrap();
    let out = File::create(folder.join("out.csv")).unwrap();
    run(&mut input, &plan, Box::new(out), &mut |_| {}).unwrap()
}

#[test]
fn a_program_that_is_not_ours_finds_the_same_k_and_l() {
    let Some(python) = datapact_test_tools::python("pycanon") else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raw.csv"), patients(4000)).unwrap();
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/desensitization/anonymity.py");
    for (k, diversity, l) in
        [(2, "", 1), (5, "", 1), (11, "l = 2\nsensitive = \"diagnosis\"", 2), (40, "", 1)]
    {
        let report = desensitized(folder.path(), k, diversity);
        let mut command = Command::new(&python);
        command.arg(&script).arg(folder.path().join("out.csv")).arg("diagnosis");
        let output = command.args(["age", "zip", "seen", "sex"]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Vec<u64> =
            said.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let anonymity = report.k_anonymity.unwrap();
        assert_eq!(found[0], anonymity.reached, "k = {k}");
        assert!(found[0] >= k && found[1] >= l, "k = {k}: {found:?}");
        assert!(report.suppressed * 100 <= report.records * 3, "{}", report.suppressed);
        assert!(report.suppressed < report.records);
    }
}
