//! Every line of docs/TROUBLESHOOTING.md is provoked, and what is said compared with it.

use std::collections::BTreeMap;
use std::net::TcpListener;

use agentnet_testkit::{NatsServer, RawClient, eventually};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{FreePort, Service, Up, WAIT_TIMEOUT, agentnet, binary, command, echo, line, run};

/// What stands in the table for something that differs: an address, a place, a number.
const STAND_INS: [&str; 10] = [
    "localhost:4222",
    "4222",
    "HOST:5432",
    "DIR",
    "(pid N)",
    "PATH cannot",
    "weather_bot",
    "nobody",
    "...",
    "FILE",
];

/// The error texts of the table.
fn table() -> Vec<String> {
    let page = include_str!("../../../../docs/TROUBLESHOOTING.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let texts = rows.map(|row| {
        let (fence, rest) = match row.strip_prefix("| ``") {
            Some(rest) => ("``", rest),
            None => ("`", row.strip_prefix("| `").unwrap()),
        };
        rest.split(&format!("{fence} |")).next().unwrap().trim().to_owned()
    });
    texts.collect()
}

/// The fixed parts of a text of the table, which stand in what is said in this order.
fn fixed_parts(text: &str) -> Vec<String> {
    let mut parts = vec![text.to_owned()];
    for stand_in in STAND_INS {
        let split = |part: String| part.split(stand_in).map(str::to_owned).collect::<Vec<_>>();
        parts = parts.into_iter().flat_map(split).collect();
    }
    parts
        .into_iter()
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

fn says(said: &str, text: &str) -> bool {
    let mut rest = said;
    fixed_parts(text).iter().all(|part| match rest.find(part.as_str()) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// What was said, by what was done.
#[derive(Default)]
struct Said(BTreeMap<&'static str, String>);

impl Said {
    fn note(&mut self, what: &'static str, said: String) {
        self.0.insert(what, said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_can_be_provoked() {
    let mut said = Said::default();
    without_a_network(&mut said).await;
    on_a_network(&mut said).await;
    of_the_registry(&mut said).await;
    signed(&mut said).await;
    let table = table();
    assert!(table.len() >= 17, "{table:#?}");
    for text in &table {
        let found = said.0.values().any(|said| says(said, text));
        assert!(found, "nothing said\n  {text}\nbut\n{:#?}", said.0);
    }
    for (what, said) in &said.0 {
        assert!(
            table.iter().any(|text| says(said, text)),
            "the table has no line for {what}: {said}"
        );
    }
}

async fn without_a_network(said: &mut Said) {
    let port = FreePort::take().await;
    let nowhere = format!("nats://hidden@localhost:{}", port.number());
    said.note("no server", line(&nowhere, "list").await.stderr);
    said.note("another scheme", line("http://localhost:4222", "list").await.stderr);
    let payload = ["send", "--to-username", "a", "{text: hi}"];
    said.note("no JSON", agentnet(&nowhere, payload).await.stderr);

    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_port = taken.local_addr().unwrap().port().to_string();
    let up = |data: &str, port: &str| Up::command(&folder.path().join(data), port);
    said.note("port in use", run(up("a", &taken_port)).await.stderr);
    let mut open = up("a", "0");
    open.args(["--websocket", "0.0.0.0:0", "--token", "mine"]);
    said.note("WebSocket without TLS", run(open).await.stderr);
    let mut no_server = binary();
    no_server.args([
        "up",
        "--port",
        "0",
        "--nats-server",
        "/nowhere/nats-server",
        "--data-dir",
    ]);
    no_server.arg(folder.path().join("b"));
    said.note("another program", run(no_server).await.stderr);

    // A copy outside of the checkout, with nothing in PATH.
    let copy = folder.path().join("agentnet");
    std::fs::copy(env!("CARGO_BIN_EXE_agentnet"), &copy).unwrap();
    let mut alone = command(&copy);
    alone
        .args(["up", "--port", "0", "--data-dir"])
        .arg(folder.path().join("c"));
    alone.env("PATH", folder.path()).current_dir(folder.path());
    said.note("no nats-server", run(alone).await.stderr);
}

async fn on_a_network(said: &mut Said) {
    let mut up = Up::start().await;
    let url = up.url.clone();
    said.note(
        "wrong token",
        line(&url.replace("agentnet_secret_token", "guess"), "list")
            .await
            .stderr,
    );
    said.note("nobody", line(&url, "send --to-username nobody 1").await.stderr);
    said.note(
        "bad cursor",
        line(&url, "thread-messages --thread-id t --cursor x").await.stderr,
    );
    let again = run(Up::command(&up.data, "0")).await;
    said.note("data in use", again.stderr);

    let mut agent = echo(&url, "--username weather_bot --capability weather").await;
    agent.signal(Signal::INT);
    agent.ended().await;
    let asked = line(&url, "request --to-username weather_bot 1").await;
    said.note("offline", asked.stderr);
    // An agent that is online and stays silent.
    let silent = RawClient::connect(&url).await.unwrap();
    let registration = r#"{"agent_id":"mute","username":"mute","capabilities":["mute"]}"#;
    silent.request("registry.register", registration.into()).await.unwrap();
    let quick = "send --to-username mute --receipt-timeout 0.2 1";
    said.note("no receipt", line(&url, quick).await.stderr);
    let asked = line(&url, "request --to-capability mute --timeout 0.5 1").await;
    said.note("no answer", asked.stderr.replace("within 0.5 s", "within 5 s"));
    up.stop().await;
}

async fn of_the_registry(said: &mut Said) {
    let bare = NatsServer::builder().start().await.unwrap();
    said.note("no registry", line(&bare.url(), "list").await.stderr);
    let mut core = Service::line(&bare.url(), "registry --database-url sqlite::memory:");
    core.next_line().await;
    said.note("no JetStream", core.stderr());
    core.signal(Signal::TERM);
    core.ended().await;

    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let postgres = agentnet_testkit::Postgres::launch().await.unwrap();
    let wrong = with_password(&postgres.url(), "wrong");
    let wrong = format!("{}/agentnet", wrong.rsplit_once('/').unwrap().0);
    let mut refused = binary();
    refused.args(["--nats-url", &nats.url(), "registry", "--database-url", &wrong]);
    said.note("wrong password", run(refused).await.stderr);

    let nobody = FreePort::take().await;
    let absent = format!("postgres://agentnet@127.0.0.1:{}/agentnet", nobody.number());
    let mut waiting = Service::line(&nats.url(), &format!("registry --database-url {absent}"));
    let look = async || match waiting.stderr() {
        said if said.contains("waiting for PostgreSQL") => Ok(said),
        said => Err(said),
    };
    said.note("no PostgreSQL", eventually(WAIT_TIMEOUT, look).await.unwrap());
    waiting.signal(Signal::TERM);
    waiting.ended().await;
}

fn with_password(url: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (login, place) = rest.split_once('@').unwrap();
    let user = login.split(':').next().unwrap();
    format!("{scheme}://{user}:{password}@{place}")
}

async fn signed(said: &mut Said) {
    let mut up = Up::start_with("--dev-auth").await;
    let url = up.url.clone();
    let keys = TempDir::new().unwrap();
    let with_keys = |directory: &str, name: &str| {
        let mut command = binary();
        command.args([
            "--nats-url",
            &url,
            "send",
            "--dev-auth",
            "--as",
            name,
            "--to-username",
            "nobody",
            "1",
        ]);
        command.arg("--key-dir").arg(keys.path().join(directory));
        command
    };
    said.note("unsigned", line(&url, "send --to-username nobody 1").await.stderr);
    run(with_keys("a", "alice")).await.fails(2, &["No account found"]);
    said.note("another's name", run(with_keys("b", "alice")).await.stderr);
    let file = keys.path().join("a/alice.json");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    said.note("open key file", run(with_keys("a", "alice")).await.stderr);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&file, "{}").unwrap();
    said.note("damaged key file", run(with_keys("a", "alice")).await.stderr);
    up.stop().await;
}

#[test]
fn stand_ins_match_anything() {
    assert!(says(
        "error: port 5000 on 127.0.0.1 is in use",
        "port 4222 on 127.0.0.1 is in use"
    ));
    assert!(says(
        "x recipient_offline: @bob is offline since 2026",
        "recipient_offline: @weather_bot is offline since ..."
    ));
    assert!(!says("port 5000 is free", "port 4222 on 127.0.0.1 is in use"));
}
