//! The nats-server of `agentnet up`: its ports, its access, its start.

use std::net::TcpListener;
use std::path::PathBuf;

use agentnet_registry::RegistryConfig;

use super::locate::{self, NatsProgram};
use super::lock::LockedDataDir;
use super::nats::NatsServer;
use super::nats_config::{Access, ServerSettings};
use super::secure::{Mode, SecureFiles};
use super::websocket::WebSocketSettings;
use crate::exit::Failure;

/// A server that runs as a child process.
pub(crate) struct OwnBroker {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) token: String,
    pub(crate) mode: Mode,
    pub(crate) monitor_port: Option<u16>,
    pub(crate) websocket: Option<WebSocketSettings>,
    pub(crate) program: Option<PathBuf>,
}

/// The nats-server child and its settings.
pub(crate) struct OwnServer {
    pub(crate) server: NatsServer,
    pub(crate) program: NatsProgram,
    pub(crate) settings: ServerSettings,
}

impl OwnServer {
    /// Starts the server; in secure mode, with the credentials that it needs first.
    pub(crate) async fn start(
        own: OwnBroker,
        data_dir: &LockedDataDir,
        config: &RegistryConfig,
        note: &mut impl FnMut(String),
    ) -> Result<(Self, Option<SecureFiles>), Failure> {
        let OwnBroker {
            host, mut websocket, ..
        } = own;
        SecureFiles::check(data_dir, own.mode, config)?;
        let program = locate::find(own.program.as_deref(), &mut *note).await?;
        let port = choose_ports(&host, own.port, websocket.as_mut())?;
        let secure = SecureFiles::of(data_dir, own.mode, config.authority.as_ref())?;
        if let Some(websocket) = &websocket {
            websocket.lost_origins(&program.version).into_iter().for_each(note);
        }
        let access = secure.as_ref().map(SecureFiles::access).transpose()?;
        let settings = ServerSettings {
            name: format!("agentnet-up-{}", std::process::id()),
            port,
            host,
            access: access.unwrap_or(Access::Token(own.token)),
            monitor_port: own.monitor_port,
            websocket,
            store_dir: data_dir.join("jetstream"),
            log: data_dir.join("nats-server.log"),
        };
        if let Some(secure) = &secure {
            secure.prepare(&config.server_id, settings.plain_url())?;
        }
        let server = NatsServer::start(program.clone(), settings.clone(), data_dir.join("nats.conf")).await?;
        let own = Self {
            server,
            program,
            settings,
        };
        Ok((own, secure))
    }
}

/// A free port, other than `taken`.
fn free_port(host: &str, flag: &str, taken: u16) -> Result<u16, Failure> {
    loop {
        let port = TcpListener::bind((host.trim_matches(['[', ']']), 0))
            .and_then(|listener| listener.local_addr())
            .map(|address| address.port())
            .map_err(|error| {
                Failure::error(format!("cannot listen on {host}: {error}")).hint(format!(
                    "{flag} must be an address of this machine; 127.0.0.1 is the default"
                ))
            })?;
        if port != taken {
            return Ok(port);
        }
    }
}

/// The ports of NATS and of the WebSocket, each 0 replaced by a free one.
fn choose_ports(host: &str, port: u16, websocket: Option<&mut WebSocketSettings>) -> Result<u16, Failure> {
    let named = websocket.as_ref().map_or(0, |websocket| websocket.address.port);
    let port = match port {
        0 => free_port(host, "--host", named)?,
        port => port,
    };
    if let Some(WebSocketSettings { address, .. }) = websocket
        && address.port == 0
    {
        address.port = free_port(&address.host, "--websocket", port)?;
    }
    Ok(port)
}
