//! The start and the close of a node.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Subscriber;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use super::{AgentNode, Running, rejoin};
use crate::error::StartError;
use crate::guard::Guards;
use crate::handler::AnyHandler;
use crate::identity::{self, InboundVerifier};
use crate::inbox::Intake;
use crate::mailbox::pull::MailboxPull;
use crate::session::{self, Session};
use crate::task::worker;
use crate::worker::{Worker, Workers};

/// How long the rejection of unfinished work may take; it waits only for a connection.
const REJECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An intake that has yet to run, and its subscriptions.
type ReadyIntake = (Box<Intake>, Vec<Subscriber>);

impl AgentNode {
    /// Connects, registers, subscribes and sends a hello (PROTOCOL.md section 14).
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind then.
    pub async fn start(&self) -> Result<(), StartError> {
        let _changing = self.shared.changing.lock().await;
        if self.session().is_ok() {
            return Err(StartError::Running);
        }
        self.open_session().await?;
        self.shared.started.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) async fn open_session(&self) -> Result<(), StartError> {
        let config = &self.shared.config;
        #[cfg(feature = "metrics-http")]
        let page = crate::metrics::page::listen(config.metrics_addr).await?;
        let task_handler = self.shared.task_handler.read().clone();
        let session = Arc::new(Session::open(config, self.shared.metrics.clone(), task_handler.is_some()).await?);
        let ends = session.ended.clone().drop_guard();
        let mut pull = None;
        match self.join(session.clone(), ends, &mut pull).await {
            Ok((running, intake)) => {
                #[cfg(feature = "metrics-http")]
                let running = self.show_metrics(page, running);
                tokio::spawn(rejoin::watch(Arc::downgrade(&self.shared), &running.session));
                let work = running.work.clone();
                *self.shared.running.write() = Some(running);
                // Not before: handlers use the session of the node. Messages that came meanwhile wait in their subscriptions.
                if let Some((intake, subscriptions)) = intake {
                    if let Some(pull) = pull {
                        let notices = intake.workers.worker.notices.clone();
                        session.subscriptions.spawn(&work, pull.run(notices));
                    }
                    session.subscriptions.spawn(&work, intake.run(subscriptions));
                }
                if let (Some(state), Some(handler)) = (&session.task_worker, task_handler) {
                    worker::start(state, &session, Arc::downgrade(&self.shared), config, handler, &work);
                }
                Ok(())
            }
            Err(error) => {
                if let Some(pull) = pull {
                    pull.give_back().await;
                }
                session.farewell().await;
                Err(error)
            }
        }
    }

    /// Subscribes, sends a hello and starts the tasks of a registered session.
    async fn join(
        &self,
        session: Arc<Session>,
        ends: DropGuard,
        pull: &mut Option<Box<MailboxPull>>,
    ) -> Result<(Running, Option<ReadyIntake>), StartError> {
        let config = &self.shared.config;
        let account_id = session.account_id();
        *self.shared.last.lock() = Some((account_id.clone(), session.username.clone()));
        let mark = session.publisher.connections.denials.mark();
        session.receive_receipts().await?;
        let work = TaskTracker::new();
        let handler = self.shared.handler.read().clone();
        let pulls = handler.is_some() && config.pull_mailbox;
        let intake = match handler {
            Some(handler) => Some(self.open_intake(&session, &work, handler).await?),
            None => {
                if !config.capabilities.is_empty() && session.task_worker.is_none() {
                    tracing::warn!(target: "agentnet::node", "capabilities are advertised, but without a handler no message is taken");
                }
                None
            }
        };
        if pulls {
            // Behind the inbox: the account counts as online since its registration, so that requests are sent to it.
            *pull = Some(MailboxPull::open(&session, config.limits.max_pending).await);
        }
        if let Some(identity) = &session.identity {
            session.subscriptions.serve(identity::warn_if_unbound(identity.clone()));
        }
        session.hello(config).await;
        // Agents that see the node from here on must be able to reach it.
        if !session.publisher.round_trip().await {
            tracing::warn!(target: "agentnet::node", "the start was not confirmed by the server");
        }
        session.subscriptions_permitted(mark, &config.capabilities).await?;
        let heartbeat = session::keep_alive(session.clone(), config.clone());
        session.subscriptions.serve(heartbeat);
        let running = Running {
            session,
            work,
            #[cfg(feature = "metrics-http")]
            metrics_addr: None,
            _ends: ends,
        };
        Ok((running, intake))
    }

