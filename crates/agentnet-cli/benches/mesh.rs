//! What the host of `agentnet mesh` adds to a model's own time: `cargo bench -p agentnet-cli --bench mesh`.
//!
//! A provider on this machine answers at once. It is asked directly over one HTTP connection, then through an agent of the
//! host: a streamed request over a real nats-server, with the thread read from the registry. Printed are the medians until
//! the first piece of text and until the end, and the memory of an idle agent: what each of 299 further ones adds to the
//! host. It fails where the host adds 5 ms or more, or an agent takes 200 kB or more. docs/PERFORMANCE.md has the results.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/harness/mod.rs"]
mod harness;

use std::fmt::Write as _;
use std::fs::File;
use std::future::IntoFuture as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use agentnet::{AgentSdk, StreamExt as _, json};
use agentnet_testkit::eventually;
use harness::{Service, Up, WAIT_TIMEOUT};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// With the warm-up fewer than 200: an agent takes so many at once from one sender, and then 100 a second.
const REQUESTS: usize = 160;
const WARM_UP: usize = 20;
const AGENTS: usize = 300;
const MAX_OVERHEAD: Duration = Duration::from_millis(5);
const MAX_AGENT_BYTES: usize = 200_000;
/// Time between two looks at the memory of a process, and how many in a row must be equal: it has come to rest then.
const MEMORY_POLL_INTERVAL: Duration = Duration::from_millis(500);
const EQUAL_READINGS: usize = 4;

/// The answer of the provider: two pieces of text, then the end.
const ANSWER: &str = concat!(
    "data: {\"id\":\"1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"to\"}}]}\n\n",
    "data: {\"id\":\"1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"gether\"},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"1\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n",
    "data: [DONE]\n\n",
);

#[tokio::main]
async fn main() -> ExitCode {
    let mut up = Up::start().await;
    let provider = provider().await;
    let folder = TempDir::new().unwrap();
    let mut one = host(&up, &provider, folder.path(), 1).await;
    let small = idle_memory(one.pid()).await;

    let direct = directly(&provider).await;
    let through = through_the_host(&up).await;
    one.signal(rustix::process::Signal::TERM);
    // Else its agent was counted as one of the others.
    one.ended().await;
    let many = host(&up, &provider, folder.path(), AGENTS).await;
    let each = idle_memory(many.pid()).await.saturating_sub(small) / (AGENTS - 1);

    println!("{REQUESTS} requests, median         first piece    end");
    for (name, times) in [("directly", direct), ("through an agent", through)] {
        println!("{name:<30} {:>10.2?} {:>10.2?}", times.first, times.end);
    }
    println!("memory of an idle agent        {} kB", each / 1000);
    let overhead = (
        through.first.saturating_sub(direct.first),
        through.end.saturating_sub(direct.end),
    );
    println!(
        "the host adds                  {:>10.2?} {:>10.2?}",
        overhead.0, overhead.1
    );
    drop(many);
    up.stop().await;
    if overhead.0.max(overhead.1) < MAX_OVERHEAD && each < MAX_AGENT_BYTES {
        ExitCode::SUCCESS
    } else {
        println!("too much: at most {MAX_OVERHEAD:?} and {} kB", MAX_AGENT_BYTES / 1000);
        ExitCode::FAILURE
    }
}

/// Medians of a series of requests.
#[derive(Debug, Clone, Copy)]
struct Times {
    first: Duration,
    end: Duration,
}

impl Times {
    fn median(mut samples: Vec<(Duration, Duration)>) -> Self {
        samples.drain(..WARM_UP);
        let middle = |mut times: Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2]
        };
        Self {
            first: middle(samples.iter().map(|sample| sample.0).collect()),
            end: middle(samples.iter().map(|sample| sample.1).collect()),
        }
    }
}

/// A provider that answers at once; gives its address.
async fn provider() -> String {
    let app = axum::Router::new().fallback(|_body: String| async { ([("content-type", "text/event-stream")], ANSWER) });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(axum::serve(listener, app).into_future());
    address
}

/// A host with so many agents, once all are online.
async fn host(up: &Up, provider: &str, folder: &Path, agents: usize) -> Service {
    let mut yaml = format!(
        "version: 1\nproviders:\n  near: {{ api: openai-chat, base_url: \"http://{provider}/v1\", api_key: x }}\nagents:\n"
    );
    for number in 0..agents {
        writeln!(
            yaml,
            "  - {{ key: agent_{number}, prompt: {{ text: You answer. }}, model: {{ provider: near, name: m }} }}"
        )
        .unwrap();
    }
    let file = folder.join(format!("mesh_{agents}.yaml"));
    std::fs::write(&file, yaml).unwrap();
    let mut command = harness::binary();
    command.args(["--nats-url", &up.url, "mesh", "run"]).arg(&file);
    // The provider is asked directly, whatever proxy this machine has.
    command
        .arg("--data-dir")
        .arg(folder.join("data"))
        .env("NO_PROXY", "127.0.0.1");
    // The host prints each message: a pipe that nobody reads would fill, and stop it.
    let printed = File::create(folder.join(format!("printed_{agents}"))).unwrap();
    let host = Service::spawn_into(command, printed);
    let look = async || {
        let listed = harness::line(&up.url, "list --all --json").await;
        let found = listed.stdout.matches("\"username\":\"agent_").count();
        if found >= agents {
            Ok(())
        } else {
            Err(format!("{found} of {agents}; {}", host.stderr()))
        }
    };
    eventually(WAIT_TIMEOUT, look).await.unwrap();
    host
}

/// Bytes of memory of a process, once they do not change any more, or after a while.
async fn idle_memory(pid: i32) -> usize {
    let (mut last, mut equal) = (resident(pid), 1);
    for _ in 0..60 {
        if equal == EQUAL_READINGS {
            break;
        }
        tokio::time::sleep(MEMORY_POLL_INTERVAL).await;
        let next = resident(pid);
        equal = if next == last { equal + 1 } else { 1 };
        last = next;
    }
    last
}

/// Bytes of memory of a process.
fn resident(pid: i32) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

async fn directly(provider: &str) -> Times {
    let mut stream = TcpStream::connect(provider).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {provider}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut samples = Vec::new();
    for _ in 0..REQUESTS + WARM_UP {
        let began = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let (mut read, mut first) = (Vec::new(), None);
        while !read.ends_with(b"[DONE]\n\n") {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "the provider closed");
            if first.is_none() && read.windows(8).any(|part| part == b"\"choices") {
                first = Some(began.elapsed());
            }
        }
        samples.push((first.unwrap(), began.elapsed()));
    }
    Times::median(samples)
}

async fn through_the_host(up: &Up) -> Times {
    let sdk = AgentSdk::builder("asker")
        .username("asker")
        .nats_url(&up.url)
        .build()
        .unwrap();
    sdk.start().await.unwrap();
    let mut samples = Vec::new();
    for number in 0..REQUESTS + WARM_UP {
        let began = Instant::now();
        let mut answer = sdk
            .ask_json_stream("@agent_0", json!({ "text": "hi", "stream": true }))
            .thread(format!("bench_{number}"))
            .await
            .unwrap();
        let mut first = None;
        while let Some(delta) = answer.next().await {
            if delta.unwrap().text().is_some_and(|text| !text.is_empty()) {
                first.get_or_insert_with(|| began.elapsed());
            }
        }
        samples.push((first.unwrap(), began.elapsed()));
    }
    sdk.stop().await;
    Times::median(samples)
}
