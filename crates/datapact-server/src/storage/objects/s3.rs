//! A bucket of S3-compatible storage.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use http::header::{CONTENT_RANGE, RANGE};
use object_store::aws::AmazonS3Builder;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Certificate, ClientOptions, ObjectStore, RetryConfig};

use crate::stores::{ObjectsConfig, SECRET_KEY_VARIABLE};

/// How long the storage may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may be silent in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a request is repeated that failed for a moment; then the caller gets the failure.
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);
const RETRIES_MAX: usize = 3;

/// The bucket that `config` names. Nothing is asked of it yet.
pub(super) fn bucket(config: &ObjectsConfig) -> Result<Arc<dyn ObjectStore>, String> {
    let secret = config.secret_key().map_err(|e| e.to_string())?;
    let secret = secret.ok_or_else(|| {
        format!(
            "there is no secret access key: name a `secret_key_file`, or set {SECRET_KEY_VARIABLE}"
        )
    })?;
    let mut options = ClientOptions::new()
        .with_timeout_disabled() // a large package takes as long as it takes
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(READ_TIMEOUT)
        .with_allow_http(config.is_local());
    if let Some(ca) = &config.ca {
        let pem = std::fs::read(ca).map_err(|e| format!("`{}`: {e}", ca.display()))?;
        let roots =
            Certificate::from_pem_bundle(&pem).map_err(|e| format!("`{}`: {e}", ca.display()))?;
        options = roots.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    let retry = RetryConfig {
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&config.bucket)
        .with_region(&config.region)
        .with_access_key_id(&config.access_key_id)
        .with_secret_access_key(secret.as_str())
        .with_client_options(options)
        .with_http_connector(Connector)
        .with_retry(retry);
    if let Some(endpoint) = &config.endpoint {
        builder = builder
            .with_endpoint(endpoint.trim_end_matches('/'))
            .with_allow_http(config.is_local());
    }
    let bucket = builder.build().map_err(|e| e.to_string())?;
    Ok(match &config.prefix {
        Some(prefix) => Arc::new(PrefixStore::new(bucket, Path::from(prefix.as_str()))),
        None => Arc::new(bucket),
    })
}

/// The usual client, but for one thing: some storages send a part of an object with its
/// `Content-Range` and say 200 where RFC 9110 has 206, and are otherwise right.
#[derive(Debug)]
struct Connector;

#[derive(Debug)]
struct Client(HttpClient);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Client(ReqwestConnector::default().connect(options)?)))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let ranged = request.headers().contains_key(RANGE);
        let mut response = self.0.execute(request).await?;
        if ranged
            && response.status() == StatusCode::OK
            && response.headers().contains_key(CONTENT_RANGE)
        {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }
}
