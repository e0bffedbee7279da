//! Addresses, origins, and what is refused.

use super::*;

fn settings(address: &str, origins: &[&str]) -> WebSocketSettings {
    WebSocketSettings {
        address: address.parse().unwrap(),
        tls: None,
        origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
    }
}

#[test]
fn addresses_have_a_host_a_port_or_both() {
    for (text, host, port) in [
        ("127.0.0.1:4280", "127.0.0.1", 4280),
        ("8080", "127.0.0.1", 8080),
        ("0", "127.0.0.1", 0),
        ("0.0.0.0", "0.0.0.0", 4280),
        ("localhost", "localhost", 4280),
        ("box.example:80", "box.example", 80),
        ("[::1]:80", "::1", 80),
        ("::1", "::1", 4280),
        ("[::]", "::", 4280),
    ] {
        let expected = ListenAddress {
            host: host.into(),
            port,
        };
        assert_eq!(text.parse::<ListenAddress>(), Ok(expected), "{text}");
    }
    for text in [
        "",
        ":",
        ":80",
        "host:",
        "host:99999",
        "99999",
        "ws://host:80",
        "a b",
        "1:2:3:80",
        "host/path",
    ] {
        assert!(text.parse::<ListenAddress>().is_err(), "{text:?}");
    }
    assert_eq!(settings(DEFAULT_ADDRESS, &[]).address, settings("4280", &[]).address);
}

#[test]
fn origins_are_written_as_browsers_write_them() {
    for (text, origin, host) in [
        ("http://localhost:8080", "http://localhost:8080", "localhost"),
        ("HTTPS://Example.ORG:443/", "https://example.org", "example.org"),
        ("http://[::1]:80", "http://[::1]", "[::1]"),
        ("http://[::1]:8080", "http://[::1]:8080", "[::1]"),
        (
            "https://bücher.example",
            "https://xn--bcher-kva.example",
            "xn--bcher-kva.example",
        ),
    ] {
        let found: WebOrigin = text.parse().unwrap();
        assert_eq!((found.as_str(), found.host()), (origin, host), "{text}");
    }
    for text in [
        "",
        "*",
        "http://*.example.org",
        "localhost:8080",
        "ws://localhost:8080",
        "file:///page.html",
        "null",
        "http://localhost/page",
        "http://localhost?x",
        "http://me@localhost",
    ] {
        assert!(text.parse::<WebOrigin>().is_err(), "{text:?}");
    }
}

#[test]
fn without_named_origins_no_page_of_another_site_is_let_in() {
    for (address, own) in [
        ("127.0.0.1:4280", "http://127.0.0.1:4280"),
        ("[::1]:4280", "http://[::1]:4280"),
    ] {
        assert_eq!(settings(address, &[]).accepted(), (true, vec![own.to_owned()]));
    }
    assert_eq!(
        settings("4280", &["http://a:1", "https://b"]).accepted(),
        (false, vec!["http://a:1".to_owned(), "https://b".to_owned()])
    );
}

#[test]
fn an_address_of_other_machines_needs_tls() {
    assert!(settings("127.0.0.1:4280", &[]).check().is_ok());
    let refused = settings("0.0.0.0:4280", &[]).check().unwrap_err().text();
    for part in ["0.0.0.0", "TLS", "--websocket-tls-cert", "--websocket 127.0.0.1:4280"] {
        assert!(refused.contains(part), "{refused}");
    }
    let files = |cert: &str| WebSocketSettings {
        tls: Some(TlsFiles {
            cert: cert.into(),
            key: "/dev/null".into(),
        }),
        ..settings("0.0.0.0:4280", &[])
    };
    assert!(files("/dev/null").check().is_ok());
    let refused = files("/nowhere/cert.pem").check().unwrap_err().text();
    assert!(refused.contains("--websocket-tls-cert /nowhere/cert.pem"), "{refused}");
    assert_eq!(files("/dev/null").url(), "wss://127.0.0.1:4280");
}

#[test]
fn origins_that_an_old_server_loses_are_noted() {
    let two_ports = settings("4280", &["http://localhost:1", "http://localhost:2"]);
    for (version, is_noted) in [
        ("2.11.13", true),
        ("2.11.14", false),
        ("2.12.4", true),
        ("2.12.5-RC.1", false),
        ("2.15.1", false),
        ("3.0.0", false),
    ] {
        assert_eq!(two_ports.lost_origins(version).is_some(), is_noted, "{version}");
    }
    let one_each = settings("4280", &["http://a:1", "http://b:1"]);
    assert_eq!(one_each.lost_origins("2.11.0"), None);
}
