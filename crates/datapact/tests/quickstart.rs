//! The quickstart as a user meets it: both procedures between real processes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn quickstart(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datapact"));
    command.arg("quickstart").args(arguments).arg("--data").arg(data).env_remove("DATAPACT_HOME");
    command
}

fn steps(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn clauses(steps: &[Value]) -> String {
    steps.iter().map(|step| step["clause"].as_str().unwrap()).collect::<Vec<_>>().join("; ")
}

#[test]
fn sh_1_to_ax_18_the_quickstart_shows_both_procedures_and_a_second_run_works() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("site");
    let first = steps(&quickstart(&data, &["--exit", "--json"]).output().unwrap());
    assert_eq!(first.len(), 9, "{}", clauses(&first));
    assert!(
        clauses(&first).contains("7.3.1 steps 1 to 8")
            && clauses(&first).contains("7.3.2 steps 1 to 18")
    );
    let detail = |title: &str| {
        let step = first.iter().find(|step| step["title"].as_str().unwrap().contains(title));
        step.unwrap_or_else(|| panic!("no step `{title}`"))["detail"].clone()
    };
    assert_eq!(detail("overseas is refused")["refusal"]["rule"], "country");
    assert_eq!(detail("second try is refused")["refusal"]["rule"], "access-times");
    assert_eq!(detail("audits the share")["good"], true);
    assert_eq!(detail("audits the share")["accesses"].as_array().unwrap().len(), 1);
    let processes = detail("each a process")["processes"].as_array().unwrap().len();
    assert_eq!(processes, 4);

    // Nothing personal on the ledger, no plaintext anywhere below the site (PR-1, AX-18).
    let second = steps(&quickstart(&data, &["--exit", "--json"]).output().unwrap());
    assert_eq!(second[0]["detail"]["existed"], true);
    assert_ne!(second[3]["detail"]["share"], first[3]["detail"]["share"]);
    for file in files(&data) {
        let bytes = std::fs::read(&file).unwrap();
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!has(b"visit_month,age_band"), "plaintext in {}", file.display());
    }
}

#[test]
fn pr_1_the_log_names_nobody() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("site");
    let mut running = Running::start(&data, &[]);
    let export = folder.path().join("log");
    let home = data.join("home");
    let output = Command::new(env!("CARGO_BIN_EXE_datapact"))
        .args(["ledger", "export", "--profile", "lab", "--home"])
        .arg(&home)
        .arg(&export)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    running.stop();
    let verify = |expected: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_datapact"));
        let no_profile = folder.path().join("no-profile");
        command.args(["ledger", "verify", "--home"]).arg(no_profile).arg(&export);
        let output = command.arg("--log-policy").arg(export.join("log-policy")).output().unwrap();
        assert_eq!(
            output.status.success(),
            expected,
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    verify(true);
    let mut entries = None;
    for file in files(&export) {
        let bytes = std::fs::read(&file).unwrap();
        for datum in ["Ada", "Ben", "Cleo", "CN=", "clinic:", "lab:"] {
            let found = bytes.windows(datum.len()).any(|window| window == datum.as_bytes());
            assert!(!found, "`{datum}` in {}", file.display());
        }
        if file.to_string_lossy().contains("entries") {
            entries = Some((file, bytes));
        }
    }
    let (file, mut bytes) = entries.unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert!(verify(false).contains("entry"), "the first bad entry is named");
}

#[test]
fn pr_10_renewed_certificates_of_users_servers_and_cas_leave_old_shares_readable_and_counts_going_on()
 {
    let source = "install Debian's `openssl`";
    let Some(openssl) = datapact_test_tools::program("openssl", source) else { return };
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("site");
    let file = folder.path().join("mine.csv");
    std::fs::write(&file, "a,b\n1,2\n").unwrap();
    let path = |part: &str| data.join(part).to_str().unwrap().to_owned();
    let home = path("home");
    let datapact = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_datapact"));
        command.args(["--json", "--home", &home]).args(arguments).output().unwrap()
    };
    let ok = |arguments: &[&str]| {
        let output = datapact(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    let mut running = Running::start(&data, &[]);
    let file = file.to_str().unwrap();
    let created = ok(&[
        "--profile",
        "clinic",
        "share",
        "create",
        file,
        "--allow-country",
        "DE",
        "--times",
        "2",
        "--expires",
        "1d",
    ]);
    let share =
        serde_json::from_slice::<Value>(&created).unwrap()["share"].as_str().unwrap().to_owned();
    let open = || datapact(&["--profile", "lab", "open", &share]);
    assert_eq!(open().stdout, b"a,b\n1,2\n");
    running.stop();

    for ca in ["clinic", "lab", "server"] {
        ok(&["ca", "renew", &path(&format!("ca/{ca}"))]);
    }
    for (profile, ca) in [("clinic", "clinic"), ("lab", "lab")] {
        let (request, certificate) =
            (path(&format!("{profile}.csr")), path(&format!("{profile}.pem")));
        ok(&["--profile", profile, "identity", "renew", "-o", &request]);
        ok(&["ca", "issue", "--ca", &path(&format!("ca/{ca}")), &request, "-o", &certificate]);
        ok(&["--profile", profile, "identity", "renew", "--certificate", &certificate]);
    }
    for role in ["management", "key", "storage"] {
        let name = format!("{role}.quickstart.test");
        let request = path(&format!("{role}.csr"));
        let key = path(&format!("servers/{role}/private_key.pem"));
        let subject = format!("/CN={name}");
        let mut openssl = Command::new(&openssl);
        openssl.args(["req", "-new", "-key", &key, "-subj", &subject, "-out", &request]);
        assert!(openssl.status().unwrap().success());
        let certificate = path(&format!("servers/{role}/certificate.pem"));
        std::fs::remove_file(&certificate).unwrap();
        ok(&[
            "ca",
            "issue",
            "--ca",
            &path("ca/server"),
            &request,
            "--server",
            &name,
            "-o",
            &certificate,
        ]);
    }

    let mut running = Running::start(&data, &[]);
    assert_eq!(open().stdout, b"a,b\n1,2\n");
    let refused = open();
    assert_eq!(refused.status.code(), Some(3), "the third of two accesses");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("access-times"));
    let audit = ok(&["--profile", "clinic", "share", "audit", &share]);
    let audit = serde_json::from_slice::<Value>(&audit).unwrap();
    assert_eq!(
        (&audit["good"], audit["accesses"].as_array().unwrap().len()),
        (&Value::Bool(true), 2)
    );
    running.stop();
}

