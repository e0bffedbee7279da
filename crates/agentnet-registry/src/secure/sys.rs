//! What this registry asks of the servers' system account: the JWT of an account, another one in its place, and the end of
//! connections.

use std::path::Path;
use std::time::Duration;

use agentnet_nats::{NatsUrl, dial, is_refusal};
use agentnet_protocol::nats_key::Credentials;
use async_nats::Client;
use bytes::Bytes;
use futures::StreamExt as _;
use serde::Deserialize;

use super::jwt_issuer::{read_private, unusable};
use crate::error::StartError;

/// The name under which the server lists the connection.
const NAME: &str = "agentnet-registry-system";
/// How long a server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The servers of a cluster have answered when none has for this long.
const QUIET_TIME: Duration = Duration::from_millis(250);
/// Connections of one name that a server lists.
const MAX_LISTED: u32 = 1024;

/// A connection to the system account.
#[derive(Debug, Clone)]
pub(crate) struct Sys {
    client: Client,
}

/// A connection of a client, at one of the servers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClientConnection {
    pub(crate) server: String,
    pub(crate) number: u64,
}

#[derive(Deserialize)]
struct UpdateAnswer {
    error: Option<UpdateError>,
}

#[derive(Deserialize)]
struct UpdateError {
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Connz {
    server: Server,
    data: Option<Connections>,
}

#[derive(Deserialize)]
struct Server {
    id: String,
}

#[derive(Deserialize)]
struct Connections {
    #[serde(default)]
    connections: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    cid: u64,
}

impl Sys {
    /// Connects to the servers of this URL with the credentials in a file. It reconnects for ever.
    pub(crate) async fn connect(url: &NatsUrl, credentials: &Path) -> Result<Self, StartError> {
        const FLAG: &str = "--sys-creds";
        let text = read_private(credentials, FLAG)?;
        let read = Credentials::parse(&text).map_err(|error| unusable(credentials, FLAG, &error))?;
        let url = url.clone().with_credentials(read);
        let options = || agentnet_nats::options(&url, NAME);
        let client = tokio::time::timeout(url.connect_timeout(), dial(&url, options)).await;
        let client = client.map_err(|_| StartError::Authority(format!("no answer from {}", url.redacted())))?;
        let client = client.map_err(|error| match is_refusal(&error) {
            true => StartError::Authority(format!(
                "{FLAG} {}: the servers refuse this user; it must be one of the system account",
                credentials.display()
            )),
            false => StartError::Authority(format!("cannot connect to NATS at {}: {error}", url.redacted())),
        })?;
        Ok(Self { client })
    }

    /// The JWT of an account, as the servers have it.
    pub(crate) async fn account_jwt(&self, account: &str) -> Result<String, String> {
        let answer = self
            .ask(format!("$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP"), Bytes::new())
            .await?;
        String::from_utf8(answer.into()).map_err(|_| "the account's JWT is no text".to_owned())
    }

    /// Puts another JWT in the place of an account's; every server of the cluster gets it.
    pub(crate) async fn update_account(&self, jwt: String) -> Result<(), String> {
        let answer = self.ask("$SYS.REQ.CLAIMS.UPDATE".to_owned(), jwt.into()).await?;
        let answer: UpdateAnswer = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        match answer.error {
            None => Ok(()),
            Some(error) => Err(error.description),
        }
    }

    async fn ask(&self, subject: String, body: Bytes) -> Result<Bytes, String> {
        let request = async_nats::Request::new().payload(body).timeout(Some(ANSWER_TIMEOUT));
        let answer = self.client.send_request(subject.clone(), request).await;
        answer
            .map(|message| message.payload)
            .map_err(|error| format!("the servers do not answer {subject}: {error}"))
    }

    /// Ends a connection.
    pub(crate) async fn kick(&self, connection: &ClientConnection) {
        let ClientConnection { server, number } = connection;
        let body = format!("{{\"cid\":{number}}}");
        if let Err(error) = self.ask(format!("$SYS.REQ.SERVER.{server}.KICK"), body.into()).await {
            tracing::warn!(%error, server, number, "a connection may go on");
        }
    }

    /// The connections with this name of a user, at all servers.
    pub(crate) async fn connections_of(&self, name: &str) -> Result<Vec<ClientConnection>, String> {
        let inbox = self.client.new_inbox();
        let failed = |error: &dyn std::fmt::Display| format!("connections cannot be listed: {error}");
        let mut answers = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| failed(&error))?;
        let body = serde_json::json!({ "auth": true, "user": name, "limit": MAX_LISTED });
        let asked = self
            .client
            .publish_with_reply("$SYS.REQ.SERVER.PING.CONNZ", inbox, body.to_string().into());
        asked.await.map_err(|error| failed(&error))?;
        let mut found = Vec::new();
        let mut patience = ANSWER_TIMEOUT;
        while let Ok(Some(answer)) = tokio::time::timeout(patience, answers.next()).await {
            patience = QUIET_TIME;
            let Ok(Connz { server, data }) = serde_json::from_slice(&answer.payload) else {
                continue;
            };
            let listed = data.into_iter().flat_map(|data| data.connections);
            found.extend(listed.map(|connection| ClientConnection {
                server: server.id.clone(),
                number: connection.cid,
            }));
        }
        Ok(found)
    }
}
