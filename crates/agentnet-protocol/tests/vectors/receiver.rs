//! The receiver's rules: schema, rate, idempotency; and latency figures.

use std::collections::HashMap;

use agentnet_protocol::Envelope;
use agentnet_protocol::percentile::Percentiles;
use agentnet_protocol::sender_key::{SenderFields, idempotency_scope};
use agentnet_protocol::token_bucket::{RateLimit, TokenBucket};
use agentnet_protocol::version::{self, SUPPORTED_MAJOR};
use serde_json::Value;

use crate::loader::{Case, check_each};

#[test]
fn schema_version() {
    check_each("schema_version", |case| {
        let wire = format!(r#"{{"schema_version":{}}}"#, case.text("wire_value_json"));
        let envelope = Envelope::decode(wire).expect("the case is an envelope");
        assert_eq!(&*envelope.schema_version, case.text("decoded"));
        match version::check(&envelope.schema_version, SUPPORTED_MAJOR) {
            Ok(normalised) => assert_eq!(
                ("ok", Some(normalised)),
                (case.text("result"), case.opt_text("normalized"))
            ),
            Err(error) => assert_eq!((error.code(), None), (case.text("result"), case.opt_text("normalized"))),
        }
    });
}

#[test]
fn rate_limiter() {
    check_each("rate_limiter", |case| {
        let burst = case
            .get("burst_config")
            .as_i64()
            .and_then(|burst| u32::try_from(burst.max(0)).ok());
        let limit = RateLimit::new(case.float("rate_config"), burst.expect("burst_config is an integer"));
        assert_eq!(limit.per_second(), case.float("effective_rate"));
        assert_eq!(limit.burst(), case.float("effective_burst"));
        let mut buckets: HashMap<&str, TokenBucket> = HashMap::new();
        for (step, value) in case.get("trace").as_array().expect("a trace").iter().enumerate() {
            let step_case = Case { value };
            let now = step_case.float("t");
            let bucket = buckets
                .entry(step_case.text("sender"))
                .or_insert_with(|| TokenBucket::full(&limit, now));
            assert_eq!(
                Value::from(bucket.take(&limit, now)),
                *step_case.get("allow"),
                "step {step}"
            );
            // The recording may be rounded; the decisions above show that no bit was lost.
            let difference = (bucket.tokens() - step_case.float("tokens_after")).abs();
            assert!(difference < 1e-9, "step {step}: {} tokens left", bucket.tokens());
        }
    });
}

#[test]
fn sender_key() {
    check_each("sender_key", |case| {
        let envelope = wire(case);
        assert_eq!(SenderFields::from(&envelope).bucket_key(), case.text("sender_key"));
    });
}

#[test]
fn idempotency() {
    check_each("idempotency_scope", |case| {
        let envelope = wire(case);
        let scope = idempotency_scope(
            envelope.idempotency_key.as_deref(),
            &SenderFields::from(&envelope),
            case.opt_text("receiver_account_id"),
            case.text("receiver_agent_id"),
        );
        assert_eq!(scope.as_deref(), case.opt_text("scope"));
    });
}

fn wire(case: Case<'_>) -> Envelope {
    Envelope::decode(case.get("wire").to_string()).expect("the case is an envelope")
}

#[test]
fn latency_percentiles() {
    check_each("latency_percentiles", |case| {
        let samples = case.get("samples").as_array().expect("samples").iter();
        let samples: Vec<f64> = samples.map(|sample| sample.as_f64().expect("a number")).collect();
        let stats = Case {
            value: case.get("stats"),
        };
        let got = Percentiles::of(&samples);
        assert_eq!(got.count as i64, stats.int("count"));
        let expected = (stats.float("p50"), stats.float("p95"), stats.float("p99"));
        assert_eq!((got.p50, got.p95, got.p99), expected);
    });
}
