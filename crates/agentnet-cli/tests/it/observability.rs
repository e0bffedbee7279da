//! What operators see: metrics and health over HTTP, and the log as JSON; of the real binary, read by real parsers.

mod log;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use agentnet_testkit::{NatsServer, Postgres, RawClient, eventually};
use async_nats::jetstream;
use prometheus_parse::{Sample, Scrape, Value};
use rustix::process::Signal;

use crate::harness::{Service, Up, WAIT_TIMEOUT, binary, echo, line, run};

/// Status, content type and body of a page.
async fn get(url: &str) -> (u16, String, String) {
    let url = url.to_owned();
    let ask = move || {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .into();
        let mut response = agent.get(&url).call().map_err(|error| error.to_string())?;
        let of = response
            .headers()
            .get("content-type")
            .map(|of| of.to_str().unwrap().to_owned());
        let body = response.body_mut().read_to_string().unwrap();
        Ok::<_, String>((response.status().as_u16(), of.unwrap_or_default(), body))
    };
    tokio::task::spawn_blocking(ask).await.unwrap().unwrap()
}

/// A page of metrics, read by a parser of Prometheus' format.
struct Metrics(Vec<Sample>);

impl Metrics {
    async fn scrape(url: &str) -> Self {
        let (status, of, body) = get(url).await;
        assert_eq!((status, of.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
        let scrape = Scrape::parse(body.lines().map(|line| Ok(line.to_owned()))).unwrap();
        let samples = body.lines().filter(|line| !line.starts_with('#')).count();
        assert!(samples > 10, "{body}");
        for sample in &scrape.samples {
            // The parser keeps a histogram's buckets together, its sum and count beside them.
            let part = sample.metric.ends_with("_sum") || sample.metric.ends_with("_count");
            assert_eq!(matches!(sample.value, Value::Untyped(_)), part, "no type: {sample:?}");
            assert!(
                scrape.docs.keys().any(|name| sample.metric.starts_with(name)),
                "no help: {sample:?}"
            );
        }
        Self(scrape.samples)
    }

    #[track_caller]
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> &Value {
        let found: Vec<_> = self
            .0
            .iter()
            .filter(|sample| sample.metric == name)
            .filter(|sample| {
                labels
                    .iter()
                    .all(|(label, value)| sample.labels.get(label) == Some(value))
            })
            .collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?} of {:#?}", self.0);
        &found[0].value
    }

    #[track_caller]
    fn counter(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        match self.value(name, labels) {
            Value::Counter(value) => *value as i64,
            other => panic!("{name} is no counter: {other:?}"),
        }
    }

    #[track_caller]
    fn gauge(&self, name: &str) -> i64 {
        match self.value(name, &[]) {
            Value::Gauge(value) => *value as i64,
            other => panic!("{name} is no gauge: {other:?}"),
        }
    }

    /// How many samples a histogram holds, once its buckets have been found in order.
    #[track_caller]
    fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        let Value::Histogram(buckets) = self.value(name, labels) else {
            panic!("{name} is no histogram");
        };
        assert!(
            buckets.is_sorted_by(|a, b| a.less_than < b.less_than && a.count <= b.count),
            "{buckets:?}"
        );
        let last = buckets.last().unwrap();
        assert!(last.less_than.is_infinite(), "{buckets:?}");
        last.count as i64
    }
}

/// The numbers of each handler are the same on the page and in the metrics call.
fn compare_handlers(page: &Metrics, told: &serde_json::Value) {
    let count = |value: &serde_json::Value| value.as_i64().unwrap_or_else(|| panic!("{value} of {told}"));
    let handlers: BTreeMap<String, serde_json::Value> = serde_json::from_value(told["handlers"].clone()).unwrap();
    let mut compared = 0;
    for (handler, stats) in handlers {
        // Between the two requests agents may say hello, and the second is a call itself.
        if handler == "metrics" || handler == "hello" {
            continue;
        }
        let labels = [("handler", handler.as_str())];
        assert_eq!(
            page.counter("agentnet_registry_calls_total", &labels),
            count(&stats["calls"]),
            "{handler}"
        );
        assert_eq!(
            page.counter("agentnet_registry_call_errors_total", &labels),
            count(&stats["errors"]),
            "{handler}"
        );
        let name = format!(
            "handler.{}",
            told["latency_ms"]
                .as_object()
                .unwrap()
                .keys()
                .filter_map(|it| it.strip_prefix("handler."))
                .find(|it| *it == handler)
                .unwrap_or_default()
        );
        if name != "handler." {
            let held = page.histogram("agentnet_registry_duration_seconds", &[("name", &name)]);
            assert_eq!(held, count(&stats["calls"]), "{handler}");
            compared += 1;
        }
    }
    assert!(compared >= 3, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_what_the_metrics_call_tells() {
    let up = Up::start_with("--metrics-addr 127.0.0.1:0").await;
    let url = up.ready["metrics_url"].as_str().unwrap();
    let fresh = Metrics::scrape(url).await;
    assert_eq!(fresh.counter("agentnet_registry_capture_stored_total", &[]), 0);
    assert_eq!(fresh.gauge("agentnet_registry_online_sessions"), 0);

    let _agent = echo(&up.url, "").await;
    for number in 0..3 {
        line(&up.url, &format!("request --to-username echo {number}"))
            .await
            .ok();
    }
    line(&up.url, "send --to-username echo {}").await.ok();
    line(&up.url, "profile --username nobody").await;
    let look = async || {
        let page = Metrics::scrape(url).await;
        let told = line(&up.url, "metrics --json").await.json();
        // Three requests with their replies, and a send.
        let stored = page.counter("agentnet_registry_capture_stored_total", &[]);
        // The lag is asked for once a second.
        match (stored, page.gauge("agentnet_registry_capture_lag")) {
            (7, 0) => Ok((page, told)),
            (stored, lag) => Err(format!("{stored} stored, lag {lag}; {told}")),
        }
    };
    let (page, told) = eventually(WAIT_TIMEOUT, look).await.unwrap();
    let count = |value: &serde_json::Value| value.as_i64().unwrap_or_else(|| panic!("{value} of {told}"));
    for (name, value) in [
        ("agentnet_registry_capture_stored_total", &told["capture"]["stored"]),
        (
            "agentnet_registry_capture_duplicates_total",
            &told["capture"]["duplicates"],
        ),
        ("agentnet_registry_capture_refused_total", &told["capture"]["refused"]),
        ("agentnet_registry_capture_ignored_total", &told["capture"]["ignored"]),
        (
            "agentnet_registry_capture_recovered_total",
            &told["capture"]["recovered"],
        ),
        (
            "agentnet_registry_write_queue_overflows_total",
            &told["db_write_queue"]["overflow_count"],
        ),
    ] {
        assert_eq!(page.counter(name, &[]), count(value), "{name}");
    }
    assert_eq!(
        page.gauge("agentnet_registry_write_queue_limit"),
        count(&told["db_write_queue"]["max"])
    );
    assert_eq!(page.gauge("agentnet_registry_store_up"), 1);
    assert_eq!(page.gauge("agentnet_registry_nats_connected"), 1);
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("server_id", "registry"),
        ("capture", "jetstream"),
    ];
    assert!(matches!(
        page.value("agentnet_registry_build_info", &labels),
        Value::Gauge(1.0)
    ));
    compare_handlers(&page, &told);
    assert!(page.histogram("agentnet_registry_duration_seconds", &[("name", "db.persist_batch")]) > 0);
    assert_eq!(
        get(&url.replace("/metrics", "/healthz")).await,
        (200, "text/plain; charset=utf-8".into(), "ok\n".into())
    );
    assert_eq!(get(&url.replace("/metrics", "/else")).await.0, 404);
}

/// Page, health and `registry --health` say the same while nothing can be stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_consumer_is_told_everywhere() {
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let mut command = binary();
    command.args([
        "--nats-url",
        &nats.url(),
        "registry",
        "--database-url",
        "sqlite::memory:",
    ]);
    command.args(["--metrics-addr", "127.0.0.1:0"]);
    let mut registry = Service::spawn(command);
    let ready = registry.next_line().await;
    let url = ready
        .split_whitespace()
        .find_map(|word| word.strip_prefix("metrics="))
        .unwrap();
    let client = RawClient::connect(&nats.url()).await.unwrap();
    let stream = jetstream::new(client).get_stream("AGENTNET_HISTORY").await.unwrap();
    let hour = Duration::from_secs(3600);
    for (until, paused) in [(SystemTime::now() + hour, true), (SystemTime::now() - hour, false)] {
        stream.pause_consumer("agentnet-registry", until.into()).await.unwrap();
        let look = async || {
            let gauge = Metrics::scrape(url).await.gauge("agentnet_registry_capture_paused");
            let (status, _, body) = get(&url.replace("/metrics", "/healthz")).await;
            let asked = line(&nats.url(), "registry --health").await;
            let expected = match paused {
                true => (1, 503, Some(1)),
                false => (0, 200, Some(0)),
            };
            let says = (body + &asked.stderr).matches("is paused").count();
            match (gauge, status, asked.code) == expected && says == if paused { 2 } else { 0 } {
                true => Ok(()),
                false => Err(format!("{gauge} {status} {asked:?}")),
            }
        };
        eventually(WAIT_TIMEOUT, look).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_shows_its_own() {
    let mut up = Up::start().await;
    assert!(up.ready.get("metrics_url").is_none(), "off unless asked for");
    let agent = echo(&up.url, "--metrics-addr 127.0.0.1:0").await;
    agent.says("metrics are served at").await;
    let said = agent.stderr();
    let url = said
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap();
    for number in 0..3 {
        line(&up.url, &format!("request --to-username echo {number}"))
            .await
            .ok();
    }
    let client = RawClient::connect(&up.url).await.unwrap();
    let profile = line(&up.url, "profile --username echo --json").await.json();
    let inbox = format!("account.{}.inbox", profile["profile"]["account_id"].as_str().unwrap());
    client.publish(inbox, "no message".into()).await.unwrap();
    let look = async || match Metrics::scrape(url).await {
        page if page.counter("agentnet_node_messages_refused_total", &[]) == 1 => Ok(page),
        page => Err(format!("{:?}", page.0)),
    };
    let page = eventually(WAIT_TIMEOUT, look).await.unwrap();
    assert_eq!(
        page.counter("agentnet_node_messages_processed_total", &[("agent_id", "cli_echo")]),
        3
    );
    assert_eq!(page.counter("agentnet_node_messages_handled_total", &[]), 3);
    let refused = |reason| page.counter("agentnet_node_messages_refused_by_reason_total", &[("reason", reason)]);
    assert_eq!((refused("unacceptable"), refused("busy")), (1, 0));
    assert_eq!(page.gauge("agentnet_node_running"), 1);
    page.value("agentnet_node_build_info", &[("username", "echo")]);

    let health = url.replace("/metrics", "/healthz");
    assert_eq!(get(&health).await.0, 200);
    up.stop().await;
    let look = async || match get(&health).await {
        (503, _, body) if body == "no connection to NATS\n" => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
    let mut agent = agent;
    agent.signal(Signal::INT);
    assert_eq!(agent.ended().await.code(), Some(130), "{}", agent.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_its_database_is_not_healthy() {
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let mut postgres = Postgres::launch().await.unwrap();
    let database = postgres.create_database("seen").await.unwrap();
    let mut command = binary();
    command
        .args(["--nats-url", &nats.url(), "registry", "--database-url", &database])
        .env("AGENTNET_METRICS_ADDR", "127.0.0.1:0");
    let mut registry = Service::spawn(command);
    let ready = registry.next_line().await;
    let url = ready
        .split_whitespace()
        .find_map(|word| word.strip_prefix("metrics="))
        .unwrap();
    let health = url.replace("/metrics", "/healthz");
    assert_eq!(get(&health).await.0, 200);

    postgres.kill9();
    let look = async || match get(&health).await {
        (503, _, body) if body.starts_with("the postgres store does not work: ") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
    // It can still be looked into.
    let down = async || match Metrics::scrape(url).await.gauge("agentnet_registry_store_up") {
        0 => Ok(()),
        up => Err(up),
    };
    eventually(WAIT_TIMEOUT, down).await.unwrap();

    postgres.start().await.unwrap();
    let back = async || match get(&health).await {
        (200, ..) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(WAIT_TIMEOUT, back).await.unwrap();

    registry.signal(Signal::TERM);
    assert!(registry.ended().await.success(), "{}", registry.stderr());
    let address = url.trim_start_matches("http://").trim_end_matches("/metrics");
    TcpListener::bind(address).expect("the port is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_cannot_be_used_are_told() {
    let nats = NatsServer::builder().start().await.unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let registry = format!("registry --database-url sqlite::memory: --metrics-addr {address}");
    let reason = format!("cannot serve metrics on {address}: ");
    line(&nats.url(), &registry)
        .await
        .fails(1, &[&reason, "hint: give --metrics-addr"]);
    let nonsense = registry.replace(&address, "everywhere");
    line(&nats.url(), &nonsense)
        .await
        .fails(2, &["AGENTNET_METRICS_ADDR", "IP:PORT", "--metrics-addr"]);
    let up = Up::start().await;
    line(&up.url, &format!("echo --metrics-addr {address}"))
        .await
        .fails(1, &[&reason, "hint: give --metrics-addr"]);
}
