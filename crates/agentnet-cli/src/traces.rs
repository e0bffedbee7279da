//! Export of OpenTelemetry traces, configured by the standard variables: off unless `OTEL_EXPORTER_OTLP_ENDPOINT` (or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) is set.
//!
//! Spans are exported by OTLP over HTTP in protobuf, in batches, on a separate thread. The exporter and the SDK read the other
//! variables: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS`,
//! `OTEL_BSP_*`; `OTEL_SDK_DISABLED=true` and `OTEL_TRACES_EXPORTER=none` turn the export off. An invalid setting is a
//! warning and does not stop the command.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::global;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchConfig, BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider};
use ureq::tls::{RootCerts, TlsConfig};

/// Timeout of the export of one batch.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of the export of the last spans when the program ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);
/// The service name, unless `OTEL_SERVICE_NAME` is set.
const SERVICE_NAME: &str = "agentnet";

/// The export of spans. Dropping it exports the remaining ones.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    /// Warnings about invalid settings, which the caller logs: the log starts later.
    pub(crate) warnings: Vec<String>,
}

impl Traces {
    /// Starts the export, if the environment configures it.
    ///
    /// # Errors
    /// The protocol or exporter is not supported, or the endpoint is invalid.
    pub(crate) fn start() -> Result<Option<Self>, String> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, variable(name)?)));
        let endpoint = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let Some((name, url)) = first(endpoint) else {
            return Ok(None);
        };
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        if let Some(exporters) = variable("OTEL_TRACES_EXPORTER") {
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
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|error| unusable(&error.to_string()))?;
        let mut resource = Resource::builder();
        if variable("OTEL_SERVICE_NAME").is_none()
            && !variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|it| it.contains("service.name="))
        {
            resource = resource.with_service_name(SERVICE_NAME);
        }
        let (batches, warnings) = batches(&variable);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .with_resource(resource.build())
            .build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Some(Self { provider, warnings }))
    }

    /// Creates spans.
    pub(crate) fn tracer(&self) -> SdkTracer {
        self.provider.tracer(SERVICE_NAME)
    }
}

/// The batch settings: `OTEL_BSP_*`, within bounds. The SDK itself would allocate a queue of any size.
fn batches(variable: &impl Fn(&str) -> Option<String>) -> (BatchConfig, Vec<String>) {
    let mut warnings = Vec::new();
    let mut number = |name: &str, default: u64, [least, most]: [u64; 2]| {
        let Some(text) = variable(name) else { return default };
        match text.trim().parse::<u64>() {
            Ok(number) if (least..=most).contains(&number) => number,
            Ok(number) => {
                let number = number.clamp(least, most);
                warnings.push(format!("{name}={text} is out of bounds; {number} is used"));
                number
            }
            Err(_) => {
                warnings.push(format!("{name}={text} is not a whole number; {default} is used"));
                default
            }
        }
    };
    let queue = number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048, [1, 65_536]);
    let batch = number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, [1, 65_536]).min(queue);
    let delay = number("OTEL_BSP_SCHEDULE_DELAY", 5_000, [1, 3_600_000]);
    let count = |number| usize::try_from(number).unwrap_or(usize::MAX);
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(count(queue))
        .with_max_export_batch_size(count(batch))
        .with_scheduled_delay(Duration::from_millis(delay))
        .build();
    (config, warnings)
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT) {
            tracing::warn!(%error, "the last spans could not be exported");
        }
    }
}

/// The HTTP client of the exporter. It may block: the exporter has its own thread.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Client {
    fn new() -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(EXPORT_TIMEOUT))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_stay_within_bounds() {
        for (name, value, part) in [
            ("", "", "max_queue_size: 2048"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "99999999999999", "max_queue_size: 65536"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "max_queue_size: 1,"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "max_queue_size: 2048"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100", "max_export_batch_size: 100,"),
            (
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                "18446744073709551615",
                "max_export_batch_size: 2048",
            ),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0", "max_export_batch_size: 1,"),
            (
                "OTEL_BSP_SCHEDULE_DELAY",
                "18446744073709551615",
                "scheduled_delay: 3600s",
            ),
            ("OTEL_BSP_SCHEDULE_DELAY", "0", "scheduled_delay: 1ms"),
        ] {
            let (config, warnings) = batches(&|asked| (asked == name).then(|| value.to_owned()));
            let config = format!("{config:?}");
            assert!(config.contains(part), "{name}={value}: {config}");
            assert_eq!(warnings.is_empty(), ["", "100"].contains(&value), "{warnings:?}");
        }
    }
}
