//! `agentnet up --websocket`: who gets in over WebSocket, and from where.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::harness::process::send_signal;
use crate::harness::websocket::WebSocket;
use crate::harness::{FreePort, Service, Up, binary, echo, run};

const TOKEN: &str = "agentnet_secret_token";
const PAGE: &str = "http://localhost:8080";

/// A network with a WebSocket listener on this port, and these further options.
async fn up_on(port: &FreePort, options: &str) -> Up {
    Up::start_with(&format!("--websocket 127.0.0.1:{} {options}", port.number())).await
}

/// The agents that `registry.list` names over this connection.
async fn listed<S>(socket: &mut WebSocket<S>) -> Value
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let reply = socket.request("registry.list", "{}").await;
    serde_json::from_str::<Value>(&reply).unwrap_or_else(|error| panic!("{error} in {reply}"))["agents"].take()
}

#[tokio::test]
async fn pages_of_a_named_origin_join_with_the_token_and_others_are_refused() {
    let port = FreePort::take().await;
    let origins = format!(
        "--websocket-origin {PAGE} --websocket-origin https://app.example --websocket-origin http://localhost:9090/"
    );
    for signed in ["", "--dev-auth"] {
        let mut up = up_on(&port, &format!("{origins} {signed}")).await;
        let websocket = &up.ready["nats_server"]["websocket"];
        assert_eq!(
            up.ready["websocket_url"],
            format!("ws://{TOKEN}@127.0.0.1:{}", port.number())
        );
        assert_eq!(
            *websocket,
            json!({
                "host": "127.0.0.1",
                "port": port.number(),
                "tls": false,
                "allowed_origins": [PAGE, "https://app.example", "http://localhost:9090"],
            })
        );
        let keys = up.data.join("keys");
        let agent = echo(
            &up.url,
            &format!("--username parrot --key-dir {} {signed}", keys.display()),
        )
        .await;
        for origin in [PAGE, "https://app.example", "http://localhost:9090"] {
            let mut page = WebSocket::open(port.number(), Some(origin)).await.unwrap();
            assert_eq!(page.login(TOKEN).await, "PONG", "{origin}");
            assert_eq!(listed(&mut page).await[0]["username"], "parrot", "{origin}");
        }
        for origin in [
            "http://localhost:8081",
            "https://localhost:8080",
            "http://127.0.0.1:8080",
            "http://app.example",
            "https://evil.example",
            "null",
        ] {
            let refused = WebSocket::open(port.number(), Some(origin)).await.err();
            assert_eq!(refused.as_deref(), Some("HTTP/1.1 403 Forbidden"), "{origin}");
        }
        // A program that is no browser sends no origin.
        let mut program = WebSocket::open(port.number(), None).await.unwrap();
        assert_eq!(program.login(TOKEN).await, "PONG");
        let mut stranger = WebSocket::open(port.number(), Some(PAGE)).await.unwrap();
        assert_eq!(stranger.login("another").await, "-ERR 'Authorization Violation'");
        drop(agent);
        up.stop().await;
    }
}

#[tokio::test]
async fn without_a_named_origin_no_page_gets_in() {
    let port = FreePort::take().await;
    let mut up = up_on(&port, "").await;
    assert_eq!(up.ready["nats_server"]["websocket"]["allowed_origins"], json!([]));
    for origin in [PAGE, "https://evil.example", "http://127.0.0.1", "null"] {
        let refused = WebSocket::open(port.number(), Some(origin)).await.err();
        assert_eq!(refused.as_deref(), Some("HTTP/1.1 403 Forbidden"), "{origin}");
    }
    // The name of a hostile site, pointed to this machine after its page was loaded.
    let host = format!("evil.example:{}", port.number());
    let stream = TcpStream::connect(("127.0.0.1", port.number())).await.unwrap();
    let refused = WebSocket::handshake(stream, &host, Some(&format!("http://{host}")))
        .await
        .err();
    assert_eq!(refused.as_deref(), Some("HTTP/1.1 403 Forbidden"));
    let mut program = WebSocket::open(port.number(), None).await.unwrap();
    assert_eq!(program.login(TOKEN).await, "PONG");
    up.stop().await;
}

