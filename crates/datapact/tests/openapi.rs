//! schemathesis against real servers: it calls every operation of each OpenAPI document with
//! examples, with bounds, and with what it makes up. No answer is a server's error, and each is one
//! that the document describes.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::{Site, now};

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";
/// What is made up for each operation, beside examples and bounds.
const EXAMPLES: &str = "2";

fn testdata(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)
}

/// Who calls: a user, who signs; or a server.
enum Caller<'a> {
    User(&'a str),
    Server(&'a str),
    Anonymous,
}

/// Runs it over one server's document, and returns how many calls were made.
fn run(program: &Path, site: &Site, role: &str, caller: &Caller, known: &Value) -> u64 {
    let file = match role {
        "management" => "management",
        "key" => "key-server",
        _ => "storage-server",
    };
    let ready = site.ready(role);
    let url = ready["url"].as_str().unwrap();
    let mut command = Command::new(program);
    command.arg("run").arg(testdata("docs/spec/openapi").join(format!("{file}.json")));
    // Servers may call little, and users have tried the bounds.
    let phases = match caller {
        Caller::Server(_) => "examples,fuzzing",
        _ => "examples,coverage,fuzzing",
    };
    command.args([
        "--phases",
        phases,
        "--checks",
        CHECKS,
        "--max-examples",
        EXAMPLES,
        "--no-shrink",
    ]);
    command.args(["--no-color", "--warnings", "off", "--request-timeout", "40", "--tls-verify"]);
    command.arg(site.file("ca/server/ca.pem"));
    command.env("SCHEMATHESIS_HOOKS", testdata("testdata/openapi/signing_hooks.py"));
    command.env("DATAPACT_KNOWN", known.to_string()).current_dir(site.path()).stdin(Stdio::null());
    let folder = match caller {
        Caller::User(name) => Some(site.file(&format!("home/profiles/{name}"))),
        Caller::Server(name) => Some(site.file(&format!("servers/{name}"))),
        Caller::Anonymous => None,
    };
    match folder {
        Some(folder) => {
            // Event streams never end.
            command.args([
                "--include-path-regex",
                "^/v1/",
                "--exclude-path-regex",
                "publications$",
            ]);
            command.args(["--url", url, "--request-cert"]).arg(folder.join("certificate.pem"));
            let key = match caller {
                Caller::User(_) => folder.join("key.pem"),
                _ => folder.join("private_key.pem"),
            };
            command.arg("--request-cert-key").arg(key);
            if let Caller::User(_) = caller {
                command.env("DATAPACT_CALLER", folder);
            }
        }
        None => {
            let (host, _) = url.rsplit_once(':').unwrap();
            let port = ready["public_listen"].as_str().unwrap().rsplit_once(':').unwrap().1;
            command.args(["--exclude-path-regex", "^/v1/", "--url", &format!("{host}:{port}")]);
        }
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{role}:\n{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let calls = said.lines().find_map(|line| line.trim().split_once(" generated, "));
    calls.unwrap_or_else(|| panic!("{said}")).0.replace(',', "").parse().unwrap()
}

#[test]
fn mg_17_servers_answer_whatever_they_are_asked_as_their_documents_say() {
    let source = "pip install -r testdata/requirements.txt";
    let Some(program) = datapact_test_tools::program("schemathesis", source) else { return };
    let site = Site::start();
    let own = |profile: &str, arguments: &[&str]| site.ok(profile, arguments);
    let share = own("clinic", &["share", "list"])[0]["share"].clone();
    let request = own("lab", &["record", "list"])[0]["request"].clone();
    let account = own("admin", &["account", "list"])[0]["id"].clone();
    assert!(
        share.is_string() && account.is_string() && request.is_string(),
        "{share} {account} {request}"
    );
    // A document id is the digest of what is signed.
    let request = document_id(request.as_str().unwrap());
    let subscription =
        own("lab", &["subscription", "create", "--category", "vitals"])[0]["id"].clone();
    let management = |id: &Value| {
        json!({
            "share": [share],
            "id": [id, share],
            "request": [request],
            "position": ["0", "1"],
        })
    };
    let keys = json!({ "share": [share], "id": [own("clinic", &["key", "list"])[0]["key"]["id"]] });
    let packages = json!({ "id": [own("clinic", &["package", "list"])[0]["package"]["id"]] });

    let begun = now();
    let run = |role, caller, known: &Value| run(&program, &site, role, &caller, known);
    // One server beside the other; of a server's callers those who can do most come last.
    let calls: u64 = std::thread::scope(|scope| {
        let of_management = scope.spawn(|| {
            run("management", Caller::Anonymous, &json!({}))
                + run("management", Caller::User("lab"), &management(&subscription))
                + run("management", Caller::Server("key"), &management(&subscription))
                + run("management", Caller::User("admin"), &management(&json!("0".repeat(32))))
        });
        let of_others = scope.spawn(|| {
            [("key", &keys), ("storage", &packages)].map(|(role, known)| {
                run(role, Caller::Anonymous, &json!({}))
                    + run(role, Caller::User("clinic"), known)
                    + run(role, Caller::Server("management"), known)
            })
        });
        of_management.join().unwrap() + of_others.join().unwrap().iter().sum::<u64>()
    });
    eprintln!("{calls} calls in {} s", now() - begun);
    assert!(calls > 1000, "{calls}");
    assert!(support::ROLES.iter().all(|role| site.runs(role)));
}

fn document_id(jws: &str) -> String {
    use base64::Engine as _;
    let payload =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(jws.split('.').nth(1).unwrap());
    datapact_core::id::Digest::of(&payload.unwrap()).to_string()
}
