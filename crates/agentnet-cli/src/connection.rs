//! Reaching the network: the server's address, the connection, calls of the registry.

mod credentials;
pub(crate) mod observer;
pub(crate) mod taps;

use std::time::Duration;

use agentnet::{AgentBuilder, AgentNode, RegistryClient};
use agentnet_nats::{NatsUrl, NatsUrlError};
use agentnet_protocol::rpc::{Request, decode_reply};

use crate::args::CallTimeout;
use crate::exit::{Exit, Failure};
use crate::failures::{connect_failure, registry_failure, reply_failure, start_failure};
use crate::global::Global;
use crate::output::Output;
use crate::output::spinner::Spinner;
use crate::signals::StopSignals;

pub(crate) use self::credentials::{
    check_observes, default_nats_url, may_ask_health, names_identity, nats_url, own_username,
};

/// Connects to the network, for calls of the registry.
pub(crate) async fn connect_registry(global: &Global) -> Result<RegistryClient, Failure> {
    RegistryClient::connect(&nats_url(global))
        .await
        .map_err(connect_failure)
}

/// Calls the registry. With `--json`, prints the unchanged reply and returns `None`.
pub(crate) async fn ask<R: Request + Sync>(
    global: &Global,
    output: Output,
    timeout: &CallTimeout,
    request: &R,
) -> Result<Option<R::Reply>, Exit> {
    let call = async {
        let client = connect_registry(global).await?;
        let client = client.with_timeout(timeout.duration());
        client
            .call_raw(request)
            .await
            .map_err(|error| Exit::from(registry_failure(&error)))
    };
    let spinner = Spinner::start(output, format!("waiting for registry.{}", R::NAME));
    let body = StopSignals::listen()?.unless(call).await?;
    spinner.end();
    let reply = decode_reply::<R>(&body).map_err(reply_failure)?;
    if !output.is_json() {
        return Ok(Some(reply));
    }
    output.document(&String::from_utf8_lossy(&body))?;
    Ok(None)
}

/// Parses the server's address.
pub(crate) fn checked_url(text: &str) -> Result<NatsUrl, Failure> {
    NatsUrl::parse(text).map_err(|error: NatsUrlError| connect_failure(error.into()))
}

/// How long an interrupted join may still take, so that the session can be closed.
const INTERRUPTED_JOIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Joins the network. After a signal, a registration that was sent is completed and its session closed; a second signal
/// ends this at once.
pub(crate) async fn join(
    agent: AgentBuilder,
    global: &Global,
    signals: &mut StopSignals,
    output: Output,
) -> Result<AgentNode, Exit> {
    let url = nats_url(global);
    let shown = checked_url(&url)?.redacted();
    let _spinner = Spinner::start(output, format!("joining the network at {shown}"));
    let mut joining = std::pin::pin!(agent.nats_url(url).start());
    let ended = tokio::select! {
        node = &mut joining => return Ok(node.map_err(start_failure)?),
        ended = signals.wait() => ended,
    };
    let leave = async {
        if let Ok(Ok(node)) = tokio::time::timeout(INTERRUPTED_JOIN_TIMEOUT, joining).await {
            node.close().await;
        }
        Ok(())
    };
    signals.unless(leave).await?;
    Err(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_address_has_exit_code_2() {
        assert_eq!(Exit::from(checked_url("http://h").unwrap_err()).code(), 2);
    }
}
