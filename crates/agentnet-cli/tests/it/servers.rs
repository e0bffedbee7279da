//! Servers that are reached in other ways than by one plain address.

use std::fs;
use std::path::{Path, PathBuf};

use agentnet_testkit::{NatsServer, UNREADABLE_HEADER_BLOCKS, eventually, find_nats_server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::harness::{Service, WAIT_TIMEOUT, agentnet, binary, line, run};

/// A server with TLS for `localhost`, and the certificate by which to trust it.
struct TlsServer {
    folder: TempDir,
    /// Killed with it.
    _server: Service,
    port: u16,
}

impl TlsServer {
    async fn start(handshake_first: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let file = |name: &str| folder.path().join(name);
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        fs::write(file("ca.pem"), authority.pem()).unwrap();
        fs::write(file("server.pem"), certificate.pem()).unwrap();
        fs::write(file("server.key"), key.serialize_pem()).unwrap();
        let path = |name: &str| file(name).to_str().unwrap().to_owned();
        let config = format!(
            "listen: \"127.0.0.1:-1\"\nports_file_dir: {:?}\njetstream {{ store_dir: {:?} }}\nauthorization {{ token: tok }}\n\
             tls {{ handshake_first: {handshake_first}, cert_file: {:?}, key_file: {:?} }}\n",
            path(""),
            path("jetstream"),
            path("server.pem"),
            path("server.key"),
        );
        fs::write(file("nats.conf"), config).unwrap();
        let mut server = crate::harness::command(&find_nats_server().unwrap());
        server.args(["-c", &path("nats.conf")]);
        let server = Service::spawn(server);
        let look = async || port_in(folder.path()).ok_or("the server has not said its port");
        let port = eventually(WAIT_TIMEOUT, look).await.unwrap();
        Self {
            folder,
            _server: server,
            port,
        }
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

/// The port that a server has written into a file of the folder.
fn port_in(folder: &Path) -> Option<u16> {
    let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let written = files.find(|path| path.extension().is_some_and(|extension| extension == "ports"))?;
    let ports: serde_json::Value = serde_json::from_slice(&fs::read(written).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_with_tls_are_reached_whichever_side_speaks_first() {
    for handshake_first in [false, true] {
        let server = TlsServer::start(handshake_first).await;
        let url = format!("tls://tok@localhost:{}", server.port);
        let command = |words: &str| {
            let mut command = binary();
            command.args(["--nats-url", &url]).args(words.split_whitespace());
            command.env("SSL_CERT_FILE", server.authority());
            command
        };
        let mut registry = Service::spawn(command("registry --database-url sqlite::memory:"));
        let ready = registry.next_line().await;
        assert!(ready.starts_with("registry ready:"), "{handshake_first}: {ready}");
        let echo = Service::spawn(command("echo --username echo"));
        echo.says("is online as").await;
        let listed = run(command("list")).await.ok();
        assert!(listed.contains("@echo"), "{handshake_first}: {listed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_says_that_its_connection_is_restored() {
    let mut nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let mut registry = Service::line(&nats.url(), "registry --database-url sqlite::memory:");
    registry.next_line().await;
    let mut echo = crate::harness::echo(&nats.url(), "--username echo").await;
    nats.kill9();
    echo.says("connection to NATS lost").await;
    nats.restart().await.unwrap();
    echo.says("connection to NATS restored").await;
    echo.signal(rustix::process::Signal::TERM);
    echo.ended().await;
}

/// A server that accepts connections and sends nothing: the other one is used, in either order.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_does_not_hide_the_others() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let both = format!("nats://{},{}", silent.local_addr().unwrap(), nats.url());
    let mut registry = Service::line(&both, "registry --database-url sqlite::memory:");
    registry.next_line().await;
    // The client tries them in an order of chance.
    for _ in 0..8 {
        agentnet(&both, ["list"]).await.ok();
    }
}

/// One message ends the NATS client of every receiver: the registry and the agent reconnect by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_client_can_read_stops_neither_registry_nor_agents() {
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let mut registry = Service::line(&nats.url(), "registry --database-url sqlite::memory:");
    registry.next_line().await;
    let echo = crate::harness::echo(&nats.url(), "--username echo").await;
    const ASK: &str = "request --to-username echo --thread-id t --timeout 2";
    line(&nats.url(), &format!("{ASK} 1")).await.ok();
    let mut watch = Service::line(&nats.url(), "watch --json --kind request");
    watch.says("Ctrl-C stops").await;
    let account = line(&nats.url(), "--json profile --username echo").await.json();
    let account_id = account["profile"]["account_id"].as_str().unwrap();
    let message =
        serde_json::json!({"message_id": "bad", "thread_id": "t", "from_agent": "a", "from_account_id": "acct_a",
        "to_account_id": account_id, "payload": {}, "sent_at": "2026-02-21T08:00:00Z"})
        .to_string();
    let block = UNREADABLE_HEADER_BLOCKS[UNREADABLE_HEADER_BLOCKS.len() - 1];
    let inbox = format!("account.{account_id}.inbox");
    let published = nats.publish_with_header_block(&inbox, "", block, message.as_bytes());
    published.await.unwrap();
    registry.says("the registry is restarted").await;
    echo.says("joining the network again").await;
    watch.says(" again").await;
    eventually(WAIT_TIMEOUT, async || {
        let asked = line(&nats.url(), &format!("{ASK} 2")).await;
        if asked.code == Some(0) {
            Ok(())
        } else {
            Err(asked.stderr)
        }
    })
    .await
    .unwrap();
    crate::harness::until(&nats.url(), "thread-messages --thread-id t", |page| {
        let messages = page["messages"].as_array().unwrap();
        let has = |member: &str, value: serde_json::Value| messages.iter().any(|message| message[member] == value);
        has("message_id", "bad".into()) && has("payload", 1.into()) && has("payload", 2.into())
    })
    .await;
    line(&nats.url(), &format!("{ASK} 3")).await.ok();
    while watch.next_json().await["message"]["payload"] != 3 {}
    // A panic of the library is a log line too.
    for told in watch.stderr().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(told).is_ok(), "{told}");
    }
}
