//! From a raw table with personal data to an audited share of desensitized data, between real
//! processes.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::Path;

use support::Site;

const RAW: &str = "\
name,email,age,zip,diagnosis
Ada Blomqvist-Sentinel,ada@example.org,36,12345,flu
Ben Okri,ben@example.org,37,12346,gout
Cleo Part,cleo@example.org,38,12399,flu
Dan Roe,dan@example.org,51,22345,cold
Eve Moe,,52,22346,flu
Fay Doe,fay@example.org,old,22347,gout
";

const RULES: &str = r#"
version = 1
[k-anonymity]
k = 2
suppress-max = 0.2
[[column]]
name = "name"
transform = "drop"
[[column]]
name = "email"
transform = "pseudonym"
[[column]]
name = "age"
transform = "quasi-identifier"
as = "number"
levels = [5, 10, 20]
[[column]]
name = "zip"
transform = "quasi-identifier"
as = "postcode"
levels = [4, 3, 2]
[[column]]
name = "diagnosis"
REVIEW
transform = "keep"
"#;

/// The files under `folder` that hold `needle`.
fn holding(folder: &Path, needle: &[u8], found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holding(&path, needle, found);
        } else if fs::read(&path)
            .is_ok_and(|content| content.windows(needle.len()).any(|w| w == needle))
        {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
}

#[test]
fn sh_1_raw_data_become_a_share_of_desensitized_data_with_a_signed_manifest() {
    let site = Site::start();
    fs::write(site.file("raw.csv"), RAW).unwrap();
    fs::write(site.file("rules.toml"), RULES.replace("REVIEW", "review = \"is it free text?\""))
        .unwrap();
    site.ok("clinic", &["desensitize", "key", "pseudonyms.key"]);
    let create = [
        "share",
        "create",
        "raw.csv",
        "--desensitize",
        "rules.toml",
        "--pseudonym-key",
        "pseudonyms.key",
        "--allow-anyone",
        "--times",
        "3",
        "--expires",
        "30d",
    ];
    let refused = site.run(Some("clinic"), &create);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("line 22: the rule for `diagnosis` is marked `review`"), "{said}");

    fs::write(site.file("rules.toml"), RULES.replace("REVIEW", "")).unwrap();
    let share = site.ok("clinic", &create)[0]["share"].as_str().unwrap().to_owned();
    let mut holders = Vec::new();
    holding(site.path(), b"Blomqvist-Sentinel", &mut holders);
    assert_eq!(holders, ["raw.csv"], "no plaintext is left on any disk");

    let offer = &site.ok("lab", &["catalog", "show", &share])[0];
    let done = &offer["information"]["desensitization"];
    let done =
        if done.is_null() { &offer["entry"]["information"]["desensitization"] } else { done };
    assert_eq!(
        (done["records"].as_u64(), done["suppressed"].as_u64()),
        (Some(5), Some(1)),
        "{offer}"
    );
    assert_eq!(done["k_anonymity"]["reached"], 2);
    assert_eq!(done["columns"][0]["transform"], "drop");
    let shown = site.run(Some("lab"), &["catalog", "show", &share]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("2-anonymous in age, zip") && shown.contains("name: drop, 5 changed"),
        "{shown}"
    );

    let opened = site.run(Some("lab"), &["open", &share]);
    let opened = String::from_utf8(opened.stdout).unwrap();
    let rows: Vec<Vec<&str>> = opened.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["email", "age", "zip", "diagnosis"]);
    assert_eq!(rows.len(), 6, "{opened}");
    assert_eq!(rows[1][1..], ["35..40", "123**", "flu"]);
    assert!(rows[1][0].len() == 32 && !opened.contains("example.org"), "{opened}");
    let audit = &site.ok("clinic", &["share", "audit", &share])[0];
    assert_eq!(audit["good"], true, "{audit}");

    // Other data take their place: raw ones only after a question, and by the rules with a manifest
    // of their own.
    fs::write(
        site.file("next.csv"),
        format!("{RAW}Gus Blomqvist-Sentinel,gus@example.org,36,12345,flu\n"),
    )
    .unwrap();
    let update = ["share", "update", &share, "--file", "next.csv", "--times", "4"];
    let asked = site.run(Some("clinic"), &update);
    assert!(!asked.status.success(), "there was no one to say yes");
    let through = ["--desensitize", "rules.toml", "--pseudonym-key", "pseudonyms.key"];
    let next = &site.ok("clinic", &[&update[..], &through].concat())[0];
    assert_eq!(next["version"], 2, "{next}");
    let shown = site.run(Some("lab"), &["catalog", "show", &share]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("name: drop, 6 changed"), "{shown}");
    let opened = site.run(Some("lab"), &["open", &share]);
    let opened = String::from_utf8(opened.stdout).unwrap();
    assert!(opened.lines().count() == 7 && !opened.contains("example.org"), "{opened}");
    let mut holders = Vec::new();
    holding(site.path(), b"Gus Blomqvist-Sentinel", &mut holders);
    assert_eq!(holders, ["next.csv"]);
    let alone =
        site.run(Some("clinic"), &["share", "update", &share, "--desensitize", "rules.toml"]);
    assert_eq!(alone.status.code(), Some(2), "rules are for a file");

    // What fails halfway is never shared, and says where.
    fs::write(site.file("raw.csv"), format!("{RAW}Gus,gus@example.org,40,12345\n")).unwrap();
    let before = site.ok("clinic", &["share", "list"]).len();
    let broken = site.run(Some("clinic"), &create);
    let said = String::from_utf8(broken.stderr).unwrap();
    assert_eq!(broken.status.code(), Some(2), "{said}");
    assert!(said.contains("record 7 (line 8, byte"), "{said}");
    assert_eq!(site.ok("clinic", &["share", "list"]).len(), before);
}

