//! One access is one trace over three real server processes, sent to a collector that reads OTLP.
#![cfg(feature = "otel")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use datapact_api::trace::Traceparent;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use support::{PATIENCE, ROLES, Site};

/// A collector: OTLP over HTTP, in Protocol Buffers. What arrived, with the name of the service.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

impl Collector {
    fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (collector, address) = (Self::default(), listener.local_addr().unwrap());
        let receives = collector.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let receives = receives.clone();
                std::thread::spawn(move || receives.serve(&stream.unwrap()));
            }
        });
        (collector, address)
    }

    /// Answers one connection's requests until it is closed.
    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        loop {
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                if reader.read_line(&mut request).unwrap_or(0) == 0 {
                    return;
                }
            }
            let request = request.to_lowercase();
            assert!(request.starts_with("post /v1/traces http/1.1"), "{request}");
            assert!(request.contains("content-type: application/x-protobuf"), "{request}");
            let length =
                request.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let export = ExportTraceServiceRequest::decode(&body[..]).unwrap();
            for resource in export.resource_spans {
                let service = text(&resource.resource.unwrap().attributes, "service.name").unwrap();
                let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                self.0.lock().unwrap().extend(spans.map(|span| (service.clone(), span)));
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n\
                  content-length: 0\r\n\r\n";
            (&mut &*stream).write_all(answer).unwrap();
        }
    }

    /// The spans of a trace, once all of `services` have sent some.
    fn trace(&self, trace: &Traceparent, services: &[&str]) -> Vec<(String, Span)> {
        let until = Instant::now() + PATIENCE;
        loop {
            let spans = self.0.lock().unwrap().clone();
            let spans: Vec<_> =
                spans.into_iter().filter(|(_, span)| span.trace_id == trace.trace).collect();
            let found: BTreeSet<_> = spans.iter().map(|(service, _)| service.as_str()).collect();
            if services.iter().all(|service| found.contains(service)) {
                return spans;
            }
            assert!(Instant::now() < until, "only {found:?} have sent spans of the trace");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

#[test]
fn an_access_is_one_trace_over_all_three_servers_and_names_nobody() {
    let site = Site::start();
    let (collector, address) = Collector::start();
    for role in ROLES {
        let path = site.config(role);
        let config = std::fs::read_to_string(&path).unwrap();
        let traces =
            format!("{config}\n[server.operator.traces]\nendpoint = \"http://{address}\"\n");
        std::fs::write(&path, traces).unwrap();
        site.restart(role);
    }
    let run = |profile: &str, trace: &Traceparent, arguments: &[&str]| {
        let mut command = site.command(Some(profile), arguments);
        let output = command.env("TRACEPARENT", trace.to_string()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };

    std::fs::write(site.file("notes.txt"), "blood pressure 120/80\n").unwrap();
    let shared = Traceparent::random();
    let terms = ["--allow-anyone", "--times", "3", "--expires", "30d", "--json"];
    let share = run("clinic", &shared, &[&["share", "create", "notes.txt"], &terms[..]].concat());
    let share: serde_json::Value = serde_json::from_str(&share).unwrap();
    let share = share["share"].as_str().unwrap();
    let opened = Traceparent::random();
    assert_eq!(run("lab", &opened, &["open", share]), "blood pressure 120/80\n");

    let all = ["datapact-management", "datapact-key", "datapact-storage"];
    let spans = collector.trace(&opened, &all);
    let said = |service: &str, name: &str| {
        let found = spans.iter().filter(|(of, span)| of == service && span.name == name);
        found.map(|(_, span)| span.parent_span_id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(said(all[0], "POST /v1/accesses"), [opened.span]);
    assert_eq!(said(all[1], "POST /v1/keys/{id}/release"), [opened.span]);
    assert_eq!(said(all[2], "GET /v1/packages/{id}"), [opened.span]);

    // What management asks of the others for a call is a step of that call.
    let spans = collector.trace(&shared, &all);
    let published = spans.iter().find(|(_, span)| span.name == "POST /v1/shares").unwrap();
    assert_eq!((&*published.0, &*published.1.parent_span_id), (all[0], &shared.span[..]));
    for service in &all[1..] {
        let asked = |(of, span): &&(String, Span)| {
            of == service && span.parent_span_id == published.1.span_id
        };
        assert!(
            spans.iter().any(|span| asked(&span)),
            "{service} was asked for no step of publishing"
        );
    }

    // Everything that any server has sent, also of calls without a trace of their own.
    let known = ["http.request.method", "http.route", "http.response.status_code", "error.type"];
    for (_, span) in collector.0.lock().unwrap().iter() {
        for attribute in &span.attributes {
            assert!(known.contains(&attribute.key.as_str()), "{}", attribute.key);
        }
        assert!(span.events.is_empty() && span.links.is_empty());
        let written = format!("{span:?}");
        for name in [share, "lab", "clinic", "CN="] {
            assert!(!written.contains(name), "{name} is in {written}");
        }
    }
}