    #[cfg(feature = "metrics-http")]
    fn show_metrics(&self, page: Option<agentnet_metrics_http::Server>, mut running: Running) -> Running {
        if let Some(page) = page {
            running.metrics_addr = Some(page.address());
            let source = crate::metrics::page::Page(Arc::downgrade(&self.shared));
            let ended = running.session.ended.clone().cancelled_owned();
            running.session.subscriptions.tasks.spawn(page.serve(source, ended));
        }
        running
    }

    /// Subscribes to what the node receives.
    async fn open_intake(
        &self,
        session: &Arc<Session>,
        work: &TaskTracker,
        handler: Arc<dyn AnyHandler>,
    ) -> Result<ReadyIntake, StartError> {
        let config = &self.shared.config;
        let limits = &config.limits;
        let subscriptions = session.subscribe_intake(&config.capabilities).await?;
        let (sender, backlog) = async_channel::bounded(limits.max_pending);
        let (notices_sender, notices) = tokio::sync::mpsc::channel(limits.max_concurrency);
        let worker = Worker {
            node: Arc::downgrade(&self.shared),
            session: session.clone(),
            handler,
            timeout: limits.work_timeout,
            notices: notices_sender,
        };
        let workers = Workers {
            worker,
            backlog: backlog.clone(),
            running: Arc::default(),
            limit: limits.max_concurrency,
            tasks: work.clone(),
        };
        let account_id = session.account_id();
        let intake = Intake {
            session: session.clone(),
            guards: Guards::new(account_id, &config.agent_id, config.supported_schema_major, limits)
                .of_signed(session.identity.is_some()),
            verifier: InboundVerifier::new(session.identity.clone(), account_id.clone(), config),
            max_payload_bytes: limits.max_payload_bytes,
            backlog: sender,
            workers,
            notices,
        };
        // A session has one intake.
        let _ = session.backlog.set(backlog);
        Ok((Box::new(intake), subscriptions))
    }

    /// Starts the node and runs it until the process is told to stop (Ctrl-C, or SIGTERM on Unix); then closes it.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start_forever(&self) -> Result<(), StartError> {
        self.start().await?;
        self.run_until_stopped().await
    }

    /// Runs a started node until the process is told to stop (Ctrl-C, or SIGTERM on Unix); then closes it.
    ///
    /// # Errors
    /// None today; the type leaves room.
    pub async fn run_until_stopped(&self) -> Result<(), StartError> {
        stop_signal().await;
        self.close().await;
        Ok(())
    }

    /// Leaves the network: no new work, accepted work is finished within
    /// [`drain_timeout`](crate::Limits::drain_timeout), the rest is refused with `shutting_down`, goodbye (section 0.7).
    /// Does nothing if the node is not running.
    pub async fn close(&self) {
        let _changing = self.shared.changing.lock().await;
        self.shared.started.store(false, Ordering::Release);
        self.end_session().await;
    }

    pub(super) async fn end_session(&self) {
        let running = self
            .shared
            .running
            .read()
            .as_ref()
            .map(|running| (running.session.clone(), running.work.clone()));
        let Some((session, work)) = running else { return };
        session.leaving.cancel();
        work.close();
        if tokio::time::timeout(self.limits().drain_timeout, work.wait())
            .await
            .is_err()
        {
            session.accepting.store(false, Ordering::Release);
            session.aborted.cancel();
            if tokio::time::timeout(REJECT_TIMEOUT, work.wait()).await.is_err() {
                tracing::warn!(target: "agentnet::node", "closing without a connection: what was left could not be refused");
            }
        }
        session.replies.cancel_streams();
        session.streams.close().await;
        session.farewell().await;
        if let Some(worker) = &session.task_worker {
            worker.after_goodbye().await;
        }
        session.delivery.abandon();
        session.replies.abandon();
        session.ended.cancel();
        session.subscriptions.ended().await;
        // Only now: until here a handler could still reply and send.
        self.shared.running.write().take();
    }
}

async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
