//! Options from a URL, and the first connection.

use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::rpc::{RenewReply, RenewRequest, Request as _, decode_reply};
use agentnet_protocol::subject::{issued, join_inbox_prefix};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Request, rustls};

use crate::member::{MemberLogin, credentials_options};
use crate::renewal::Renewal;
use crate::url::{Login, NatsUrl};

/// The name of the connection that asks for a new JWT, in the server's list.
const RENEWAL_NAME: &str = "agentnet-renewal";
/// How long a renewal may take. The server waits for the credential meanwhile: two seconds by default.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(1);

/// A server of a `tls://` URL that has sent nothing for this time may be one that waits for the TLS handshake.
const TLS_FIRST_AFTER: Duration = Duration::from_millis(300);

/// When a member that was refused tries once more. A server that reads its users again refuses every client that has not sent its
/// credentials yet.
const REFUSED_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What every connection has in common: credentials and inbox prefix of the URL, the timeout of one attempt, and reconnection
/// without end. The server lists the connection under `name`.
#[must_use]
pub fn options(url: &NatsUrl, name: &str) -> ConnectOptions {
    let options = match url.login() {
        Login::Member(member) => {
            let url = url.clone();
            member.options(move |renewal| renewed_jwt(renewal, url.clone()))
        }
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
/// as servers have it by default; one that says nothing, or nothing that is understood, is met with the handshake first. A member
/// that is refused tries once more after a tenth of a second: the server may have read its users again just then.
///
/// # Errors
/// What the client says.
pub async fn dial(url: &NatsUrl, options: impl Fn() -> ConnectOptions) -> Result<Client, async_nats::ConnectError> {
    match dial_once(url, &options).await {
        Err(error) if is_refusal(&error) && url.member().is_some() => {
            tokio::time::sleep(REFUSED_AGAIN_AFTER).await;
            dial_once(url, &options).await
        }
        outcome => outcome,
    }
}

async fn dial_once(url: &NatsUrl, options: &impl Fn() -> ConnectOptions) -> Result<Client, async_nats::ConnectError> {
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

/// The JWT of a member for a connection to these servers: a new one if a registry answers.
async fn renewed_jwt(renewal: Arc<Renewal>, servers: NatsUrl) -> Option<String> {
    match tokio::time::timeout(RENEWAL_TIMEOUT, ask_for_jwt(&renewal, servers)).await {
        Ok(Ok(reply)) => renewal.keep(reply).await,
        Ok(Err(error)) => tracing::debug!(%error, "the credential is not renewed"),
        Err(_) => tracing::debug!("the credential is not renewed: no registry answered in time"),
    }
    renewal.jwt()
}

async fn ask_for_jwt(renewal: &Renewal, servers: NatsUrl) -> Result<RenewReply, String> {
    let account_id = renewal.account_id();
    let renewal_jwt = renewal.renewal_jwt().ok_or("there is no credential for it")?;
    let login = MemberLogin::with_inbox(account_id, Arc::clone(renewal.nkey()), &join_inbox_prefix(account_id));
    let url = servers.with_member(login.with_jwt(renewal_jwt));
    let client = dial(&url, || options(&url, RENEWAL_NAME)).await;
    let client = client.map_err(|error| error.to_string())?;
    let request = Request::new()
        .payload(RenewRequest.encode().into())
        .timeout(Some(RENEWAL_TIMEOUT));
    let reply = client
        .send_request(issued(&RenewRequest::subject(), account_id), request)
        .await;
    let reply = reply.map_err(|error| error.to_string())?;
    decode_reply::<RenewRequest>(&reply.payload).map_err(|error| error.to_string())
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
