//! Server addresses: `nats://TOKEN@host:port` (PROTOCOL.md section 1).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use agentnet_keys::MemberIdentity;
use agentnet_protocol::nats_key::Credentials;
use agentnet_protocol::subject::{CONNECTION_INBOX_PREFIX, routable_account};

use crate::member::MemberLogin;

/// The address that agents and the command line use when none is given.
pub const DEFAULT_NATS_URL: &str = "nats://agentnet_secret_token@localhost:4222";
/// The seed's development token. Never use it beyond one machine.
pub const DEVELOPMENT_TOKEN: &str = "agentnet_secret_token";

/// The scheme of a URL that names an identity file.
pub const IDENTITY_SCHEME: &str = "identity:";

/// How to log in.
#[derive(Clone)]
pub enum Login {
    /// No credentials in the URL.
    None,
    /// A user part without a password is a server token.
    Token(String),
    /// A user part with a password.
    User {
        /// User name, percent-decoded.
        name: String,
        /// Password of the user, percent-decoded.
        password: String,
    },
    /// As a member of a network in secure mode, by its nkey (PROTOCOL.md section 23.3).
    Member(MemberLogin),
    /// As a user with an nkey, and a JWT in operator mode, that is no member: of the system account.
    Credentials(Arc<Credentials>),
}

impl PartialEq for Login {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Token(own), Self::Token(other)) => own == other,
            (
                Self::User { name, password },
                Self::User {
                    name: other,
                    password: with,
                },
            ) => (name, password) == (other, with),
            (Self::Member(own), Self::Member(other)) => own == other,
            (Self::Credentials(own), Self::Credentials(other)) => own.key.public() == other.key.public(),
            _ => false,
        }
    }
}

impl Eq for Login {}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(***)",
            Self::User { .. } => "User(***)",
            Self::Member(_) => "Member(***)",
            Self::Credentials(_) => "Credentials(***)",
        })
    }
}

/// One or more servers of a network and how to log in there.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsUrl {
    servers: Vec<String>,
    login: Login,
}

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid NATS URL {shown}: {problem}; expected nats://TOKEN@HOST:PORT")]
pub struct NatsUrlError {
    shown: String,
    problem: String,
}

impl NatsUrl {
    /// Reads one address, or several separated by commas. A bare `host:port` is taken as `nats://host:port`. `identity:FILE` names
    /// the servers and the credential of an identity file (PROTOCOL.md section 23.3), which is read now.
    ///
    /// # Errors
    /// [`NatsUrlError`], which never shows the token.
    pub fn parse(text: &str) -> Result<Self, NatsUrlError> {
        match text.trim().strip_prefix(IDENTITY_SCHEME) {
            Some(path) => Self::of_identity_file(text, Path::new(path)),
            None => Self::parse_servers(text),
        }
    }

    fn of_identity_file(text: &str, path: &Path) -> Result<Self, NatsUrlError> {
        match MemberIdentity::load(path) {
            Ok(Some(identity)) => Self::of_login(&identity, MemberLogin::of_identity(&identity, Some(path))),
            Ok(None) => Err(error(
                text,
                "there is no such identity file; `agentnet join CODE` makes one from an invite",
            )),
            Err(problem) => Err(error(text, problem)),
        }
    }

    /// The servers of a member's network, to log in there as the member.
    ///
    /// # Errors
    /// [`NatsUrlError`]: the identity names no server, or one that cannot be used.
    pub fn of_member(identity: &MemberIdentity) -> Result<Self, NatsUrlError> {
        Self::of_login(identity, MemberLogin::of_identity(identity, None))
    }

    fn of_login(identity: &MemberIdentity, login: MemberLogin) -> Result<Self, NatsUrlError> {
        Ok(Self::parse_servers(&identity.urls.join(","))?.with_member(login))
    }

    fn parse_servers(text: &str) -> Result<Self, NatsUrlError> {
        let mut servers = Vec::new();
        let mut login = Login::None;
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (server, found) = parse_one(part)?;
            servers.push(server);
            if login == Login::None {
                login = found;
            }
        }
        if servers.is_empty() {
            return Err(error(text, "it is empty"));
        }
        Ok(Self { servers, login })
    }

    /// The servers, without credentials.
    #[must_use]
    pub fn servers(&self) -> &[String] {
        &self.servers
    }

    /// Whether a server is to be reached by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.servers.iter().any(|server| server.starts_with("tls://"))
    }

    /// How long one server may take to accept a connection. One of several that accepts and says nothing leaves time for the
    /// others.
    #[must_use]
    pub fn attempt_timeout(&self) -> Duration {
        Duration::from_secs(if self.servers.len() > 1 { 2 } else { 3 })
    }

    /// How long all of them together may take: each once.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        let servers = u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        match servers {
            0 | 1 => self.attempt_timeout(),
            _ => self.attempt_timeout().saturating_mul(servers) + Duration::from_secs(1),
        }
    }

    /// The same servers, to log in there as a member of a network in secure mode. Credentials of the URL are dropped.
    #[must_use]
    pub fn with_member(mut self, member: MemberLogin) -> Self {
        self.login = Login::Member(member);
        self
    }

    /// The same servers, to log in there with an nkey that is no member's.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.login = Login::Credentials(Arc::new(credentials));
        self
    }

    /// In secure mode, the account that everything is published as: the last token of each subject (PROTOCOL.md section 23.1).
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        match &self.login {
            Login::Member(member) => Some(member.account_id()),
            _ => None,
        }
    }

    /// The member that logs in, in secure mode.
    #[must_use]
    pub fn member(&self) -> Option<&MemberLogin> {
        match &self.login {
            Login::Member(member) => Some(member),
            _ => None,
        }
    }

    /// How to log in.
    #[must_use]
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Below it are the inboxes of a connection to this address: with a user name that can be part of a subject, inboxes of that
    /// user's own, which NATS permissions can keep from others; else those of all.
    #[must_use]
    pub fn inbox_prefix(&self) -> String {
        match &self.login {
            Login::Member(member) => member.inbox_prefix(),
            Login::User { name, .. } if routable_account(name) => format!("{CONNECTION_INBOX_PREFIX}.{name}"),
            _ => CONNECTION_INBOX_PREFIX.to_owned(),
        }
    }

    /// The address for people to read: credentials hidden.
    #[must_use]
    pub fn redacted(&self) -> String {
        let hidden = match self.login {
            Login::None | Login::Member(_) | Login::Credentials(_) => "",
            Login::Token(_) => "***@",
            Login::User { .. } => "***:***@",
        };
        let servers: Vec<String> = self
            .servers
            .iter()
            .map(|server| server.replacen("://", &format!("://{hidden}"), 1))
            .collect();
        servers.join(",")
    }
}

