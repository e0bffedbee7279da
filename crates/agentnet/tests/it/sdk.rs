//! The high-level SDK and the wrapper on a real server with a real registry (PROTOCOL.md section 17).

mod asking;
mod history;
mod streaming;
mod wrapper;

use agentnet::{AgentNode, AgentSdk};

use crate::net::generous;
use crate::realm::Realm;

/// An SDK agent with this username that only sends, running.
async fn sdk(realm: &Realm, name: &str) -> AgentSdk {
    let agent = AgentSdk::builder(name).username(name).nats_url(realm.nats.url());
    agent.ignore_environment().limits(generous).start().await.unwrap()
}

/// An agent that answers every text with the same text in capitals, and fails on demand.
async fn shouter(realm: &Realm, name: &str) -> AgentNode {
    let agent = realm
        .agent(name)
        .capabilities(["shout"])
        .on_message(|message, context| async move {
            let text = message.text().unwrap_or_default();
            match &*text {
                "fail" => return Err("told to".into()),
                "refuse" => {
                    let refusal = agentnet::json!({ "error": "out_of_milk", "detail": "buy some" });
                    context.reply(refusal).await?;
                }
                _ if message.wants_reply() => {
                    context.reply(agentnet::json!({ "text": text.to_uppercase() })).await?;
                }
                _ => {}
            }
            Ok(())
        });
    agent.start().await.unwrap()
}
