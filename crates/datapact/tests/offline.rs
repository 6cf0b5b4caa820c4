//! Transcripts of the commands that need no server: the built program, its output, its exit codes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_datapact"));
    command.args(arguments).current_dir(dir).env_clear().env("DATAPACT_HOME", dir.join("home"));
    command
}

fn run(dir: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(dir, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn json(bytes: &[u8]) -> Value {
    let text = text(bytes);
    assert_eq!(text.lines().count(), 1, "not one line: {text}");
    serde_json::from_str(text).unwrap()
}

/// Runs, expects success, and returns standard output.
fn ok(dir: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let output = run(dir, arguments, input);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    output.stdout
}

/// Runs with `--json`, expects the exit code and nothing on standard output, and returns the
/// problem.
fn refused(dir: &Path, arguments: &[&str], code: i32) -> Value {
    let output = run(dir, &[arguments, &["--json"]].concat(), b"");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
    let problem = json(&output.stderr);
    assert_eq!(problem["exit"], code);
    assert!(problem["type"].as_str().unwrap().starts_with("urn:datapact:problem:"));
    let detail = problem["detail"].as_str().unwrap();
    assert!(!detail.is_empty() && !detail.ends_with('.'), "{detail}");
    problem
}

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| b"0123456789abcde\n"[(i * 7 + i / 1000) % 16]).collect()
}

fn wrapped(dir: &Path, plaintext: &[u8]) -> Value {
    fs::write(dir.join("data.csv"), plaintext).unwrap();
    let arguments = ["wrap", "data.csv", "-o", "data.pkg", "--key-out", "data.key", "--json"];
    json(&ok(dir, &arguments, b""))
}

#[test]
fn wrap_and_unwrap_return_the_data() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let plaintext = data(700_001);
    let result = wrapped(dir, &plaintext);
    assert_eq!(result["size"], 700_001);
    assert_eq!(result["media_type"], "text/csv");
    assert_eq!(result["one_off"], true);
    assert_eq!(result["package_size"], fs::metadata(dir.join("data.pkg")).unwrap().len());
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("data.key"), 0o600);

    assert_eq!(
        ok(dir, &["unwrap", "data.pkg", "--key-file", "data.key", "-o", "-"], b""),
        plaintext
    );
    let arguments = ["unwrap", "data.pkg", "--key-file", "data.key", "-o", "out.csv", "--json"];
    let opened = json(&ok(dir, &arguments, b""));
    assert_eq!(fs::read(dir.join("out.csv")).unwrap(), plaintext);
    assert_eq!(opened["provider_checked"], "none");
    assert_eq!(opened["provider_key"], result["provider_key"]);
    assert_eq!(mode("out.csv"), 0o600);

    let inspected = json(&ok(dir, &["inspect", "data.pkg", "--json"], b""));
    for field in [
        "package",
        "key",
        "provider",
        "provider_key",
        "metadata",
        "media_type",
        "size",
        "package_size",
    ] {
        assert_eq!(inspected[field], result[field], "{field}");
    }
    assert!(text(&ok(dir, &["inspect", "data.pkg"], b"")).contains("media type:   text/csv"));
}

#[test]
fn wrap_and_unwrap_work_in_pipes() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let plaintext = data(300_000);
    let package = ok(dir, &["wrap", "-", "-o", "-", "--key-out", "k"], &plaintext);
    fs::write(dir.join("p"), &package).unwrap();
    assert_eq!(ok(dir, &["unwrap", "p", "--key-file", "k", "-o", "-"], b""), plaintext);
    // Redirected, standard input is a file and can be read at any offset.
    let redirected = command(dir, &["unwrap", "-", "--key-file", "k", "-o", "-"])
        .stdin(fs::File::open(dir.join("p")).unwrap())
        .output()
        .unwrap();
    assert_eq!(redirected.stdout, plaintext);
    let problem = refused(dir, &["unwrap", "-", "--key-file", "k", "-o", "-"], 2);
    assert!(problem["hint"].as_str().unwrap().contains("save it to a file"));
}

#[test]
fn a_reader_that_leaves_ends_the_command_quietly() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    wrapped(dir, &data(3_000_000));
    let mut child = command(dir, &["unwrap", "data.pkg", "--key-file", "data.key", "-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert!(!text(&output.stderr).contains("error"), "{}", text(&output.stderr));
}

#[test]
fn uw_4_a_wrong_key_leaves_no_file() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    wrapped(dir, &data(100_000));
    ok(dir, &["wrap", "data.csv", "-o", "other.pkg", "--key-out", "other.key"], b"");
    let before = fs::read_dir(dir).unwrap().count();
    let problem = refused(dir, &["unwrap", "data.pkg", "--key-file", "other.key", "-o", "out"], 8);
    assert!(problem["detail"].as_str().unwrap().contains("does not open this package"));
    assert_eq!(fs::read_dir(dir).unwrap().count(), before);
}

#[test]
fn uw_5_an_altered_package_leaves_no_file() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    wrapped(dir, &data(2_000_000));
    let mut package = fs::read(dir.join("data.pkg")).unwrap();
    package[1_500_000] ^= 1;
    fs::write(dir.join("data.pkg"), package).unwrap();
    let before = fs::read_dir(dir).unwrap().count();
    refused(dir, &["unwrap", "data.pkg", "--key-file", "data.key", "-o", "out"], 8);
    assert_eq!(fs::read_dir(dir).unwrap().count(), before);
}

