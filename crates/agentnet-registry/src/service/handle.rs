//! A running registry: what it is, its members, its end.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agentnet_protocol::permissions::Role;
use tokio_util::sync::DropGuard;

use crate::capture::{self, CaptureMode};
use crate::context::Context;
use crate::error::Failed;
use crate::secure::jwt_issuer::MemberCredentials;
use crate::secure::local_member::{self, LocalMember, LocalMemberError};
use crate::tasks::Phase;

/// How long a shutdown waits for the requests at hand.
const REQUESTS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a shutdown waits for the sweep, which may be in a slow call to the store, and the page of metrics.
const UPKEEP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a shutdown waits for the last announcement, and the removal of this registry's row.
const PEERS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a shutdown waits for the writer of presence.
const PRESENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a shutdown waits for the server to take the last bytes.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// A running registry. Dropping it ends every task at once; [`RegistryHandle::shutdown`] ends it without losing anything.
pub struct RegistryHandle {
    pub(super) ctx: Arc<Context>,
    pub(super) ready_line: String,
    pub(super) metrics_addr: Option<SocketAddr>,
    pub(super) own_store: bool,
    pub(super) _kill: DropGuard,
}

impl RegistryHandle {
    /// The registry's name, prefix of its session tags.
    #[must_use]
    pub fn server_id(&self) -> &str {
        &self.ctx.config.server_id
    }

    /// How messages reach the history.
    #[must_use]
    pub fn capture_mode(&self) -> CaptureMode {
        self.ctx.capture.mode
    }

    /// The address that metrics are served at, if they are.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// The line that tells a waiting program that the registry answers: `registry ready: server_id=… nats=… store=…
    /// capture=…`, the credentials hidden, and `metrics=…` where they are served.
    #[must_use]
    pub fn ready_line(&self) -> &str {
        &self.ready_line
    }

    /// Whether an account is an active member of this role with this nkey.
    ///
    /// # Errors
    /// [`LocalMemberError`]: the registry is not in secure mode, or the database does not answer.
    pub async fn is_member(&self, account_id: &str, role: Role, nkey: &str) -> Result<bool, LocalMemberError> {
        local_member::is_member(&self.ctx, account_id, role, nkey).await
    }

    /// Makes a member that has its keys already, without an invite, and returns its account id. An active member of this name
    /// and role loses its credential to the new one. When it returns, the broker has the member.
    ///
    /// # Errors
    /// [`LocalMemberError`]
    pub async fn add_member(&self, member: LocalMember<'_>) -> Result<String, LocalMemberError> {
        local_member::add(&self.ctx, member).await
    }

    /// The credentials of an active member, by what it may do now; `None` where its nkey is one.
    ///
    /// # Errors
    /// [`LocalMemberError`]: it is no active member, or no credential can be made for it.
    pub async fn credentials(&self, account_id: &str) -> Result<Option<MemberCredentials>, LocalMemberError> {
        local_member::credentials(&self.ctx, account_id).await
    }

    /// Returns when the registry cannot go on, with the reason. It should be [stopped](RegistryHandle::shutdown) then;
    /// messages that are not stored stay in the stream.
    pub async fn failed(&self) -> Failed {
        tokio::select! {
            reason = self.ctx.database.gone() => Failed::Database(reason),
            () = self.ctx.client_ended.cancelled() => Failed::Connection,
        }
    }

    /// Stops without losing anything: no new requests, the ones at hand are answered, captured messages are stored and
    /// acknowledged, and presence is written.
    pub async fn shutdown(self) {
        let ctx = &self.ctx;
        let tasks = &ctx.tasks;
        tasks.stop(Phase::Upkeep);
        if !tasks.finish(Phase::Requests, REQUESTS_TIMEOUT).await {
            tracing::warn!("some requests were not answered in time");
        }
        tasks.stop(Phase::Peers);
        tasks.finish(Phase::Upkeep, UPKEEP_TIMEOUT).await;
        tasks.finish(Phase::Peers, PEERS_TIMEOUT).await;
        capture::stop(tasks, &ctx.capture.queue).await;
        if !tasks.finish(Phase::PresenceWriter, PRESENCE_TIMEOUT).await {
            tracing::error!("the store did not take the last presence in time");
        }
        // Replies and acknowledgements are sent before the connection ends.
        if ctx.is_connected() {
            let _ = tokio::time::timeout(FLUSH_TIMEOUT, ctx.client.flush()).await;
            let _ = tokio::time::timeout(FLUSH_TIMEOUT, ctx.client.drain()).await;
        }
        if self.own_store {
            ctx.store.close().await;
        }
        tracing::info!(server_id = %ctx.config.server_id, "registry stopped");
    }
}

impl fmt::Debug for RegistryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryHandle")
            .field("ready_line", &self.ready_line)
            .finish_non_exhaustive()
    }
}
