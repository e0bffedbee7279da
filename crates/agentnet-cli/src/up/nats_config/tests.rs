//! The text of the configuration, and its URLs.

use agentnet_nats::{Login, NatsUrl};
use tempfile::TempDir;

use super::*;
use crate::up::websocket::TlsFiles;

fn settings(host: &str, token: &str) -> ServerSettings {
    ServerSettings {
        name: "agentnet-1".into(),
        host: host.into(),
        port: 4333,
        access: Access::Token(token.into()),
        monitor_port: None,
        websocket: None,
        store_dir: "/data/jet \"stream\"".into(),
        log: "/data/nats-server.log".into(),
    }
}

#[test]
fn the_file_is_for_its_owner_only_even_if_it_was_not() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("nats.conf");
    fs::write(&path, "a longer text that was here before, with another token in it").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    settings("127.0.0.1", "secret").write(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("token: \"secret\"") && text.contains("\"/data/jet \\\"stream\\\"\""),
        "{text}"
    );
    assert!(!text.contains("another token") && !text.contains("http:"), "{text}");
    assert!(
        text.contains("max_buffered_msgs: 1000000"),
        "a burst is to wait: {text}"
    );
}

#[test]
fn the_monitoring_pages_stay_on_this_machine() {
    for (host, monitor) in [
        ("127.0.0.1", "http: \"127.0.0.1:8222\""),
        ("::1", "http: \"[::1]:8222\""),
        ("0.0.0.0", "http: \"127.0.0.1:8222\""),
        ("::", "http: \"127.0.0.1:8222\""),
        ("10.0.0.1", "http: \"127.0.0.1:8222\""),
    ] {
        let settings = ServerSettings {
            monitor_port: Some(8222),
            ..settings(host, "secret")
        };
        let text = settings.text();
        assert!(text.lines().any(|line| line == monitor), "{host}: {text}");
    }
}

#[test]
fn the_websocket_block_never_leaves_the_origins_open() {
    let text = |address: &str, origins: &[&str], tls: Option<TlsFiles>| {
        let websocket = WebSocketSettings {
            address: address.parse().unwrap(),
            tls,
            origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
        };
        ServerSettings {
            websocket: Some(websocket),
            ..settings("127.0.0.1", "secret")
        }
        .text()
    };
    assert!(text("127.0.0.1:4280", &[], None).ends_with(
        "websocket {\n    host: \"127.0.0.1\"\n    port: 4280\n    no_tls: true\n    same_origin: true\n    \
         allowed_origins: [\"http://127.0.0.1:4280\"]\n}\n"
    ));
    let files = TlsFiles {
        cert: "/a \"b\"/cert.pem".into(),
        key: "/key.pem".into(),
    };
    assert!(
        text("[::]:443", &["http://localhost:1", "https://b"], Some(files)).ends_with(
            "websocket {\n    host: \"::\"\n    port: 443\n    \
         tls { cert_file: \"/a \\\"b\\\"/cert.pem\", key_file: \"/key.pem\" }\n    \
         same_origin: false\n    allowed_origins: [\"http://localhost:1\", \"https://b\"]\n}\n"
        )
    );
    assert!(!settings("127.0.0.1", "secret").text().contains("websocket"));
}

#[test]
fn the_url_leads_to_the_server_with_its_token() {
    for (host, server) in [
        ("127.0.0.1", "nats://127.0.0.1:4333"),
        ("0.0.0.0", "nats://127.0.0.1:4333"),
        ("::", "nats://[::1]:4333"),
        ("fe80::1", "nats://[fe80::1]:4333"),
        ("box.example", "nats://box.example:4333"),
    ] {
        for token in ["agentnet_secret_token", "a/b@c:d%41#?&é\"\\,$[x]"] {
            let url = NatsUrl::parse(&settings(host, token).url()).unwrap();
            assert_eq!(url.servers(), [server]);
            assert_eq!(*url.login(), Login::Token(token.to_owned()));
        }
    }
}

#[test]
fn unusable_tokens_are_refused() {
    for token in ["", "two words", "line\nbreak", "$2a$11$abc"] {
        assert!(check_token(token).is_err(), "{token:?}");
    }
    assert!(check_token("agentnet_secret_token").is_ok());
}