#[test]
fn the_provider_is_checked_as_demanded() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let result = wrapped(dir, b"a,b\n1,2\n");
    let key = result["provider_key"].as_str().unwrap();
    let unwrap = ["unwrap", "data.pkg", "--key-file", "data.key", "-o", "-"];
    assert_eq!(ok(dir, &[&unwrap[..], &["--provider-key", key]].concat(), b""), b"a,b\n1,2\n");
    let other = "0".repeat(64);
    refused(dir, &[&unwrap[..], &["--provider-key", &other]].concat(), 8);
    refused(dir, &[&unwrap[..], &["--provider", "clinic:CN=alice"]].concat(), 2);
    let provider = result["provider"].clone();
    let provider = format!(
        "{}:{}",
        provider["realm"].as_str().unwrap(),
        provider["subject"].as_str().unwrap()
    );
    ok(dir, &[&unwrap[..], &["--provider", &provider, "--provider-key", key]].concat(), b"");
}

#[test]
fn nothing_is_replaced_unasked() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    wrapped(dir, b"one");
    let package = fs::read(dir.join("data.pkg")).unwrap();
    let key = fs::read(dir.join("data.key")).unwrap();
    let problem = refused(dir, &["wrap", "data.csv", "-o", "data.pkg", "--key-out", "new.key"], 10);
    assert_eq!(problem["type"], "urn:datapact:problem:declined");
    // A key is not replaced even with `--yes`.
    refused(dir, &["wrap", "data.csv", "-o", "data.pkg", "--key-out", "data.key", "--yes"], 9);
    assert_eq!(fs::read(dir.join("data.pkg")).unwrap(), package);
    assert_eq!(fs::read(dir.join("data.key")).unwrap(), key);
    assert!(!dir.join("new.key").exists());
    ok(dir, &["wrap", "data.csv", "-o", "data.pkg", "--key-out", "new.key", "--yes"], b"");
    assert_eq!(ok(dir, &["unwrap", "data.pkg", "--key-file", "new.key", "-o", "-"], b""), b"one");
}

#[test]
fn a_failed_wrap_leaves_neither_package_nor_key() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    refused(dir, &["wrap", "missing", "-o", "p", "--key-out", "k"], 9);
    refused(dir, &["wrap", ".", "-o", "p", "--key-out", "k"], 2);
    fs::write(dir.join("data"), b"x").unwrap();
    refused(dir, &["wrap", "data", "-o", "no/such/folder", "--key-out", "k"], 9);
    refused(dir, &["wrap", "data", "-o", "p", "--key-out", "k", "--media-type", "\u{e9}"], 2);
    refused(dir, &["wrap", "data", "-o", "p", "--key-out", "-"], 2);
    let names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["data"]);
}

#[test]
fn a_key_file_that_others_may_read_is_refused() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    wrapped(dir, b"x");
    fs::set_permissions(dir.join("data.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let problem = refused(dir, &["unwrap", "data.pkg", "--key-file", "data.key", "-o", "-"], 9);
    assert_eq!(problem["hint"], "run `chmod 600 data.key`");
}

#[test]
fn what_is_no_package_or_key_is_wrong_usage() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    wrapped(dir, b"x");
    refused(dir, &["inspect", "data.csv"], 2);
    let key = dir.join("bad.key");
    fs::write(&key, b"datapact-data-key-1:secret").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let problem = refused(dir, &["unwrap", "data.pkg", "--key-file", "bad.key", "-o", "-"], 2);
    assert!(!problem.to_string().contains("secret"));
}

#[test]
fn usage_errors_say_what_is_wrong() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let problem = refused(dir, &["wrap"], 2);
    assert_eq!(problem["type"], "urn:datapact:problem:usage");
    assert!(problem["detail"].as_str().unwrap().contains("--key-out"), "{problem}");
    refused(dir, &["no-such-command"], 2);
    refused(dir, &["inspect", "p", "--no-such-option"], 2);
    let output = run(dir, &["wrap"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("error: "));
    // The environment asks for JSON as well, and can say no.
    let output = command(dir, &["wrap"]).env("DATAPACT_JSON", "1").output().unwrap();
    assert_eq!(json(&output.stderr)["exit"], 2);
    let output = command(dir, &["wrap"]).env("DATAPACT_JSON", "0").output().unwrap();
    assert!(text(&output.stderr).starts_with("error: "));
}

#[test]
fn failures_are_worded_alike() {
    let dir = TempDir::new().unwrap();
    let output = run(dir.path(), &["inspect", "missing.pkg"], b"");
    assert_eq!(output.status.code(), Some(9));
    let expected =
        "error: cannot read `missing.pkg`: no such file or directory\nhint: check the path\n";
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn help_teaches_by_examples() {
    let dir = TempDir::new().unwrap();
    for command in ["wrap", "unwrap", "inspect", "completion"] {
        let help = ok(dir.path(), &[command, "--help"], b"");
        assert!(text(&help).contains("Example"), "{command}");
    }
    assert!(text(&ok(dir.path(), &["--help"], b"")).contains("Exit codes"));
    assert!(text(&ok(dir.path(), &["--version"], b"")).starts_with("datapact "));
}

#[test]
fn completion_scripts_parse() {
    let dir = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = ok(dir.path(), &["completion", shell], b"");
        assert!(text(&script).contains("datapact"), "{shell}");
        fs::write(dir.path().join(shell), script).unwrap();
        let checked = Command::new(shell).args(["-n"]).arg(dir.path().join(shell)).status();
        match checked {
            Ok(status) => assert!(status.success(), "{shell}"),
            // bash is everywhere; the other shells are checked where they are installed.
            Err(_) => assert_ne!(shell, "bash"),
        }
    }
}

#[test]
fn an_interrupted_wrap_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let mut child = command(dir, &["wrap", "-", "-o", "p", "--key-out", "k"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Not the child's any more, whose input ends as soon as it is waited for.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&data(1_000_000)).unwrap();
    while !dir.join("k").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // It waits for more input while it is interrupted.
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(stdin);
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
}
