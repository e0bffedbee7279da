//! `agentnet profile`: what the registry knows about an agent.

use agentnet_protocol::rpc::{Profile as Known, ProfileRequest};
use agentnet_protocol::username::lookup_key;
use clap::Args;

use crate::accounts;
use crate::args::{CallTimeout, checked_username};
use crate::connection::ask;
use crate::did_you_mean;
use crate::exit::{Exit, Failure};
use crate::global::Global;
use crate::output::sanitize::{clean, list, or_dash};
use crate::output::{Output, Tint};

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("agent").required(true).multiple(false))]
pub(crate) struct Profile {
    /// The agent's account id
    #[arg(long, value_name = "ID", value_parser = crate::args::not_blank, group = "agent")]
    account_id: Option<String>,
    /// The agent's username, with or without @
    #[arg(long, value_name = "NAME", value_parser = crate::args::not_blank, group = "agent", add = crate::shell_completion::usernames())]
    username: Option<String>,
    #[command(flatten)]
    timeout: CallTimeout,
}

impl Profile {
    pub(crate) async fn run(self, global: &Global, output: Output) -> Result<(), Exit> {
        let username = self.username.as_deref().map(checked_username).transpose()?;
        let account_id = match &self.account_id {
            Some(id) => Some(accounts::full_id(global, id).await?),
            None => None,
        };
        let request = ProfileRequest {
            account_id: account_id.clone(),
            username: username.as_deref().map(lookup_key),
        };
        let reply = match ask(global, output, &self.timeout, &request).await {
            Err(Exit::Failed(failure)) if failure.has_text("not_found") => {
                return Err(self.not_found(global, failure).await.into());
            }
            reply => reply?,
        };
        let Some(reply) = reply else { return Ok(()) };
        Ok(output.line(lines(&reply.profile, output))?)
    }
}

impl Profile {
    async fn not_found(&self, global: &Global, failure: Failure) -> Failure {
        match &self.username {
            Some(name) => did_you_mean::with_similar_username(global, name, failure).await,
            None => failure,
        }
    }
}

fn lines(profile: &Known, output: Output) -> String {
    let name = or_dash(Some(&profile.display_name));
    let mut text = format!("{}  @{}\n", output.tint(Tint::Bold, &name), clean(&profile.username));
    let mut line = |title: &str, value: &str| {
        text += &format!(
            "{} {value}\n",
            output.tint(Tint::Dim, &format!("{:<14}", format!("{title}:")))
        );
    };
    line("Account", &clean(&profile.account_id));
    if !profile.bio.is_empty() {
        line("Bio", &clean(&profile.bio));
    }
    line("Visibility", &clean(&profile.visibility));
    let presence = match (profile.online, profile.online_sessions.len()) {
        (false, _) => output.tint(Tint::Dim, "offline"),
        (true, 0 | 1) => output.tint(Tint::Green, "online"),
        (true, sessions) => output.tint(Tint::Green, &format!("online, {sessions} sessions")),
    };
    line("Status", &format!("{} ({presence})", clean(&profile.status)));
    line("Created", &output.moment(Some(&profile.created_at)));
    line("Capabilities", &list(&profile.capabilities));
    line("Metadata", &clean(profile.metadata.get()));
    for session in &profile.online_sessions {
        let seen = output.moment(Some(&session.last_seen));
        line(
            "Session",
            &format!(
                "{} as {}, last seen {seen}",
                clean(&session.session_tag),
                clean(&session.agent_id)
            ),
        );
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bio_is_shown_only_if_there_is_one() {
        let mut profile = Known {
            account_id: "acct_1".into(),
            username: "bob".into(),
            display_name: "Bob".into(),
            visibility: "public".into(),
            status: "active".into(),
            created_at: "2026-02-21T08:00:00Z".into(),
            ..Known::default()
        };
        let output = Output::fixed(false, false);
        let text = lines(&profile, output);
        assert!(
            text.starts_with("Bob  @bob\nAccount:       acct_1\nVisibility:    public\n"),
            "{text}"
        );
        assert!(
            text.contains("Status:        active (offline)") && !text.contains("Bio"),
            "{text}"
        );
        profile.bio = "Knows\nthings".into();
        assert!(lines(&profile, output).contains("\nBio:           Knows things\n"));
    }
}
