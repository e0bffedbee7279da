//! The options by which `agentnet up` lets browsers join.

use std::path::PathBuf;

use clap::Args;

use crate::exit::Failure;
use crate::up::websocket::{DEFAULT_ADDRESS, ListenAddress, TlsFiles, WebOrigin, WebSocketSettings};

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Browsers")]
pub(super) struct WebSocketArgs {
    /// Let browsers join over WebSocket, on 127.0.0.1:4280 or the given HOST:PORT; port 0 takes a free one [default: off]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = DEFAULT_ADDRESS)]
    websocket: Option<ListenAddress>,
    /// Origin of web pages that may connect, like http://localhost:8080; may be repeated [default: none]
    #[arg(long = "websocket-origin", value_name = "URL", requires = "websocket")]
    origins: Vec<WebOrigin>,
    /// Certificate for wss://, a PEM file; needed where other machines can connect
    #[arg(long = "websocket-tls-cert", value_name = "FILE", requires_all = ["websocket", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, a PEM file
    #[arg(long = "websocket-tls-key", value_name = "FILE", requires_all = ["websocket", "tls_cert"])]
    tls_key: Option<PathBuf>,
}

impl WebSocketArgs {
    /// The settings of the listener, if there is to be one. `nats_port` is the port of the same server's NATS clients.
    ///
    /// # Errors
    /// The ports are the same; the address needs TLS; a file cannot be read.
    pub(super) fn settings(self, nats_port: u16) -> Result<Option<WebSocketSettings>, Failure> {
        let Some(address) = self.websocket else { return Ok(None) };
        if address.port == nats_port && nats_port != 0 {
            return Err(
                Failure::refused(format!("--port and --websocket cannot both use port {nats_port}"))
                    .hint(format!("choose two ports, for instance --websocket {DEFAULT_ADDRESS}")),
            );
        }
        let tls = self.tls_cert.zip(self.tls_key);
        let settings = WebSocketSettings {
            address,
            tls: tls.map(|(cert, key)| TlsFiles { cert, key }),
            origins: self.origins,
        };
        settings.check()?;
        Ok(Some(settings))
    }

    /// Refuses these options beside a server that runs already.
    pub(super) fn refuse_with_url(&self) -> Result<(), Failure> {
        if self.websocket.is_none() {
            return Ok(());
        }
        Err(Failure::refused(
            "--websocket is a setting of the nats-server that `up` starts, and --nats-url names another one",
        )
        .hint("configure WebSocket on that server (docs/OPERATIONS.md, Browsers), or leave out --nats-url"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(no_binary_name = true)]
    struct Line {
        #[command(flatten)]
        websocket: WebSocketArgs,
    }

    fn read(line: &str) -> Option<WebSocketSettings> {
        let line = Line::try_parse_from(line.split_whitespace()).unwrap();
        line.websocket.settings(4222).unwrap()
    }

    #[test]
    fn it_is_off_unless_told_and_has_a_default_address() {
        assert_eq!(read(""), None);
        let origin = "--websocket-origin http://a";
        for line in [format!("--websocket {origin}"), format!("{origin} --websocket")] {
            let settings = read(&line).unwrap();
            assert_eq!(settings.url(), "ws://127.0.0.1:4280", "{line}");
            assert_eq!(settings.origins.len(), 1, "{line}");
        }
        assert_eq!(read("--websocket 8080").unwrap().url(), "ws://127.0.0.1:8080");
    }

    #[test]
    fn one_port_serves_one_protocol() {
        let line = Line::try_parse_from(["--websocket", "4222"]).unwrap();
        let refused = line.websocket.settings(4222).unwrap_err().text();
        assert!(refused.contains("cannot both use port 4222"), "{refused}");
    }
}