#[tokio::test]
async fn the_listener_comes_back_with_the_server_and_goes_with_the_option() {
    let port = FreePort::take().await;
    let mut up = up_on(&port, &format!("--websocket-origin {PAGE}")).await;
    let mut page = WebSocket::open(port.number(), Some(PAGE)).await.unwrap();
    assert_eq!(page.login(TOKEN).await, "PONG");
    send_signal(up.nats_pid(), Signal::KILL);
    up.service.says("nats-server runs again").await;
    let mut page = WebSocket::open(port.number(), Some(PAGE)).await.unwrap();
    assert_eq!(page.login(TOKEN).await, "PONG");
    up.stop().await;

    let mut up = up.again().await;
    assert!(up.ready["websocket_url"].is_null(), "{}", up.ready);
    assert!(
        !fs::read_to_string(up.data.join("nats.conf"))
            .unwrap()
            .contains("websocket")
    );
    let refused = TcpStream::connect(("127.0.0.1", port.number())).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    up.stop().await;
}

#[tokio::test]
async fn people_are_told_the_address_and_never_a_token_of_their_own() {
    let (nats, websocket, folder) = (FreePort::take().await, FreePort::take().await, TempDir::new().unwrap());
    for (origins, shown) in [
        ([].as_slice(), "Origins   none: no web page may connect"),
        (["--websocket-origin", PAGE].as_slice(), &*format!("Origins   {PAGE}")),
    ] {
        let mut command = binary();
        command.args(["up", "--port", &nats.number().to_string(), "--websocket"]);
        command.arg(format!("127.0.0.1:{}", websocket.number())).args(origins);
        command.arg("--data-dir").arg(folder.path().join("data"));
        command
            .arg("--nats-server")
            .arg(agentnet_testkit::find_nats_server().unwrap());
        command.env("AGENTNET_TOKEN", "a-token-of-my-own");
        let mut up = Service::spawn(command);
        let mut told = Vec::new();
        while !told.last().is_some_and(|line: &String| line.starts_with("Ctrl-C")) {
            told.push(up.next_line().await);
        }
        let text = told.join("\n");
        let url = format!("WebSocket ws://TOKEN@127.0.0.1:{}", websocket.number());
        assert!(text.contains(&url) && text.contains(shown), "{text}");
        assert!(!text.contains("a-token-of-my-own") && !up.stderr().contains("a-token-of-my-own"));
        let mut page = WebSocket::open(websocket.number(), None).await.unwrap();
        assert_eq!(page.login("a-token-of-my-own").await, "PONG");
        up.signal(Signal::TERM);
        assert_eq!(up.ended().await.code(), Some(0), "{}", up.stderr());
    }
}

#[tokio::test]
async fn what_cannot_be_served_safely_is_refused_before_anything_is_made() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let without_tls = ["TLS", "--websocket-tls-cert", "--websocket-tls-key", "reverse proxy"].as_slice();
    let pem = folder.path().join("file.pem");
    fs::write(&pem, "").unwrap();
    let pem = pem.to_str().unwrap();
    for (words, parts) in [
        ("--websocket 0.0.0.0:4280 --token mine", without_tls),
        ("--websocket [::]:4280 --token mine", without_tls),
        ("--websocket 0.0.0.0 --insecure-token", without_tls),
        (
            &format!("--websocket 0.0.0.0 --websocket-tls-cert {pem} --websocket-tls-key {pem}"),
            &["development token", "AGENTNET_TOKEN", "--websocket 127.0.0.1:4280"],
        ),
        (
            &format!("--websocket --websocket-tls-cert {pem}"),
            &["--websocket-tls-key"],
        ),
        (
            &format!("--websocket --websocket-tls-cert /nowhere.pem --websocket-tls-key {pem}"),
            &["--websocket-tls-cert /nowhere.pem cannot be read"],
        ),
        ("--websocket-origin http://localhost:8080", &["--websocket"]),
        (
            "--websocket --websocket-origin *",
            &["there are no patterns", "http://localhost:8080"],
        ),
        (
            "--websocket --websocket-origin http://localhost/page",
            &["an origin has no path"],
        ),
        (
            "--websocket --websocket-origin localhost:8080",
            &["http:// or https://"],
        ),
        ("--websocket ws://127.0.0.1:4280", &["127.0.0.1:4280"]),
        ("--port 4280 --websocket", &["cannot both use port 4280"]),
        (
            "--nats-url nats://127.0.0.1:1 --websocket",
            &["--nats-url names another one", "docs/OPERATIONS.md"],
        ),
    ] {
        let mut command = binary();
        command
            .args(["up", "--data-dir"])
            .arg(&data)
            .args(words.split_whitespace());
        let ran = run(command).await;
        ran.fails(2, parts);
        assert!(!data.exists(), "{words} made a data directory");
    }
    let mut command = binary();
    command.args(["--nats-url", "ws://tok@127.0.0.1:4280", "list"]);
    run(command)
        .await
        .fails(2, &["`ws` is for browsers", "nats://TOKEN@HOST:PORT"]);
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_option_that_changes_it() {
    let (folder, nats) = (TempDir::new().unwrap(), FreePort::take().await);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut command = Up::command(&folder.path().join("data"), &nats.number().to_string());
    command.args(["--websocket", &format!("127.0.0.1:{port}")]);
    let told = run(command).await.fails_as_json(1);
    assert_eq!(
        told["message"],
        format!("port {port} on 127.0.0.1 is in use by another program")
    );
    assert!(
        told["hint"].as_str().unwrap().contains("--websocket HOST:PORT"),
        "{told}"
    );
}

