//! What comes on a subject, as JSON.

use agentnet_testkit::Capture;
use serde_json::Value;

use super::{DEADLINE, Network};

/// What comes on a subject.
pub(crate) struct Heard(Capture);

impl Heard {
    pub(crate) async fn receipts(net: &Network, account_id: &str) -> Self {
        Self::on(net, &format!("account.{account_id}.receipts")).await
    }

    /// The events of an account: `mailbox`, or `task`.
    pub(crate) async fn events(net: &Network, account_id: &str, kind: &str) -> Self {
        Self::on(net, &format!("agentnet.events.{account_id}.{kind}")).await
    }

    pub(crate) async fn on(net: &Network, subject: &str) -> Self {
        Self(Capture::subscribe(&net.client, subject).await.unwrap())
    }

    /// The first body with these members.
    pub(crate) async fn with(&self, members: &[(&str, &str)]) -> Value {
        let read = |payload: &[u8]| serde_json::from_slice::<Value>(payload).unwrap();
        let found = self.0.wait_for(
            |message| {
                let body = read(&message.payload);
                members.iter().all(|(name, value)| body[name] == *value)
            },
            DEADLINE,
        );
        let found = found
            .await
            .unwrap_or_else(|error| panic!("{members:?}: {error}; {:?}", self.all()));
        read(&found.payload)
    }

    pub(crate) fn all(&self) -> Vec<Value> {
        let messages = self.0.messages();
        messages
            .iter()
            .map(|message| serde_json::from_slice(&message.payload).unwrap())
            .collect()
    }

    /// The texts of one member of all bodies, in their order.
    pub(crate) fn texts(&self, member: &str) -> Vec<String> {
        let text = |body: &Value| body[member].as_str().unwrap_or_default().to_owned();
        self.all().iter().map(text).collect()
    }
}
