//! A registry of an older version, for the commands that it does not know.

use agentnet::protocol::Timestamp;
use agentnet_testkit::{NatsServer, RawClient};
use futures::StreamExt as _;
use serde_json::json;

/// Answers as a registry of an older version: it knows the accounts `cli_tester` and `bob`, and neither mailboxes nor tasks.
pub async fn start(nats: &NatsServer) -> tokio::task::JoinHandle<()> {
    let client = RawClient::connect(&nats.url()).await.unwrap();
    let mut questions = Vec::new();
    for name in ["register", "resolve_account", "metrics", "profile", "list"] {
        questions.push(client.subscribe(format!("registry.{name}")).await.unwrap());
    }
    client.flush().await.unwrap();
    let mut questions = futures::stream::select_all(questions);
    tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            let now = Timestamp::from(std::time::SystemTime::now()).to_string();
            let answer = match question.subject.as_str() {
                "registry.register" => json!({ "account_id": "acct_me", "username": "cli_tester", "session_tag": "s1",
                                               "heartbeat_interval": 12.0, "ttl_seconds": 40.0, "registered_at": now }),
                "registry.resolve_account" => {
                    json!({ "account_id": "acct_bob", "username": "bob", "generated_at": now })
                }
                "registry.metrics" => {
                    json!({ "server_id": "old", "latency_ms": {}, "handlers": {}, "generated_at": now })
                }
                "registry.list" => json!({ "agents": [], "generated_at": now }),
                _ => json!({ "error": "not_found" }),
            };
            let reply = question.reply.unwrap();
            client.publish(reply, answer.to_string().into()).await.unwrap();
        }
    })
}
