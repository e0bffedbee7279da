//! Creates accounts and live sessions for a registry.

use std::time::{Duration, Instant};

use agentnet::json;
use agentnet::protocol::rpc::MetricsRequest;
use agentnet_testkit::RawClient;
use bytes::Bytes;

use crate::Failure;
use crate::database::Database;
use crate::network::{Network, Registry};

const ONLINE_TIMEOUT: Duration = Duration::from_secs(180);
/// Hellos that are sent before the registry must have handled them.
const HELLO_BATCH: u64 = 5_000;

/// Inserts accounts into the table, like those of registrations.
pub(crate) async fn fill_accounts(database: &Database, accounts: u64) -> Result<(), Failure> {
    if accounts == 0 {
        return Ok(());
    }
    let postgres = format!(
        "INSERT INTO agent_accounts (account_id, username, display_name, capabilities, metadata, created_at, updated_at, \
         display_name_search, capabilities_search) SELECT 'acct_bench' || lpad(n::text, 20, '0'), 'worker_' || n, \
         'Worker ' || n, '[\"work\"]', '{{}}', now(), now(), 'worker ' || n, '{{work}}' \
         FROM generate_series(0, {accounts} - 1) AS n"
    );
    let sqlite = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {accounts}) \
         INSERT INTO agent_accounts (account_id, username, display_name, capabilities, created_at, updated_at, agent_id, \
         username_search, display_name_search) SELECT printf('acct_bench%020d', n), 'worker_' || n, 'Worker ' || n, \
         '[\"work\"]', 1780000000000000, 1780000000000000, 'worker', 'worker_' || n, 'worker ' || n FROM numbers; \
         INSERT INTO agent_account_capabilities (capability, username, account_id) \
         SELECT 'work', username, account_id FROM agent_accounts"
    );
    database.fill("agent_accounts", &postgres, &sqlite).await?;
    let found = database.number("SELECT count(*) FROM agent_accounts").await?;
    match found == accounts {
        true => Ok(()),
        false => Err(format!("{found} of {accounts} accounts are there").into()),
    }
}

/// The hello of the session with this number.
pub(crate) fn hello(session: u64) -> Bytes {
    let hello = json!({
        "agent_id": "worker",
        "name": format!("Worker {session}"),
        "capabilities": ["work"],
        "metadata": { "team": "bench" },
        "account_id": format!("acct_bench{session:020}"),
        "username": format!("worker_{session}"),
        "session_tag": format!("registry_BENCH{session:020}"),
    });
    hello.to_string().into()
}

/// Number of live sessions, from the registry's metrics.
pub(crate) async fn online(registry: &Registry) -> Result<u64, Failure> {
    let metrics = registry.client().call(&MetricsRequest).await?;
    Ok(u64::try_from(metrics.online_sessions.unwrap_or_default())?)
}

/// Number of handled hellos, from the registry's metrics.
pub(crate) async fn handled_hellos(registry: &Registry) -> Result<u64, Failure> {
    let metrics = registry.client().call(&MetricsRequest).await?;
    let calls = metrics.handlers.get("hello").map_or(0, |hello| hello.calls);
    Ok(u64::try_from(calls)?)
}

/// Sends a hello for each session and waits until the registry has all sessions.
pub(crate) async fn bring_online(network: &Network, registry: &Registry, sessions: u64) -> Result<(), Failure> {
    let client = RawClient::connect(&network.url).await?;
    let began = Instant::now();
    for session in 0..sessions {
        client.publish("registry.hello", hello(session)).await?;
        if session % HELLO_BATCH == HELLO_BATCH - 1 || session == sessions - 1 {
            client.flush().await?;
            while online(registry).await? < session + 1 {
                if began.elapsed() > ONLINE_TIMEOUT {
                    return Err(format!("not all of {sessions} sessions come online").into());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    Ok(())
}
