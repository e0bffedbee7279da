//! Logging in as a member of a network in secure mode (PROTOCOL.md sections 23.3 and 23.8).

use std::path::Path;
use std::sync::Arc;

use agentnet_keys::{MemberIdentity, MemberJwts};
use agentnet_protocol::nats_key::Credentials;
use agentnet_protocol::nkey::{Nkey, is_nonce};
use agentnet_protocol::subject::{
    REGISTRY_ACCOUNT_PREFIX, connection_inbox_prefix, join_inbox_prefix, registry_inbox_prefix,
};
use async_nats::{Auth, AuthError, ConnectOptions};

use crate::renewal::Renewal;

/// The account of a member, and the key that the broker knows it by.
#[derive(Clone)]
pub struct MemberLogin {
    account_id: Arc<str>,
    nkey: Arc<Nkey>,
    inbox_prefix: Arc<str>,
    jwt: JwtSource,
}

/// Where the JWT comes from that is shown with the nkey, on a network in operator mode.
#[derive(Clone)]
enum JwtSource {
    /// The server knows the nkey itself.
    None,
    /// Made for each connection by whoever has the key of the network's account.
    Made(Arc<dyn Fn() -> Option<String> + Send + Sync>),
    /// Asked for at each connection.
    Renewed(Arc<Renewal>),
}

impl std::fmt::Debug for MemberLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberLogin")
            .field("account_id", &self.account_id)
            .finish_non_exhaustive()
    }
}

impl PartialEq for MemberLogin {
    fn eq(&self, other: &Self) -> bool {
        self.account_id == other.account_id && self.nkey.public() == other.nkey.public()
    }
}

impl Eq for MemberLogin {}

impl MemberLogin {
    /// A member with an account id and its nkey.
    #[must_use]
    pub fn new(account_id: &str, nkey: Nkey) -> Self {
        // Registries publish below the inboxes of others, so they have one apart.
        let inbox_prefix = match account_id.starts_with(REGISTRY_ACCOUNT_PREFIX) {
            true => registry_inbox_prefix(account_id),
            false => connection_inbox_prefix(account_id),
        };
        Self::with_inbox(account_id, Arc::new(nkey), &inbox_prefix)
    }

    /// The member with this identity; `file` is where the identity is kept, if it is.
    #[must_use]
    pub fn of_identity(identity: &MemberIdentity, file: Option<&Path>) -> Self {
        let mut login = Self::new(&identity.account_id, identity.nkey());
        let jwts = MemberJwts::of(identity, file);
        if jwts != MemberJwts::default() {
            let (account_id, nkey) = (Arc::clone(&login.account_id), Arc::clone(&login.nkey));
            let renewal = Renewal::new(account_id, nkey, jwts, file.map(Path::to_owned));
            login.jwt = JwtSource::Renewed(Arc::new(renewal));
        }
        login
    }

    /// The credential of an invite, which can enrol a member and do nothing else. It publishes as the invite's id.
    #[must_use]
    pub fn of_invite(invite_id: &str, join_seed: &[u8; 32]) -> Self {
        let nkey = Arc::new(Nkey::from_seed(join_seed));
        Self::with_inbox(invite_id, nkey, &join_inbox_prefix(invite_id))
    }

    pub(crate) fn with_inbox(account_id: &str, nkey: Arc<Nkey>, inbox_prefix: &str) -> Self {
        Self {
            account_id: account_id.into(),
            nkey,
            inbox_prefix: inbox_prefix.into(),
            jwt: JwtSource::None,
        }
    }

    /// With this JWT, whatever else comes.
    #[must_use]
    pub fn with_jwt(self, jwt: String) -> Self {
        self.with_made_jwt(move || Some(jwt.clone()))
    }

    /// With a JWT that is made for each connection.
    #[must_use]
    pub fn with_made_jwt(mut self, make: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.jwt = JwtSource::Made(Arc::new(make));
        self
    }

    /// The account that the broker proves.
    #[must_use]
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// Below it are the inboxes of its connections.
    pub(crate) fn inbox_prefix(&self) -> String {
        self.inbox_prefix.to_string()
    }

    /// The public key by which the broker knows it.
    #[must_use]
    pub fn public_nkey(&self) -> String {
        self.nkey.public()
    }

    /// Options of a connection that signs the nonce of each server that it comes to. A JWT that is asked for at each connection
    /// comes from `renew`.
    pub(crate) fn options<F>(&self, renew: impl Fn(Arc<Renewal>) -> F + Clone + Send + Sync + 'static) -> ConnectOptions
    where
        F: Future<Output = Option<String>> + Send + 'static,
    {
        let login = self.clone();
        ConnectOptions::with_auth_callback(move |nonce| {
            let (nkey, source, renew) = (Arc::clone(&login.nkey), login.jwt.clone(), renew.clone());
            async move {
                let jwt = match source {
                    JwtSource::None => None,
                    JwtSource::Made(make) => make(),
                    // In a task of its own: what this waits for may not be shared by threads, as the client asks for.
                    JwtSource::Renewed(renewal) => tokio::spawn(renew(renewal)).await.ok().flatten(),
                };
                sign(&nonce, nkey.public(), jwt, |nonce| nkey.sign(nonce))
            }
        })
    }
}

/// Options of a connection with the credentials of a user that is no member: of the system account.
pub(crate) fn credentials_options(credentials: &Arc<Credentials>) -> ConnectOptions {
    let credentials = Arc::clone(credentials);
    ConnectOptions::with_auth_callback(move |nonce| {
        let Credentials { jwt, key } = credentials.as_ref();
        let auth = sign(&nonce, key.public(), jwt.clone(), |nonce| key.sign(nonce));
        async move { auth }
    })
}

/// A false server could have any text signed as its nonce, so only what looks like one is.
fn sign(
    nonce: &[u8],
    public: String,
    jwt: Option<String>,
    sign: impl FnOnce(&[u8]) -> [u8; 64],
) -> Result<Auth, AuthError> {
    let is_nonce = std::str::from_utf8(nonce).is_ok_and(is_nonce);
    if !is_nonce {
        return Err(AuthError::new(
            "the server sent no nonce that can be signed: it is not a network in secure mode",
        ));
    }
    let mut auth = Auth::new();
    auth.nkey = Some(public);
    auth.jwt = jwt;
    auth.signature = Some(sign(nonce).to_vec());
    Ok(auth)
}
