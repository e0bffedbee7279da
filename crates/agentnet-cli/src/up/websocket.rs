//! The WebSocket listener of the nats-server child, by which browsers join: its address, certificate and allowed origins.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use super::address::{host_port, is_loopback, local_host};
use crate::exit::Failure;

/// The address without a value of `--websocket`.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:4280";
const DEFAULT_HOST: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 4280;

/// An address to listen on: `HOST:PORT`, `HOST` or `PORT`, an IPv6 address with a port in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenAddress {
    /// Host name or IP address, without brackets.
    pub(crate) host: String,
    /// Port; 0 takes a free one.
    pub(crate) port: u16,
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (host, port) = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            (DEFAULT_HOST, parse_port(text)?)
        } else if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            (text, DEFAULT_PORT)
        } else {
            match text.rsplit_once(':') {
                Some((host, port)) => (host, parse_port(port)?),
                None => (text, DEFAULT_PORT),
            }
        };
        let host = host.trim_matches(['[', ']']);
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(is_host) || (host.contains(':') && host.parse::<IpAddr>().is_err()) {
            return Err("it is no address; expected HOST:PORT, like 127.0.0.1:4280".to_owned());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("`{text}` is no port"))
}

/// The origin of web pages: scheme, host and port, as browsers write it in the header `Origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebOrigin(String);

impl WebOrigin {
    /// `scheme://host`, with the port unless it is the scheme's own.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, with its brackets if it is an IPv6 address.
    fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        match rest.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => rest,
        }
    }
}

impl FromStr for WebOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.contains('*') {
            return Err("there are no patterns: name each origin, like http://localhost:8080".to_owned());
        }
        let expected = "expected the scheme, host and port of the page, like http://localhost:8080";
        let url = Url::parse(text).map_err(|problem| format!("{problem}; {expected}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(format!("it is no http:// or https:// URL; {expected}"));
        }
        let has_more = !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some();
        if has_more || !url.username().is_empty() || url.password().is_some() {
            return Err(format!("an origin has no path, parameters or user; {expected}"));
        }
        Ok(Self(url.origin().ascii_serialization()))
    }
}

/// Certificate and key of the listener, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificate, followed by those of its issuers.
    pub(crate) cert: PathBuf,
    /// The private key of the certificate.
    pub(crate) key: PathBuf,
}

/// The address that nats-server listens on for WebSocket connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebSocketSettings {
    /// Where it listens.
    pub(crate) address: ListenAddress,
    /// For `wss://`; `None` for `ws://`.
    pub(crate) tls: Option<TlsFiles>,
    /// Origins of the pages that may connect. Clients that are no browsers send none, and need only the token.
    pub(crate) origins: Vec<WebOrigin>,
}

impl WebSocketSettings {
    /// Checks what nats-server would report badly or not at all.
    ///
    /// # Errors
    /// Other machines can reach the address, and there is no TLS; certificate or key cannot be read.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let host = &self.address.host;
        let Some(tls) = &self.tls else {
            if is_loopback(host) {
                return Ok(());
            }
            return Err(Failure::refused(format!(
                "{host} can be reached from other machines, and a WebSocket without TLS shows them the token and every message"
            ))
            .hint(
                "give it a certificate with --websocket-tls-cert FILE and --websocket-tls-key FILE, or stay on this machine \
                 with --websocket 127.0.0.1:4280 and let a reverse proxy with TLS lead there (docs/OPERATIONS.md, Browsers)",
            ));
        };
        for (file, flag) in [(&tls.cert, "--websocket-tls-cert"), (&tls.key, "--websocket-tls-key")] {
            std::fs::read(file).map_err(|error| {
                Failure::refused(format!("{flag} {} cannot be read: {error}", file.display()))
                    .hint("name a PEM file that this user can read")
            })?;
        }
        Ok(())
    }

    /// The URL for this machine, without a token.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        format!(
            "{scheme}://{}",
            host_port(local_host(&self.address.host), self.address.port)
        )
    }

    /// What the server is to accept: `same_origin` and `allowed_origins` of its configuration.
    ///
    /// An empty list and no `same_origin` would let in the pages of every site. `same_origin` alone would let in a page whose
    /// host name has been pointed to this address (DNS rebinding). So without named origins both are set, and the list has
    /// the listener's own address, where no page is served.
    pub(crate) fn accepted(&self) -> (bool, Vec<String>) {
        if self.origins.is_empty() {
            return (true, vec![self.url().replacen("ws", "http", 1)]);
        }
        let origins = self.origins.iter().map(|origin| origin.as_str().to_owned());
        (false, origins.collect())
    }

    /// A note if this version of nats-server loses one of the origins: older ones keep one for each host.
    pub(crate) fn lost_origins(&self, version: &str) -> Option<String> {
        let mut hosts: Vec<&str> = self.origins.iter().map(WebOrigin::host).collect();
        hosts.sort_unstable();
        let twice = hosts.windows(2).find(|pair| pair[0] == pair[1])?[0];
        (!keeps_every_origin(version)).then(|| {
            format!(
                "warning: nats-server {version} keeps one origin for each host, the last one named, and {twice} is named more \
                 than once; 2.11.14, 2.12.5 and 2.14 keep all"
            )
        })
    }
}

fn keeps_every_origin(version: &str) -> bool {
    let mut numbers = version
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok())
        .chain(std::iter::repeat(0));
    let mut next = || numbers.next().unwrap_or_default();
    match (next(), next(), next()) {
        (2, 11, patch) => patch >= 14,
        (2, 12, patch) => patch >= 5,
        (major, minor, _) => (major, minor) >= (2, 14),
    }
}

#[cfg(test)]
mod tests;
