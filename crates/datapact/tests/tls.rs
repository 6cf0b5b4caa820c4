//! Two scanners of other people look for weaknesses in the servers' TLS: sslyze and testssl.sh.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{ROLES, Site};

/// The listeners of a server: the one for clients with certificates, and the public one.
const LISTENERS: [&str; 2] = ["listen", "public_listen"];

/// What sslyze looks for.
const SCANS: [&str; 13] = [
    "--certinfo",
    "--sslv2",
    "--sslv3",
    "--tlsv1",
    "--tlsv1_1",
    "--tlsv1_2",
    "--tlsv1_3",
    "--compression",
    "--early_data",
    "--heartbleed",
    "--openssl_ccs",
    "--reneg",
    "--elliptic_curves",
];

/// The name and the port of a listener.
fn address(site: &Site, role: &str, listener: &str) -> (String, String) {
    let ready = site.ready(role);
    let url = ready["url"].as_str().unwrap();
    let name = url.strip_prefix("https://").unwrap().rsplit_once(':').unwrap().0;
    let port = ready[listener].as_str().unwrap().rsplit_once(':').unwrap().1;
    (name.to_owned(), port.to_owned())
}

#[test]
fn pr_5_sslyze_finds_tls_1_3_alone_and_no_weakness() {
    let source = "pip install -r testdata/tls/requirements.txt";
    let Some(program) = datapact_test_tools::program("sslyze", source) else { return };
    let site = Site::start();
    for role in ROLES {
        for listener in LISTENERS {
            let (name, port) = address(&site, role, listener);
            let report = site.file(&format!("{role}-{listener}.json"));
            let mut command = Command::new(&program);
            command.args(SCANS).args(["--quiet", "--sni", &name, "--json_out"]).arg(&report);
            command.arg("--certinfo_ca_file").arg(site.file("ca/server/ca.pem"));
            if listener == "listen" {
                let folder = site.file("home/profiles/lab");
                command.arg("--cert").arg(folder.join("certificate.pem"));
                command.arg("--key").arg(folder.join("key.pem"));
            }
            command.arg(format!("127.0.0.1:{port}")).stdin(Stdio::null());
            let output = command.output().unwrap();
            let report: Value =
                serde_json::from_slice(&std::fs::read(&report).unwrap_or_else(|e| {
                    panic!("{e}: {}", String::from_utf8_lossy(&output.stderr))
                }))
                .unwrap();
            check_sslyze(&format!("{role}'s {listener}"), &report["server_scan_results"][0]);
        }
    }
}

fn check_sslyze(of: &str, scanned: &Value) {
    assert_eq!(scanned["scan_status"], "COMPLETED", "{of}: {scanned}");
    let result = |name: &str| {
        let attempt = &scanned["scan_result"][name];
        assert_eq!(attempt["status"], "COMPLETED", "{of}: {name}: {attempt}");
        &attempt["result"]
    };
    for old in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2"] {
        let accepted = &result(&format!("{old}_cipher_suites"))["accepted_cipher_suites"];
        assert_eq!(accepted, &serde_json::json!([]), "{of}: {old}");
    }
    let suites = result("tls_1_3_cipher_suites")["accepted_cipher_suites"].as_array().unwrap();
    assert!(!suites.is_empty(), "{of}");
    for (name, member) in [
        ("heartbleed", "is_vulnerable_to_heartbleed"),
        ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection"),
        ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos"),
        ("tls_compression", "supports_compression"),
        ("tls_1_3_early_data", "supports_early_data"),
    ] {
        assert_eq!(result(name)[member], false, "{of}: {name}");
    }
    let deployment = &result("certificate_info")["certificate_deployments"][0];
    let validated = deployment["path_validation_results"].as_array().unwrap();
    assert!(
        validated.iter().any(|path| path["was_validation_successful"] == true),
        "{of}: the certificate is not certified by the servers' CA: {validated:?}"
    );
}

#[test]
fn pr_5_testssl_finds_nothing_of_medium_severity_or_worse() {
    let source = "install Debian's `testssl.sh`";
    let Some(program) = datapact_test_tools::program("testssl", source) else { return };
    let site = Site::start();
    // It takes a minute, and all servers listen by the same code, which sslyze asks everywhere.
    run_testssl(&site, &program, "management");
}

/// The public listener alone: this version shows no client certificate.
fn run_testssl(site: &Site, program: &Path, role: &str) {
    let (name, port) = address(site, role, "public_listen");
    let report = site.file(&format!("{role}-testssl.json"));
    let mut command = Command::new(program);
    command.args(["--quiet", "--color", "0", "--warnings", "off", "--nodns", "none"]);
    command.args(["--ip", "127.0.0.1", "--connect-timeout", "10", "--openssl-timeout", "10"]);
    command.arg("--add-ca").arg(site.file("ca/server/ca.pem"));
    command.arg("--jsonfile").arg(&report).arg(format!("https://{name}:{port}/healthz"));
    let output = command.current_dir(site.path()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let text = std::fs::read_to_string(&report).unwrap_or_else(|e| panic!("{e}: {said}"));
    let findings: Vec<Value> =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let id = |finding: &Value| finding["id"].as_str().unwrap().to_owned();
    assert!(findings.iter().any(|finding| id(finding) == "TLS1_3"), "{role}: {said}");
    let is_bad = |finding: &&Value| match finding["severity"].as_str() {
        Some("OK" | "INFO" | "LOW" | "DEBUG") => false,
        // What the scanner says of itself: it looks for ciphers of GOST, too, if it can.
        Some("WARN") => id(finding) != "engine_problem",
        _ => true,
    };
    let bad: Vec<_> = findings.iter().filter(is_bad).collect();
    assert!(bad.is_empty(), "{role}: {bad:#?}\n{said}");
}
