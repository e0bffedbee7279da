//! What was sent is in the history, whatever is killed meanwhile: the registry as a process of its own, and nats-server.

use std::time::{Duration, Instant};

use agentnet::protocol::rpc::ThreadStatusRequest;
use agentnet::{AgentNode, RegistryClient, json};
use agentnet_testkit::{NatsServer, TestDatabase, eventually};
use rustix::process::Signal;

use crate::harness::{Service, WAIT_TIMEOUT, binary, history};

/// Long enough for messages that a killed registry had fetched to be delivered again, which takes 10 s.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(100);

async fn registry(nats: &NatsServer, database: &TestDatabase) -> Service {
    let mut command = binary();
    command
        .args(["--nats-url", &nats.url(), "registry", "--database-url"])
        .arg(database.url());
    let mut service = Service::spawn(command);
    assert!(service.next_line().await.starts_with("registry ready:"));
    service
}

async fn caught_up(registry: &RegistryClient, thread: &str, messages: i64) {
    let look = async || {
        let request = ThreadStatusRequest {
            thread_id: thread.to_owned(),
            ..Default::default()
        };
        match registry.call(&request).await {
            Ok(status) if status.thread.message_count >= messages => Ok(()),
            Ok(status) => Err(format!("{} of {messages} messages", status.thread.message_count)),
            Err(error) => Err(error.to_string()),
        }
    };
    eventually(CATCH_UP_TIMEOUT, look).await.unwrap();
}

/// 20,000 messages at 2,000/s, the registry killed with SIGKILL in the middle and started again three seconds later.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_registry_loses_and_doubles_nothing() {
    const MESSAGES: usize = 20_000;
    const PER_SECOND: usize = 2_000;
    let database = TestDatabase::start().await.unwrap();
    let nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let mut first = registry(&nats, &database).await;
    let sender = AgentNode::builder("sender").nats_url(nats.url()).start().await.unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let mut sent = Vec::with_capacity(MESSAGES);
    let mut second = None;
    for tick in 0..MESSAGES / (PER_SECOND / 100) {
        pace.tick().await;
        for _ in 0..PER_SECOND / 100 {
            let send = sender
                .send_to_account("acct_far_away", json!({ "n": sent.len() }))
                .thread("flood");
            sent.push(send.without_ack().await.unwrap().message_id);
        }
        match tick {
            300 => {
                first.signal(Signal::KILL);
                first.ended().await;
            }
            600 => second = Some(registry(&nats, &database).await),
            _ => {}
        }
    }
    let mut second = second.unwrap();
    let client = RegistryClient::connect(&nats.url())
        .await
        .unwrap()
        .with_timeout(WAIT_TIMEOUT);
    caught_up(&client, "flood", MESSAGES as i64).await;
    let found = history(&client, "flood").await;
    let missing = sent.iter().filter(|id| found.get(*id) != Some(&1)).count();
    assert_eq!((found.len(), missing), (MESSAGES, 0));
    sender.close().await;
    second.signal(Signal::TERM);
    assert!(second.ended().await.success());
}

/// At least `MIN_SAFE_ACKS` messages are acknowledged `SAFE_ACK_AGE` or longer before the server is killed.
const MIN_SAFE_ACKS: usize = 500;
const SAFE_ACK_AGE: Duration = Duration::from_secs(1);

/// nats-server killed with SIGKILL while messages flow, then started on the same files.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_loses_nothing_that_was_acknowledged_a_second_before() {
    let database = TestDatabase::start().await.unwrap();
    let mut nats = NatsServer::builder().jetstream(true).start().await.unwrap();
    let mut service = registry(&nats, &database).await;
    let receiver = AgentNode::builder("receiver")
        .username("receiver")
        .nats_url(nats.url())
        .limits(|limits| limits.rate_limit_per_sender_per_sec = 1e6)
        .limits(|limits| limits.rate_limit_burst = 1_000_000)
        .on_message(|_, _| async { Ok(()) })
        .start()
        .await
        .unwrap();
    let sender = AgentNode::builder("sender").nats_url(nats.url()).start().await.unwrap();
    let mut sent = Vec::new();
    // Until the last of those that must be there is old enough.
    while sent
        .get(MIN_SAFE_ACKS - 1)
        .is_none_or(|(_, at): &(String, Instant)| at.elapsed() < SAFE_ACK_AGE)
    {
        let done = sender
            .send("@receiver", json!({ "n": sent.len() }))
            .thread("broker")
            .await
            .unwrap();
        sent.push((done.message_id, Instant::now()));
    }
    nats.kill9();
    let killed = Instant::now();
    nats.restart().await.unwrap();
    // The agents come back by themselves: a send goes through again.
    let again = async || {
        sender
            .send("@receiver", json!({ "again": true }))
            .thread("broker")
            .await
            .map(drop)
    };
    eventually(WAIT_TIMEOUT, again).await.unwrap();
    let certain: Vec<&String> = sent
        .iter()
        .filter(|(_, at)| killed - *at >= SAFE_ACK_AGE)
        .map(|(id, _)| id)
        .collect();
    assert!(
        certain.len() >= MIN_SAFE_ACKS,
        "{} of {} sends",
        certain.len(),
        sent.len()
    );
    let client = RegistryClient::connect(&nats.url())
        .await
        .unwrap()
        .with_timeout(WAIT_TIMEOUT);
    let look = async || {
        let found = history(&client, "broker").await;
        let missing = certain.iter().filter(|id| found.get(**id) != Some(&1)).count();
        if missing == 0 {
            Ok(())
        } else {
            Err(format!("{missing} of {} are missing", certain.len()))
        }
    };
    eventually(CATCH_UP_TIMEOUT, look).await.unwrap();
    receiver.close().await;
    sender.close().await;
    service.signal(Signal::TERM);
    assert!(service.ended().await.success());
}
