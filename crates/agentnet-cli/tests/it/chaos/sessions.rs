//! Who is online according to the registries, meanwhile and at the end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use agentnet::RegistryClient;
use agentnet::protocol::rpc::ListRequest;
use agentnet_testkit::eventually;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::chaos::network::RECEIVER;
use crate::harness::WAIT_TIMEOUT;

/// Time between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Any of the registries may answer: after so many equal answers in a row all of them have, but for one chance in 10⁸.
const CONSISTENT_REPLIES: usize = 50;

/// An agent that must be online.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) username: String,
    /// Absent where any session will do.
    pub(crate) session_tag: Option<String>,
}

/// One look at who is online.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) at: Instant,
    /// Senders that were missing, though they ran all the time; or why there was no answer.
    pub(crate) missing: Result<usize, String>,
}

/// Asks who is online again and again, as any client would.
pub(crate) struct Prober {
    looks: JoinHandle<Vec<Look>>,
    enough: oneshot::Sender<()>,
}

impl Prober {
    pub(crate) async fn start(url: &str, senders: Vec<String>) -> Self {
        let client = RegistryClient::connect(url).await.unwrap();
        let (enough, told) = oneshot::channel();
        let looks = tokio::spawn(look_on(client, senders, told));
        Self { looks, enough }
    }

    pub(crate) async fn stop(self) -> Vec<Look> {
        let _ = self.enough.send(());
        self.looks.await.unwrap()
    }
}

async fn look_on(client: RegistryClient, senders: Vec<String>, mut enough: oneshot::Receiver<()>) -> Vec<Look> {
    let mut pace = interval(POLL_INTERVAL);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = Vec::new();
    loop {
        tokio::select! {
            _ = &mut enough => return looks,
            _ = pace.tick() => {}
        }
        let at = Instant::now();
        let missing = match client.call(&ListRequest::default()).await {
            Ok(reply) => {
                let online: BTreeSet<String> = reply.agents.into_iter().filter_map(|agent| agent.session_tag).collect();
                Ok(senders.iter().filter(|tag| !online.contains(*tag)).count())
            }
            Err(error) => Err(error.to_string()),
        };
        looks.push(Look { at, missing });
    }
}

/// Waits until the registries and the database agree that exactly these agents are online, one session each.
pub(crate) async fn only(client: &RegistryClient, database: &str, agents: &[Agent]) -> Option<String> {
    let registries = async || {
        for _ in 0..CONSISTENT_REPLIES {
            let reply = client.call(&ListRequest::default()).await;
            let online = reply.map_err(|error| error.to_string())?.agents.into_iter();
            let online = online.map(|agent| (agent.username, agent.session_tag));
            same(agents, online.collect()).map_err(|problem| format!("registry.list: {problem}"))?;
        }
        Ok::<_, String>(())
    };
    if let Err(error) = eventually(WAIT_TIMEOUT, registries).await {
        return Some(error.to_string());
    }
    let store = agentnet_store::open(database, &agentnet_store::OpenOptions::default())
        .await
        .unwrap();
    let stored = async || {
        let online = store.online_sessions().await.map_err(|error| error.to_string())?;
        let online = online
            .into_iter()
            .map(|session| (session.username, Some(session.session_tag)));
        same(agents, online.collect()).map_err(|problem| format!("the database: {problem}"))
    };
    let outcome = eventually(WAIT_TIMEOUT, stored).await;
    store.close().await;
    outcome.err().map(|error| error.to_string())
}

fn same(agents: &[Agent], mut online: Vec<(Option<String>, Option<String>)>) -> Result<(), String> {
    for agent in agents {
        let found = online.iter().position(|(username, tag)| {
            username.as_ref() == Some(&agent.username) && (agent.session_tag.is_none() || *tag == agent.session_tag)
        });
        match found {
            Some(place) => drop(online.remove(place)),
            None => return Err(format!("{agent:?} is not online")),
        }
    }
    match online.as_slice() {
        [] => Ok(()),
        ghosts => Err(format!(
            "ghosts are online: {ghosts:?} (the {RECEIVER} was killed once)"
        )),
    }
}