impl std::fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.redacted())
    }
}

fn parse_one(text: &str) -> Result<(String, Login), NatsUrlError> {
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("nats://{text}")
    };
    let url = Url::parse(&full).map_err(|problem| error(text, problem))?;
    if matches!(url.scheme(), "ws" | "wss") {
        let problem = format_args!("`{}` is for browsers; this program connects over TCP", url.scheme());
        return Err(error(text, problem));
    }
    if !matches!(url.scheme(), "nats" | "tls") {
        return Err(error(text, format_args!("scheme `{}` is not supported", url.scheme())));
    }
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return Err(error(text, "it has no host"));
    };
    let decode = |part: &str| {
        percent_decode_str(part)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| error(text, "its credentials are not UTF-8"))
    };
    let login = match (url.username(), url.password()) {
        ("", None) => Login::None,
        (token, None) => Login::Token(decode(token)?),
        (name, Some(password)) => Login::User {
            name: decode(name)?,
            password: decode(password)?,
        },
    };
    Ok((
        format!("{}://{host}:{}", url.scheme(), url.port().unwrap_or(4222)),
        login,
    ))
}

fn error(text: &str, problem: impl std::fmt::Display) -> NatsUrlError {
    // Whatever stands before an `@` may be a secret.
    let shown = match text.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before
                .split_once("://")
                .map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("`{scheme}***@{host}`")
        }
        None => format!("`{text}`"),
    };
    NatsUrlError {
        shown,
        problem: problem.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_part_without_password_is_a_token() {
        let url = NatsUrl::parse("nats://s%40cret@localhost:4333").unwrap();
        assert_eq!(url.servers(), ["nats://localhost:4333"]);
        assert_eq!(*url.login(), Login::Token("s@cret".into()));
        assert_eq!(url.redacted(), "nats://***@localhost:4333");
    }

    #[test]
    fn addresses_are_read_in_every_common_form() {
        for (text, servers, login) in [
            ("localhost", vec!["nats://localhost:4222"], Login::None),
            ("nats://[::1]:4000", vec!["nats://[::1]:4000"], Login::None),
            (
                "tls://u:p@h",
                vec!["tls://h:4222"],
                Login::User {
                    name: "u".into(),
                    password: "p".into(),
                },
            ),
            (
                "nats://t@a:1, nats://t@b:2",
                vec!["nats://a:1", "nats://b:2"],
                Login::Token("t".into()),
            ),
        ] {
            let url = NatsUrl::parse(text).unwrap();
            assert_eq!(url.servers(), servers, "{text}");
            assert_eq!(*url.login(), login, "{text}");
        }
    }

    #[test]
    fn users_have_inboxes_of_their_own() {
        for (text, expected) in [
            ("h", "_AGENTNET"),
            ("nats://tok@h", "_AGENTNET"),
            ("nats://alice:p@h", "_AGENTNET.alice"),
            ("nats://a%2Eb:p@h", "_AGENTNET"),
            ("nats://%3E:p@h", "_AGENTNET"),
            ("nats://a%20b:p@h", "_AGENTNET"),
        ] {
            assert_eq!(NatsUrl::parse(text).unwrap().inbox_prefix(), expected, "{text}");
        }
    }

    #[test]
    fn each_of_several_servers_gets_its_time() {
        for (text, attempt, all) in [("a", 3, 3), ("a,b", 2, 5), ("a,tls://b,c", 2, 7)] {
            let url = NatsUrl::parse(text).unwrap();
            assert_eq!(url.attempt_timeout(), Duration::from_secs(attempt), "{text}");
            assert_eq!(url.connect_timeout(), Duration::from_secs(all), "{text}");
            assert_eq!(url.is_tls(), text.contains("tls"), "{text}");
        }
    }

    #[test]
    fn bad_addresses_are_told_without_the_token() {
        for text in ["http://tok@h", "", "nats://", "nats://tok@h:notaport", "nats://tok@"] {
            let error = NatsUrl::parse(text).unwrap_err().to_string();
            assert!(!error.contains("tok@"), "{error}");
            assert!(error.contains("expected nats://TOKEN@HOST:PORT"), "{error}");
        }
        let error = NatsUrl::parse("ws://tok@127.0.0.1:4280").unwrap_err().to_string();
        assert!(
            error.contains("`ws` is for browsers") && error.contains("`ws://***@127.0.0.1:4280`"),
            "{error}"
        );
    }
}
