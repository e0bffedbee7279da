//! A receiver of traces as OpenTelemetry's protocol has it: OTLP over HTTP, `POST /v1/traces` with protobuf.
#![allow(unreachable_pub, reason = "shared by the tests, not exported")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use agentnet_testkit::eventually;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as Outcome;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::harness::WAIT_TIMEOUT;

/// A span as it was received.
#[derive(Debug, Clone)]
pub struct Span {
    /// Which program it is from.
    pub service: String,
    pub name: String,
    pub kind: SpanKind,
    pub trace: String,
    pub id: String,
    /// Empty for a root.
    pub parent: String,
    pub outcome: Outcome,
    pub why: String,
    /// In nanoseconds since 1970.
    pub start: u64,
    pub attributes: BTreeMap<String, String>,
}

impl Span {
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// The receiver; it ends when it is dropped.
pub struct Collector {
    pub endpoint: String,
    spans: Arc<Mutex<Vec<Span>>>,
    serving: JoinHandle<()>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let spans = Arc::new(Mutex::new(Vec::new()));
        let routes = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&spans));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            endpoint,
            spans,
            serving,
        }
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    /// Waits until this many spans have come.
    pub async fn at_least(&self, number: usize) -> Vec<Span> {
        let look = async || {
            let spans = self.spans();
            if spans.len() >= number {
                Ok(spans)
            } else {
                Err(format!("{} of {number} spans: {spans:#?}", spans.len()))
            }
        };
        eventually(WAIT_TIMEOUT, look).await.unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(
    State(spans): State<Arc<Mutex<Vec<Span>>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Vec<u8>, (StatusCode, String)> {
    let refuse = |why: String| (StatusCode::BAD_REQUEST, why);
    if headers
        .get("content-type")
        .is_none_or(|of| of != "application/x-protobuf")
    {
        return Err(refuse(format!("{headers:?}")));
    }
    let request = ExportTraceServiceRequest::decode(body).map_err(|error| refuse(error.to_string()))?;
    let mut received = Vec::new();
    for resource in request.resource_spans {
        let about = texts(
            resource
                .resource
                .map(|resource| resource.attributes)
                .unwrap_or_default(),
        );
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let status = span.status.clone().unwrap_or_default();
            received.push(Span {
                service: about.get("service.name").cloned().unwrap_or_default(),
                kind: span.kind(),
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                outcome: status.code(),
                why: status.message,
                start: span.start_time_unix_nano,
                attributes: texts(span.attributes),
            });
        }
    }
    spans.lock().unwrap().extend(received);
    Ok(ExportTraceServiceResponse::default().encode_to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    pairs.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}
