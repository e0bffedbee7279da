//! The configuration file of the nats-server child, readable by its owner only. A file keeps the token out of the process list.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use agentnet_nats::IDENTITY_SCHEME;
use agentnet_registry::CONTROL_LINE_BYTES;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::address::{host_port, is_loopback, local_host};
use super::websocket::WebSocketSettings;
use crate::exit::Failure;

/// Characters to escape in the user part of a URL.
const USERINFO_ESCAPES: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b':')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b',');

/// Who may connect to a server.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// Everybody who has this token; each may do everything.
    Token(String),
    /// The members of a network in secure mode, each with rights of its own.
    Members {
        /// The file with the users, relative to the configuration file.
        users: PathBuf,
        /// Where the server writes its process id.
        pid: PathBuf,
        /// The identity file of the registry, by which this program reaches the server.
        registry: PathBuf,
    },
    /// The same, by JWTs: the server is in operator mode.
    Operator {
        /// Operator, accounts and resolver.
        config: String,
        /// Where the server writes its process id.
        pid: PathBuf,
        /// The identity file of the registry.
        registry: PathBuf,
    },
}

/// Addresses, access and files of a server.
#[derive(Debug, Clone)]
pub(crate) struct ServerSettings {
    /// The server name, by which its greeting is recognised.
    pub(crate) name: String,
    /// Address to listen on.
    pub(crate) host: String,
    /// Port to listen on.
    pub(crate) port: u16,
    /// Who may connect.
    pub(crate) access: Access,
    /// Port of the HTTP monitoring pages, if they are served.
    pub(crate) monitor_port: Option<u16>,
    /// The listener for browsers, if there is one.
    pub(crate) websocket: Option<WebSocketSettings>,
    /// Directory of the JetStream files.
    pub(crate) store_dir: PathBuf,
    /// The log file; rotated files are kept beside it.
    pub(crate) log: PathBuf,
}

impl ServerSettings {
    /// Writes the configuration file with mode 0600.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        // Opening an existing file does not change its mode.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        file.write_all(self.text().as_bytes())
    }

    fn text(&self) -> String {
        let mut text = format!(
            "# Written by `agentnet up` at every start: changes are lost.\n\
             server_name: {}\n\
             listen: {}\n\
             {}\
             # What comes faster than it is written waits; by itself the server drops it beyond 10,000 messages.\n\
             jetstream {{ store_dir: {}, sync_interval: \"10s\", max_buffered_msgs: 1000000, \
             max_buffered_size: 256MB }}\n\
             log_file: {}\n\
             logfile_size_limit: 16MB\n\
             logfile_max_num: 3\n",
            quoted(&self.name),
            quoted(&host_port(&self.host, self.port)),
            self.access.text(),
            quoted(&self.store_dir.to_string_lossy()),
            quoted(&self.log.to_string_lossy()),
        );
        if let Some(port) = self.monitor_port {
            text += &format!("http: {}\n", quoted(&host_port(self.monitor_host(), port)));
        }
        if let Some(websocket) = &self.websocket {
            text += &websocket_block(websocket);
        }
        text
    }

    /// The address of the monitoring pages. They need no token, so they are served on this machine only.
    pub(crate) fn monitor_host(&self) -> &str {
        if is_loopback(&self.host) {
            &self.host
        } else {
            "127.0.0.1"
        }
    }

    /// The URL for this program, with its credential.
    pub(crate) fn url(&self) -> String {
        match &self.access {
            Access::Token(token) => format!(
                "nats://{}@{}",
                utf8_percent_encode(token, USERINFO_ESCAPES),
                host_port(local_host(&self.host), self.port)
            ),
            Access::Members { registry, .. } | Access::Operator { registry, .. } => {
                format!("{IDENTITY_SCHEME}{}", registry.display())
            }
        }
    }

    /// The URL for clients on this machine, without a credential.
    pub(crate) fn plain_url(&self) -> String {
        format!("nats://{}", host_port(local_host(&self.host), self.port))
    }

    /// The token that clients must send, if it is by a token that they get in.
    pub(crate) fn token(&self) -> Option<&str> {
        match &self.access {
            Access::Token(token) => Some(token),
            Access::Members { .. } | Access::Operator { .. } => None,
        }
    }
}

impl Access {
    /// The part of the configuration, with its line break.
    ///
    /// The system account has no users: nobody may use it. No user is the default, so a client without a credential is refused.
    fn text(&self) -> String {
        match self {
            Self::Token(token) => format!("authorization {{ token: {} }}\n", quoted(token)),
            Self::Members { users, pid, .. } => format!(
                "pid_file: {}\n\
                 max_control_line: 64KB\n\
                 max_connections: 10000\n\
                 system_account: SYS\n\
                 accounts {{\n    SYS {{ users: [] }}\n    AGENTNET {{\n        jetstream: enabled\n        \
                 include {}\n    }}\n}}\n",
                quoted(&pid.to_string_lossy()),
                quoted(&users.to_string_lossy()),
            ),
            Self::Operator { config, pid, .. } => format!(
                "pid_file: {}\nmax_control_line: {CONTROL_LINE_BYTES}\nmax_connections: 10000\n{config}",
                quoted(&pid.to_string_lossy()),
            ),
        }
    }
}

/// `websocket { … }`.
fn websocket_block(websocket: &WebSocketSettings) -> String {
    let (same_origin, origins) = websocket.accepted();
    let origins: Vec<String> = origins.iter().map(|origin| quoted(origin)).collect();
    let tls = match &websocket.tls {
        Some(files) => format!(
            "tls {{ cert_file: {}, key_file: {} }}",
            quoted(&files.cert.to_string_lossy()),
            quoted(&files.key.to_string_lossy())
        ),
        None => "no_tls: true".to_owned(),
    };
    format!(
        "websocket {{\n    host: {}\n    port: {}\n    {tls}\n    same_origin: {same_origin}\n    allowed_origins: [{}]\n}}\n",
        quoted(&websocket.address.host),
        websocket.address.port,
        origins.join(", ")
    )
}

/// Checks that the server and a URL can carry the token: printable, without white space.
pub(crate) fn check_token(token: &str) -> Result<(), Failure> {
    let problem = if token.is_empty() {
        "it is empty"
    } else if token.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "it has white space in it"
    } else if ["$2a$", "$2b$", "$2x$", "$2y$"]
        .iter()
        .any(|mark| token.starts_with(mark))
    {
        "the server would take it for a bcrypt hash"
    } else {
        return Ok(());
    };
    Err(Failure::refused(format!("this token cannot be used: {problem}"))
        .hint("letters and digits are safest, e.g. --token \"$(openssl rand -hex 24)\""))
}

/// A string of the server's configuration language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests;