#[test]
fn dp_1_a_file_is_desensitized_into_a_file_with_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_datapact"));
        command.args(arguments).current_dir(folder.path()).env_clear();
        command.stdin(std::process::Stdio::null()).output().unwrap()
    };
    let file = |name: &str| folder.path().join(name);
    fs::write(file("raw.csv"), RAW).unwrap();
    fs::write(file("rules.toml"), RULES.replace("REVIEW", "")).unwrap();
    let base = ["desensitize", "run", "raw.csv", "--rules", "rules.toml"];
    let keyed = [&base[..], &["--pseudonym-key", "k"]].concat();
    assert!(run(&["desensitize", "key", "k"]).status.success());
    assert!(!run(&["desensitize", "key", "k"]).status.success(), "a key is never replaced");

    let preview = run(&[&keyed[..], &["--dry-run", "--records", "2"]].concat());
    let preview = String::from_utf8(preview.stdout).unwrap();
    assert!(preview.contains("12346") && preview.contains("123**"), "{preview}");

    let reported = run(&[&keyed[..], &["-o", "clean.csv", "--report", "report.html"]].concat());
    assert!(reported.status.success(), "{}", String::from_utf8_lossy(&reported.stderr));
    assert!(
        fs::read_to_string(file("clean.csv")).unwrap().starts_with("email,age,zip,diagnosis\n")
    );
    let html = fs::read_to_string(file("report.html")).unwrap();
    assert!(
        html.contains("<svg") && !html.contains("http") && !html.contains("Sentinel"),
        "{html}"
    );
    let json = run(&[&keyed[..], &["-o", "again.csv", "--json"]].concat());
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["columns"][2]["name"], "age");
    assert_eq!(fs::read(file("clean.csv")).unwrap(), fs::read(file("again.csv")).unwrap());

    assert_eq!(
        run(&[&base[..], &["-o", "x.csv"]].concat()).status.code(),
        Some(2),
        "a key is needed"
    );
    fs::write(file("raw.csv"), "name,email,age,zip,diagnosis,new\n1,2,3,4,5,6\n").unwrap();
    let refused = run(&[&keyed[..], &["-o", "x.csv"]].concat());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the column `new` has no rule"));
    assert!(!file("x.csv").exists(), "nothing is left of what was refused");
}
