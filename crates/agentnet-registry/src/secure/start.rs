//! The start of a registry in secure mode: its members, its credential, its place among the broker's users.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agentnet_nats::NatsUrl;
use futures::future::BoxFuture;

use super::broker::{self, Broker};
use super::callout::Callout;
use super::members::{Members, RefreshError};
use crate::config::RegistryConfig;
use crate::connect::{self, Connection};
use crate::context::Context;
use crate::database::Database;
use crate::error::StartError;
use crate::peers::Peers;
use crate::tasks::Phase;

/// How long the server may take to read its users.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(4);
/// How often the first connection may be lost meanwhile.
const MAX_CUT_OFF: u32 = 3;
const REFUSED_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The members, where the credential of this registry is that of one, and the address with that credential.
pub(crate) async fn members(
    config: &RegistryConfig,
    url: NatsUrl,
    database: &Database,
) -> Result<(NatsUrl, Option<Arc<Members>>), StartError> {
    let Some(login) = url.member() else {
        return match &config.authority {
            None => Ok((url, None)),
            Some(_) => Err(StartError::Authority(
                "it is for secure mode, and the registry connects without an identity".to_owned(),
            )),
        };
    };
    let own = broker::registry_user(login)?;
    let broker = Broker::open(config.authority.as_ref(), &url).await?;
    let url = broker::with_own_credential(config.authority.as_ref(), url)?;
    let members = Members::new(database.fail_fast(), broker, own);
    Ok((url, Some(Arc::new(members))))
}

/// Answers the servers that ask about their clients, if this registry is the one to do it.
pub(crate) async fn answer_callouts(
    ctx: &Arc<Context>,
    members: &Arc<Members>,
    url: &NatsUrl,
) -> Result<(), StartError> {
    let Broker::Callout(callout) = members.broker() else {
        return Ok(());
    };
    let requests = Callout::subscribe(url).await?;
    let members = Arc::clone(members);
    let reread = move || -> BoxFuture<'static, ()> {
        let members = Arc::clone(&members);
        Box::pin(async move {
            if let Err(error) = members.refresh().await {
                tracing::debug!(%error, "members cannot be read");
            }
        })
    };
    let stop = ctx.tasks.stop_token(Phase::Requests);
    ctx.tasks.spawn(
        Phase::Requests,
        Arc::clone(callout).run(Arc::new(reread), requests, stop),
    );
    Ok(())
}

/// Makes this registry a user of the broker before it connects, where it writes the broker's users: another one may have written
/// them last.
pub(crate) async fn enter(
    members: &Members,
    peers: &Peers,
    database: &Database,
    server_id: &str,
) -> Result<(), StartError> {
    if !members.broker().names_registries() || !database.is_up() {
        return Ok(());
    }
    peers.enter(database, server_id).await;
    match members.refresh().await {
        Err(RefreshError::Store(error)) => {
            tracing::warn!(%error, "the members in the store cannot be read yet; trying again");
            Ok(())
        }
        outcome => outcome.map_err(|error| StartError::Members(error.to_string())),
    }
}

/// Connects. In secure mode a refusal is tried again for a while: the server reads its users shortly after they are written.
pub(crate) async fn connect(url: &NatsUrl, is_secure: bool) -> Result<Connection, StartError> {
    let end = Instant::now() + REFUSED_TIMEOUT;
    let mut cut_off = 0;
    loop {
        match connect::connect(url).await {
            // A server that reads its users again ends connections that have not shown their credential yet.
            Err(StartError::Connect { .. }) if is_secure && cut_off < MAX_CUT_OFF => {
                cut_off += 1;
                tokio::time::sleep(REFUSED_RETRY_DELAY).await;
            }
            Err(StartError::Refused { .. }) if is_secure && Instant::now() < end => {
                tokio::time::sleep(REFUSED_RETRY_DELAY).await;
            }
            outcome => return outcome,
        }
    }
}
