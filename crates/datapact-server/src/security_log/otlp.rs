//! Lines to a collector, as OpenTelemetry log records by OTLP over HTTP.

use std::time::{Duration, UNIX_EPOCH};

use datapact_core::id::Timestamp;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry_otlp::{LogExporter, Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};

use super::Kind;
use super::writer::Export;
use crate::operator::traces::TracesConfig;
use crate::operator::traces::otlp::{Client, TIMEOUT, resource};

/// Sends lines in batches, later: a collector that is slow or away costs lines there and delays
/// nothing.
pub(super) struct Exporter {
    provider: SdkLoggerProvider,
    logger: SdkLogger,
}

impl Exporter {
    pub(super) fn start(config: &TracesConfig, role: &str, server: &str) -> Result<Self, String> {
        let exporter = LogExporter::builder()
            .with_http()
            .with_http_client(Client::new(config)?)
            .with_endpoint(format!("{}/v1/logs", config.endpoint.trim_end_matches('/')))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|e| e.to_string())?;
        let provider = SdkLoggerProvider::builder()
            .with_resource(resource(role, server))
            .with_batch_exporter(exporter)
            .build();
        let logger = provider.logger("datapact.security");
        Ok(Self { provider, logger })
    }
}

impl Export for Exporter {
    fn send(&mut self, time: Timestamp, kind: Kind, line: &str) {
        let mut record = self.logger.create_log_record();
        if let Some(at) = UNIX_EPOCH.checked_add(Duration::from_secs(time)) {
            record.set_timestamp(at);
        }
        let severity = if kind.is_warning() { Severity::Warn } else { Severity::Info };
        record.set_severity_number(severity);
        record.set_severity_text(severity.name());
        record.set_body(AnyValue::String(line.to_owned().into()));
        self.logger.emit(record);
    }

    fn end(&mut self) {
        if self.provider.shutdown_with_timeout(TIMEOUT).is_err() {
            tracing::warn!("the last lines of the security log were not sent to the collector");
        }
    }
}
