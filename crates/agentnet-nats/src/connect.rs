//! Options from a URL, and the first connection.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, rustls};

use crate::member::credentials_options;
use crate::url::{Login, NatsUrl};

/// A server of a `tls://` URL that has sent nothing for this time may be one that waits for the TLS handshake.
const TLS_FIRST_AFTER: Duration = Duration::from_millis(300);

/// What every connection has in common: credentials and inbox prefix of the URL, the timeout of one attempt, and reconnection
/// without end. The server lists the connection under `name`.
#[must_use]
pub fn options(url: &NatsUrl, name: &str) -> ConnectOptions {
    let options = match url.login() {
        Login::Member(member) => member.options(url),
        Login::Credentials(credentials) => credentials_options(credentials),
        _ => ConnectOptions::new(),
    };
    let options = options
        .name(name)
        .custom_inbox_prefix(url.inbox_prefix())
        .connection_timeout(url.attempt_timeout())
        .max_reconnects(None);
    match url.login() {
        Login::None | Login::Member(_) | Login::Credentials(_) => options,
        Login::Token(token) => options.token(token.clone()),
        Login::User { name, password } => options.user_and_password(name.clone(), password.clone()),
    }
}

/// Connects by the options that `options` makes. Where the URL asks for TLS, the handshake comes behind the server's first word,
/// as servers have it by default; one that says nothing, or nothing that is understood, is met with the handshake first.
///
/// # Errors
/// What the client says.
pub async fn dial(url: &NatsUrl, options: impl Fn() -> ConnectOptions) -> Result<Client, async_nats::ConnectError> {
    let servers = || url.servers().to_vec();
    let mut plain = pin!(options().connect(servers()));
    if !url.is_tls() {
        return plain.await;
    }
    let mut failed = match tokio::time::timeout(TLS_FIRST_AFTER, &mut plain).await {
        Ok(Err(error)) if !is_refusal(&error) => Some(error),
        Ok(outcome) => return outcome,
        Err(_) => None,
    };
    let mut tls_first = pin!(options().tls_first().connect(servers()));
    let mut failed_first = None;
    loop {
        tokio::select! {
            outcome = &mut plain, if failed.is_none() => match outcome {
                Err(error) if !is_refusal(&error) => failed = Some(error),
                outcome => return outcome,
            },
            outcome = &mut tls_first, if failed_first.is_none() => match outcome {
                Err(error) if !is_refusal(&error) => failed_first = Some(error),
                outcome => return outcome,
            },
        }
        // A server that does not want the handshake first sends something that is no TLS.
        if let (Some(plain), Some(first)) = (&failed, &failed_first) {
            let no_tls = matches!(tls_error(first), Some(rustls::Error::InvalidMessage(_)))
                || matches!(tls_error(plain), Some(rustls::Error::InvalidCertificate(_)));
            return Err(if no_tls { failed } else { failed_first }.unwrap_or_else(|| ConnectErrorKind::Io.into()));
        }
    }
}

/// Whether the server refused the credentials.
#[must_use]
pub fn is_refusal(error: &async_nats::ConnectError) -> bool {
    matches!(
        error.kind(),
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation
    )
}

/// The error of the TLS handshake that an error comes from, if it comes from one. An `io::Error` shows its content by
/// `get_ref` only: `source` skips it.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let content = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match content {
            Some(content) => Some(content as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}
