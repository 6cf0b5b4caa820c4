//! Figures of a server in the OpenMetrics format, which Prometheus reads. `docs/operations.md`
//! explains each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use datapact_api::key_server::release;
use datapact_api::management::access;
use datapact_api::operation::Operation;
use datapact_api::problem::Code;
use hyper::Method;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, MetricEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// The upper bounds of the durations' buckets, in seconds.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// A figure that is read when it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    name: &'static str,
    help: &'static str,
    labels: Vec<(&'static str, String)>,
    value: f64,
    counter: bool,
}

impl Reading {
    /// What goes up and down.
    pub(crate) fn gauge(name: &'static str, help: &'static str, value: impl Into<f64>) -> Self {
        Self { name, help, labels: Vec::new(), value: value.into(), counter: false }
    }

    /// What only grows; `_total` is added to its name.
    pub(crate) fn counter(name: &'static str, help: &'static str, value: impl Into<f64>) -> Self {
        Self { counter: true, ..Self::gauge(name, help, value) }
    }

    /// A gauge of a number of things.
    pub(crate) fn count(name: &'static str, help: &'static str, count: u64) -> Self {
        // Exact up to 2^53, as Prometheus has it.
        Self::gauge(name, help, count as f64)
    }

    /// The same, of one of several.
    pub(crate) fn of(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((label, value.into()));
        self
    }
}

impl Reading {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self.counter {
            true => ConstCounter::new(self.value).encode(encoder),
            false => ConstGauge::new(self.value).encode(encoder),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    listener: &'static str,
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    listener: &'static str,
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// What was read last.
#[derive(Debug, Default)]
struct Readings(Mutex<Vec<Reading>>);

/// The figures of one server.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    accesses: Family<Outcome, Counter>,
    releases: Family<Outcome, Counter>,
    readings: Arc<Readings>,
}

impl Metrics {
    pub(crate) fn new(role: &'static str) -> Self {
        let mut registry = Registry::default();
        let requests = Family::<Answered, Counter>::default();
        let durations: Family<Route, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let in_flight = Gauge::default();
        let accesses = Family::<Outcome, Counter>::default();
        let releases = Family::<Outcome, Counter>::default();
        let readings = Arc::new(Readings::default());
        registry.register(
            "datapact_build",
            "The program that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION")), ("role", role)]),
        );
        registry.register("datapact_http_requests", "Requests answered", requests.clone());
        registry.register(
            "datapact_http_request_duration_seconds",
            "How long it took until the answer began",
            durations.clone(),
        );
        registry.register(
            "datapact_http_requests_in_flight",
            "Requests being worked on",
            in_flight.clone(),
        );
        if role == "management" {
            registry.register(
                "datapact_accesses",
                "Requests for access by outcome: granted, or the code of the refusal",
                accesses.clone(),
            );
        }
        if role == "key" {
            registry.register(
                "datapact_token_redemptions",
                "Access tokens brought for a key by outcome: released, or the code of the refusal",
                releases.clone(),
            );
        }
        registry.register_collector(Box::new(Arc::clone(&readings)));
        Self { registry, requests, durations, in_flight, accesses, releases, readings }
    }

    /// All figures as text.
    pub(crate) fn render(&self, readings: Vec<Reading>) -> Result<String, std::fmt::Error> {
        *self.readings.0.lock().unwrap_or_else(PoisonError::into_inner) = readings;
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn answered(&self, route: Route, response: &Response, seconds: f64) {
        let is = |operations: &[Operation], name| {
            let mut named = operations.iter().filter(|operation| operation.name == name);
            named.any(|operation| operation.serves(route.method, &route.route))
        };
        // Where consumers ask for access (AX-3), and where for a key (AX-12).
        let decided = if is(access::OPERATIONS, "request_access") {
            Some((&self.accesses, "granted"))
        } else if is(release::OPERATIONS, "release") {
            Some((&self.releases, "released"))
        } else {
            None
        };
        if let Some((outcomes, good)) = decided {
            let refused = || response.extensions().get::<Code>().map_or("failed", |code| code.0);
            let outcome = if response.status().is_success() { good } else { refused() };
            outcomes.get_or_create(&Outcome { outcome }).inc();
        }
        self.durations.get_or_create(&route).observe(seconds);
        let Route { listener, method, route } = route;
        let answered = Answered { listener, method, route, status: response.status().as_u16() };
        self.requests.get_or_create(&answered).inc();
    }
}

/// The figures, and which of the server's listeners asks.
pub(crate) type Counted = (Arc<Metrics>, &'static str);

/// The middleware that counts what a listener answers.
pub(crate) async fn count(
    State((metrics, listener)): State<Counted>,
    request: Request,
    next: Next,
) -> Response {
    // Only what the program has named itself: an address may hold an identifier, or be made up by
    // the caller.
    let route =
        request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let route = Route { listener, method: method(request.method()), route };
    let begun = Instant::now();
    let in_flight = InFlight::begin(&metrics);
    let response = next.run(request).await;
    drop(in_flight);
    metrics.answered(route, &response, begun.elapsed().as_secs_f64());
    response
}

/// A method as a label; what callers make up is one.
pub(super) fn method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    known.into_iter().find(|name| *name == method.as_str()).unwrap_or("OTHER")
}

/// Counted until it is dropped: a caller who goes away ends its request.
struct InFlight(Gauge);

impl InFlight {
    fn begin(metrics: &Metrics) -> Self {
        metrics.in_flight.inc();
        Self(metrics.in_flight.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // The readings of one name come together, under one description.
        readings.sort_by_key(|reading| reading.name);
        for group in readings.chunk_by(|a, b| a.name == b.name) {
            let Some(first) = group.first() else { continue };
            let kind = if first.counter { MetricType::Counter } else { MetricType::Gauge };
            let mut metric = encoder.encode_descriptor(first.name, first.help, None, kind)?;
            // One of its kind has no labels, not even empty ones.
            if first.labels.is_empty() {
                first.encode(metric)?;
                continue;
            }
            for reading in group {
                reading.encode(metric.encode_family(&reading.labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn readings_are_grouped_and_described_once() {
        let metrics = Metrics::new("key");
        let readings = vec![
            Reading::count("a", "Things", 3).of("kind", "x"),
            Reading::counter("b_seconds", "Time", 1.5),
            Reading::count("a", "Things", 4).of("kind", "y"),
        ];
        let text = metrics.render(readings).unwrap();
        assert_eq!(text.matches("# HELP a ").count(), 1, "{text}");
        assert!(text.contains("a{kind=\"x\"} 3") && text.contains("a{kind=\"y\"} 4"), "{text}");
        assert!(text.contains("b_seconds_total 1.5"), "{text}");
        assert!(text.contains("datapact_build_info{version="), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        assert!(!metrics.render(Vec::new()).unwrap().contains("b_seconds"));
    }
}
