//! Registers the run's two accounts and looks up the agent under test.

use std::time::Duration;

use agentnet_protocol::target::{Target, Verb};
use async_nats::Client;
use serde_json::{Value, json};

use crate::error::ConformanceError;
use crate::unique_names::RunSuffix;

/// The accounts that take part in a run.
#[derive(Debug)]
pub(super) struct Participants {
    pub(super) agent: Agent,
    /// The sender of most messages.
    pub(super) peer: Account,
    /// A second sender.
    pub(super) stranger: Account,
}

/// The agent under test.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) account_id: String,
    /// Agent id and session tag, where the registry lists the agent.
    pub(super) listed: Option<(String, String)>,
}

/// An account that the run registered.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) account_id: String,
    pub(super) session_tag: String,
}

impl Participants {
    pub(super) async fn join(
        client: &Client,
        run: &RunSuffix,
        to: &str,
        capability: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, ConformanceError> {
        let ask = async |rpc, request| ask(client, rpc, request, timeout).await;
        let account_id = match Target::parse_node(to, Verb::Request) {
            Ok(Target::Account(account_id)) => account_id.to_string(),
            Ok(Target::Username(username)) => {
                let reply = ask("resolve_account", json!({ "username": username.to_string() })).await?;
                text(&reply, "account_id", "resolve_account")?
            }
            _ => {
                let why = "name it as @username or by its account id".to_owned();
                let account_id = to.to_owned();
                return Err(ConformanceError::NoAgent { account_id, why });
            }
        };
        let listed = ask("list", json!({})).await?;
        let agents = listed["agents"].as_array().map_or(&[][..], Vec::as_slice);
        if let Some(capability) = capability {
            let offers = |agent: &Value| {
                let offered = agent["capabilities"].as_array().into_iter().flatten();
                agent["account_id"] != account_id.as_str() && offered.into_iter().any(|offer| *offer == capability)
            };
            if let Some(other) = agents.iter().find(|agent| offers(agent)) {
                let why = format!(
                    "{} offers {capability} too: name a capability of its own",
                    other["account_id"]
                );
                return Err(ConformanceError::NoAgent { account_id, why });
            }
        }
        let sessions = agents.iter();
        let sessions: Vec<&Value> = sessions
            .filter(|agent| agent["account_id"] == account_id.as_str())
            .collect();
        if sessions.len() > 1 {
            let count = sessions.len();
            let why = format!("it has {count} sessions, which share its messages: stop all but one");
            return Err(ConformanceError::NoAgent { account_id, why });
        }
        let listed = sessions
            .first()
            .and_then(|agent| Some((agent["agent_id"].as_str()?, agent["session_tag"].as_str()?)))
            .map(|(agent_id, session_tag)| (agent_id.to_owned(), session_tag.to_owned()));
        let register = async |name: &str| {
            let username = format!("{name}_{}", run.letters());
            let request = json!({ "agent_id": "conformance", "name": "Conformance", "username": username });
            let reply = ask("register", request).await?;
            Ok::<_, ConformanceError>(Account {
                account_id: text(&reply, "account_id", "register")?,
                session_tag: text(&reply, "session_tag", "register")?,
            })
        };
        Ok(Self {
            agent: Agent { account_id, listed },
            peer: register("conformance").await?,
            stranger: register("conformance_stranger").await?,
        })
    }

    /// Ends both sessions.
    pub(super) async fn leave(&self, client: &Client) -> Result<(), ConformanceError> {
        for account in [&self.peer, &self.stranger] {
            let goodbye = json!({ "agent_id": "conformance", "session_tag": account.session_tag });
            let sent = client.publish("registry.goodbye", goodbye.to_string().into()).await;
            sent.map_err(ConformanceError::connection)?;
        }
        client.flush().await.map_err(ConformanceError::connection)
    }
}

async fn ask(client: &Client, rpc: &'static str, request: Value, timeout: Duration) -> Result<Value, ConformanceError> {
    let silent = |why: String| ConformanceError::NoRegistry { rpc, why };
    let asked = async_nats::Request::new()
        .timeout(Some(timeout))
        .payload(request.to_string().into());
    let message = client.send_request(format!("registry.{rpc}"), asked).await;
    let message = message.map_err(|error| silent(error.to_string()))?;
    let reply: Value = serde_json::from_slice(&message.payload).map_err(|error| silent(error.to_string()))?;
    match reply.get("error") {
        Some(error) => Err(ConformanceError::Refused {
            rpc,
            error: error.as_str().map_or_else(|| error.to_string(), str::to_owned),
        }),
        None => Ok(reply),
    }
}

fn text(reply: &Value, member: &str, rpc: &'static str) -> Result<String, ConformanceError> {
    let missing = || ConformanceError::Refused {
        rpc,
        error: format!("the reply has no {member}: {reply}"),
    };
    reply[member].as_str().map(str::to_owned).ok_or_else(missing)
}
