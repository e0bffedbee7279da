//! OpenTelemetry traces, exported where the standard's variables say: off unless `OTEL_EXPORTER_OTLP_ENDPOINT` (or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) is set.
//!
//! Spans go out by OTLP over HTTP in protobuf, in batches, from a thread of their own. The exporter and the SDK read the other
//! variables: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS`,
//! `OTEL_BSP_*`; `OTEL_SDK_DISABLED=true` and `OTEL_TRACES_EXPORTER=none` turn everything off. None of them stops a command: what
//! cannot be used is a warning.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use ureq::tls::{RootCerts, TlsConfig};

/// How long the export of one batch may take.
const EXPORT: Duration = Duration::from_secs(10);
/// How long the last spans may hold up the end of the program.
const LAST_SPANS: Duration = Duration::from_secs(3);
/// What the program is called in traces unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE: &str = "agentnet";

/// The export of spans. Dropping it sends what is left.
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts the export, if the environment asks for it.
    ///
    /// # Errors
    /// What it asks for and cannot be done: another protocol or exporter, an endpoint that is none.
    pub(crate) fn start() -> Result<Option<Self>, String> {
        let says = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, says(name)?)));
        let endpoint = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let Some((name, url)) = first(endpoint) else {
            return Ok(None);
        };
        if says("OTEL_SDK_DISABLED").is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        if let Some(exporters) = says("OTEL_TRACES_EXPORTER") {
            let mut exporters = exporters.split(',').map(str::trim);
            if exporters.clone().any(|exporter| exporter == "none") {
                return Ok(None);
            }
            if !exporters.any(|exporter| exporter == "otlp") {
                return Err("OTEL_TRACES_EXPORTER names no exporter that is known; known are otlp and none".to_owned());
            }
        }
        let protocol = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
        if let Some((name, value)) = first(protocol)
            && value.trim() != "http/protobuf"
        {
            return Err(format!(
                "{name}={value} cannot be used; they go out as http/protobuf, which collectors take on port 4318"
            ));
        }
        let unusable = |why: &str| format!("{name}={url} cannot be used: {why}");
        if !url.trim().starts_with("http://") && !url.trim().starts_with("https://") {
            return Err(unusable("expected http://HOST:PORT or https://HOST:PORT"));
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(Client::new())
            .with_timeout(EXPORT)
            .build()
            .map_err(|error| unusable(&error.to_string()))?;
        let mut resource = Resource::builder();
        if says("OTEL_SERVICE_NAME").is_none()
            && !says("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|it| it.contains("service.name="))
        {
            resource = resource.with_service_name(SERVICE);
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Some(Self(provider)))
    }

    /// What spans are made by.
    pub(crate) fn tracer(&self) -> SdkTracer {
        self.0.tracer(SERVICE)
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!(%error, "the last spans could not be exported");
        }
    }
}

/// The HTTP client of the exporter, which calls it from a thread where it may block.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Client {
    fn new() -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(EXPORT))
            .http_status_as_error(false)
            .tls_config(tls)
            .build();
        Self(config.into())
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = self.0.run(request.map(|body| body.to_vec()))?.into_parts();
        let mut body = body;
        Ok(Response::from_parts(parts, body.read_to_vec()?.into()))
    }
}
