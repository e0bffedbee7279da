//! A plain NATS client for tests that send and receive raw messages.

use std::io;

use async_nats::{Client, ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;

/// A plain NATS connection, made from the same URLs that agents use.
#[derive(Debug)]
pub struct RawClient;

impl RawClient {
    /// Connects to `url`, `nats://[TOKEN@]host:port`, or to one of several that are separated by commas and take the
    /// credentials of the first.
    ///
    /// A user part without a password is a server token (PROTOCOL.md section 1); with a password the two are user and
    /// password. Both may be percent-encoded.
    ///
    /// # Errors
    /// [`RawClientError::Url`] for text that is not a NATS URL, [`RawClientError::Connect`] when the server cannot be
    /// reached or refuses the connection.
    pub async fn connect(url: &str) -> Result<Client, RawClientError> {
        let (first, others) = url
            .split_once(',')
            .map_or((url, None), |(first, others)| (first, Some(others)));
        let (options, address) = connect_options(first)?;
        let mut addresses = vec![address];
        for other in others.into_iter().flat_map(|others| others.split(',')) {
            addresses.push(connect_options(other)?.1);
        }
        Ok(options.connect(addresses).await?)
    }
}

/// Connecting a [`RawClient`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RawClientError {
    /// Not a NATS URL.
    #[error("{url:?} is not a NATS URL like nats://token@127.0.0.1:4222: {source}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The server did not accept the connection.
    #[error("cannot connect to NATS: {0}")]
    Connect(#[from] async_nats::ConnectError),
}

/// The options with the credentials of `url`, and its address without them.
fn connect_options(url: &str) -> Result<(ConnectOptions, ServerAddr), RawClientError> {
    let bad = |source| RawClientError::Url {
        url: url.to_owned(),
        source,
    };
    let mut address = url.parse::<ServerAddr>().map_err(bad)?.into_inner();
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = decode(address.username());
    let options = match address.password().map(decode) {
        Some(password) => ConnectOptions::with_user_and_password(user, password),
        None if user.is_empty() => ConnectOptions::new(),
        None => ConnectOptions::with_token(user),
    };
    // Fails only for a URL without a host, which the next line refuses.
    let _ = address.set_password(None);
    let _ = address.set_username("");
    let address = ServerAddr::from_url(address).map_err(bad)?;
    if address.host().is_empty() {
        return Err(bad(io::Error::new(io::ErrorKind::InvalidInput, "it names no host")));
    }
    Ok((options, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_address() {
        for url in [
            "nats://secret@127.0.0.1:4333",
            "nats://me:pw@127.0.0.1:4333",
            "nats://127.0.0.1:4333",
        ] {
            let (_, address) = connect_options(url).unwrap();
            assert_eq!(address.as_url_str(), "nats://127.0.0.1:4333", "{url}");
        }
    }

    #[test]
    fn what_is_no_nats_url_is_refused() {
        for url in ["http://127.0.0.1:4222", "nats://", "nats://host:notaport", ""] {
            let error = connect_options(url).unwrap_err();
            assert!(matches!(error, RawClientError::Url { .. }), "{url:?}: {error}");
        }
    }
}
