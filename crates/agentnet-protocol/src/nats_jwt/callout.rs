//! Authorization callouts: what a server asks about a client that connects, and the answer.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::{Claims, JwtError, VerifiedJwt, signed};
use crate::json::{Object, ObjectWriter};
use crate::nats_key::{self, KeyKind, NatsKey};
use crate::nkey::is_nonce;

/// The audience of a request: its `aud`.
const AUDIENCE: &str = "nats-authorization-request";
/// Bytes of a member that are read.
const MAX_TEXT_BYTES: usize = 256;

/// What a server asks. The client has proven to hold the key: its signature of the server's nonce was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRequest {
    /// Public key of the server, for which the answer is.
    pub server: String,
    /// The key that the answer has to be about: the server has made it for this connection.
    pub user: String,
    /// The nkey of the client.
    pub nkey: String,
    /// The number of the connection at the server.
    pub connection: u64,
    /// How it connects, as the server calls it: `nats`, `websocket`, `mqtt`.
    pub transport: String,
}

/// Why a client does not get in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalloutError {
    /// The request is none of a server.
    #[error("the request for an authorization cannot be used: {0}")]
    Request(#[from] JwtError),
    /// The client has shown no nkey.
    #[error("no nkey was shown")]
    NoKey,
    /// The client does not hold the nkey that it has shown.
    #[error("the nonce is not signed by the nkey")]
    Signature,
}

/// Reads a request, and checks that the client holds its nkey: the server does not, since it does not know the nkey.
///
/// # Errors
/// [`CalloutError`]
pub fn authorization_request(token: &str) -> Result<AuthorizationRequest, CalloutError> {
    let request = VerifiedJwt::read(token)?;
    let nats = request.check_type("authorization_request")?;
    let claims = request.claims().ok_or(JwtError::Form)?;
    if claims.get("aud").as_str().is_none_or(|audience| audience != AUDIENCE) {
        return Err(JwtError::Member("aud").into());
    }
    let server = text(&member(&nats, "server_id")?, "id").ok_or(JwtError::Member("server_id"))?;
    if nats_key::kind_of(&server) != Some(KeyKind::Server) || server != request.issuer {
        return Err(JwtError::Member("server_id").into());
    }
    let user = text(&nats, "user_nkey").filter(|user| nats_key::kind_of(user) == Some(KeyKind::User));
    let user = user.ok_or(JwtError::Member("user_nkey"))?;
    let (client, options) = (member(&nats, "client_info")?, member(&nats, "connect_opts")?);
    let nkey = text(&options, "nkey").ok_or(CalloutError::NoKey)?;
    let (nonce, signature) = (text(&client, "nonce"), text(&options, "sig"));
    let (Some(nonce), Some(signature)) = (nonce.filter(|nonce| is_nonce(nonce)), signature) else {
        return Err(CalloutError::Signature);
    };
    // As the server reads it.
    let signature = URL_SAFE_NO_PAD
        .decode(&signature)
        .or_else(|_| STANDARD.decode(&signature));
    let is_held = nats_key::kind_of(&nkey) == Some(KeyKind::User)
        && signature.is_ok_and(|signature| nats_key::verify(&nkey, nonce.as_bytes(), &signature));
    if !is_held {
        return Err(CalloutError::Signature);
    }
    Ok(AuthorizationRequest {
        connection: client.get("id").raw().parse().unwrap_or_default(),
        transport: text(&client, "type").unwrap_or_default(),
        server,
        user,
        nkey,
    })
}

fn member<'a>(object: &Object<'a>, name: &'static str) -> Result<Object<'a>, JwtError> {
    object.get(name).as_object().ok_or(JwtError::Member(name))
}

/// A text that is not empty and not too long.
fn text(object: &Object<'_>, name: &str) -> Option<String> {
    let text = object.get(name).as_str()?;
    (!text.is_empty() && text.len() <= MAX_TEXT_BYTES).then(|| text.into_owned())
}

/// The answer to a request: the JWT of the user, or why there is none, which the server logs.
///
/// # Errors
/// [`JwtError::Signer`]
pub fn authorization_response(
    request: &AuthorizationRequest,
    outcome: Result<&str, &str>,
    issued_at: i64,
    signer: &NatsKey,
) -> Result<String, JwtError> {
    if signer.kind() != KeyKind::Account {
        return Err(JwtError::Signer(KeyKind::Account));
    }
    let claims = Claims {
        subject: &request.user,
        audience: Some(&request.server),
        name: "",
        issued_at,
        expires_at: None,
    };
    let mut nats = ObjectWriter::with_capacity(4096);
    match outcome {
        Ok(jwt) => nats.text("jwt", jwt),
        Err(why) => nats.text("error", why),
    };
    Ok(signed(&claims, &mut nats, "authorization_response", signer))
}