#[test]
fn us_1_users_of_two_organisations_join_from_homes_of_their_own_and_no_ca_makes_the_others_users() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("site");
    let path = |part: &str| folder.path().join(part).to_str().unwrap().to_owned();
    let datapact = |home: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_datapact"));
        command.args(["--json", "--home", home]).args(arguments).output().unwrap()
    };
    let ok = |home: &str, arguments: &[&str]| {
        let output = datapact(home, arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    let mut running = Running::start(&data, &[]);
    let admins = data.join("home").to_str().unwrap().to_owned();
    let ca = |realm: &str| data.join("ca").join(realm).to_str().unwrap().to_owned();
    let join = |home: &str, invited: &str, certified: &str, subject: &str| {
        let (invitation, request, certificate) =
            (format!("{home}.invitation"), format!("{home}.csr"), format!("{home}.pem"));
        ok(
            &admins,
            &["--profile", "admin", "account", "invite", "--realm", invited, "-o", &invitation],
        );
        ok(home, &["join", &invitation, "--subject", subject, "--profile", "me", "-o", &request]);
        ok(home, &["ca", "issue", "--ca", &ca(certified), &request, "-o", &certificate]);
        datapact(home, &["join", "--certificate", &certificate, "--profile", "me"])
    };
    let (zoe, yan, mallory) = (path("zoe"), path("yan"), path("mallory"));
    for (home, realm, subject) in
        [(&zoe, "clinic", "CN=Zoe,O=Clinic"), (&yan, "lab", "CN=Yan,O=Lab")]
    {
        let joined = join(home, realm, realm, subject);
        assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
        let account: Value = serde_json::from_slice(&joined.stdout).unwrap();
        assert_eq!(account["account"]["identity"]["realm"], realm);
    }
    // The lab's CA certifies the very name of a user of the clinic: it makes a user of the lab, who
    // has no account, and the clinic's invitation does not help.
    let refused = join(&mallory, "clinic", "lab", "CN=Ada,O=Clinic");
    assert_eq!(refused.status.code(), Some(4), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(!datapact(&mallory, &["--profile", "me", "share", "list"]).status.success());
    // Private keys stay their owners' alone.
    for home in [&zoe, &yan] {
        use std::os::unix::fs::PermissionsExt as _;
        let key = Path::new(home).join("profiles/me/key.pem");
        assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    }
    running.stop();
}

#[test]
fn two_quickstarts_run_at_once_but_not_in_one_folder() {
    let folder = TempDir::new().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let file = folder.path().join("mine.bin");
    std::fs::write(&file, vec![42; 300_000]).unwrap();
    let mut running = Running::start(&one, &[file.to_str().unwrap()]);
    let refused = quickstart(&one, &["--exit"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another quickstart is running"));
    assert_eq!(steps(&quickstart(&other, &["--exit", "--json"]).output().unwrap()).len(), 9);
    running.stop();
}

#[test]
fn a_folder_of_somebody_elses_is_not_touched() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("precious"), "data").unwrap();
    let refused = quickstart(folder.path(), &["--exit"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(files(folder.path()).len(), 1);
}

/// A quickstart that is left running.
struct Running(Child);

impl Running {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut child = quickstart(data, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let ready = stderr.lines().map_while(Result::ok).any(|line| line.contains("DATAPACT_HOME"));
        assert!(ready, "it never said where its profiles are");
        Self(child)
    }

    /// As Ctrl-C does; the servers end with it.
    fn stop(&mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