#[tokio::test]
async fn port_0_takes_a_free_port_and_says_which() {
    let mut up = Up::start_with("--websocket 127.0.0.1:0").await;
    let port = up.ready["nats_server"]["websocket"]["port"].as_u64().unwrap();
    let mut page = WebSocket::open(u16::try_from(port).unwrap(), None).await.unwrap();
    assert_eq!(page.login(TOKEN).await, "PONG");
    up.stop().await;
}

/// Files of a certificate for 127.0.0.1, and a client that trusts it.
fn certificate(folder: &TempDir) -> TlsConnector {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    fs::write(folder.path().join("server.pem"), certificate.pem()).unwrap();
    fs::write(folder.path().join("server.key"), key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn with_a_certificate_other_machines_may_connect_over_wss() {
    let (port, folder) = (FreePort::take().await, TempDir::new().unwrap());
    let connector = certificate(&folder);
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let tls = format!(
        "--websocket-tls-cert {} --websocket-tls-key {}",
        file("server.pem"),
        file("server.key")
    );
    let options = format!(
        "--websocket 0.0.0.0:{} --websocket-origin {PAGE} --token mine {tls}",
        port.number()
    );
    let mut up = Up::start_with(&options).await;
    assert_eq!(
        up.ready["websocket_url"],
        format!("wss://TOKEN@127.0.0.1:{}", port.number())
    );
    assert_eq!(up.ready["nats_server"]["websocket"]["tls"], true);
    let connect = async |origin: &str| {
        let stream = TcpStream::connect(("127.0.0.1", port.number())).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        WebSocket::handshake(stream, &format!("127.0.0.1:{}", port.number()), Some(origin)).await
    };
    let mut page = connect(PAGE).await.unwrap();
    assert_eq!(page.login("mine").await, "PONG");
    assert_eq!(listed(&mut page).await, json!([]));
    assert_eq!(
        connect("https://evil.example").await.err().as_deref(),
        Some("HTTP/1.1 403 Forbidden")
    );
    // Without TLS there is no answer that a WebSocket could use.
    let plain = WebSocket::open(port.number(), Some(PAGE)).await;
    assert!(plain.is_err(), "it answered without TLS");
    up.stop().await;
}

#[tokio::test]
async fn a_certificate_that_is_none_is_reported_with_the_servers_own_words() {
    let (port, nats, folder) = (FreePort::take().await, FreePort::take().await, TempDir::new().unwrap());
    let file = folder.path().join("server.pem");
    fs::write(&file, "no certificate").unwrap();
    let mut command = Up::command(&folder.path().join("data"), &nats.number().to_string());
    command.args(["--websocket", &format!("127.0.0.1:{}", port.number())]);
    command
        .arg("--websocket-tls-cert")
        .arg(&file)
        .arg("--websocket-tls-key")
        .arg(&file);
    run(command)
        .await
        .fails(1, &["nats-server did not start", "certificate", "nats-server.log"]);
}
