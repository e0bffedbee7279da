//! A network in secure mode through the real binary: `up --secure`, `invite`, `join`, `members`, `grant`, `revoke`.

mod authorities;
mod credentials;
mod denied;
mod invites;
mod messages;
mod modes;
mod rights;

use serde_json::Value;
use tokio::process::Command;

use crate::harness::{Ran, Service, Up, agentnet, binary, run};

/// A running network in secure mode.
struct Network {
    up: Up,
}

impl Network {
    async fn start() -> Self {
        Self {
            up: Up::start_with("--secure").await,
        }
    }

    /// The URL of a member of this data directory.
    fn member(&self, username: &str) -> String {
        format!("identity:{}", self.identity_file(username).display())
    }

    fn identity_file(&self, username: &str) -> std::path::PathBuf {
        self.up.data.join("identities").join(format!("{username}.json"))
    }

    fn operator(&self) -> String {
        format!("identity:{}", self.up.data.join("secure/operator.json").display())
    }

    /// `agentnet WORDS…`, which finds its credential in the data directory.
    fn command(&self, words: &str) -> Command {
        let mut command = binary();
        command
            .env("AGENTNET_DATA_DIR", &self.up.data)
            .args(words.split_whitespace());
        command
    }

    async fn line(&self, words: &str) -> Ran {
        run(self.command(words)).await
    }

    /// The code of an invite.
    async fn invite(&self, words: &str) -> String {
        self.line(&format!("invite {words}")).await.ok().trim().to_owned()
    }

    /// Joins with a code; the identity is kept in the data directory.
    async fn join(&self, code: &str) -> Ran {
        self.line(&format!("join {code}")).await
    }

    /// Invites and joins. Returns the account id.
    async fn add(&self, words: &str) -> String {
        let code = self.invite(words).await;
        let joined = self.line(&format!("join {code} --json")).await.json();
        joined["account_id"].as_str().unwrap().to_owned()
    }

    /// An echo agent of a member.
    async fn echo(&self, options: &str) -> Service {
        let service = Service::spawn(self.command(&format!("echo {options}")));
        service.says("is online as").await;
        service
    }

    /// The entry of a member in `agentnet members`.
    async fn record(&self, username: &str) -> Value {
        let listed = self.line("members --json").await.json();
        let members = listed["members"].as_array().unwrap();
        let found = members.iter().find(|member| member["username"] == username);
        found.unwrap_or_else(|| panic!("no @{username} in {listed}")).clone()
    }
}

/// `agentnet --json --nats-url URL request --to-username NAME 1`, with three seconds to answer.
async fn request(url: &str, to: &str) -> Ran {
    agentnet(url, ["--json", "request", "--timeout", "3", "--to-username", to, "1"]).await
}
