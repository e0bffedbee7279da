//! Requests that are held until there is something to answer (PROTOCOL.md sections 21.3, 22.4 and 22.5). Such a request gives its
//! place among the requests back, and holds no connection to the database.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Call;
use crate::context::Context;
use crate::tasks::Phase;

/// A held request does not ask the store more often, whatever wakes it.
const MIN_INTERVAL: Duration = Duration::from_millis(50);

/// How long a request is held.
pub(super) struct Hold {
    started: Instant,
    deadline: Instant,
    /// The registry stops: held requests are answered.
    stop: CancellationToken,
}

impl Hold {
    /// From now on, for at most so many milliseconds.
    pub(super) fn new(ctx: &Context, wait_ms: i64) -> Self {
        let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or_default());
        let started = Instant::now();
        Self {
            started,
            deadline: started + wait,
            stop: ctx.tasks.stop_token(Phase::Requests),
        }
    }

    /// For no longer than this from its start.
    pub(super) fn limit(&mut self, wait: Duration) {
        self.deadline = self.deadline.min(self.started + wait);
    }

    /// Waits until `woken`, or until it is time to look without that; false once the request has to be answered.
    pub(super) async fn wait(
        &self,
        call: &mut Call,
        woken: impl Future<Output = ()>,
        recheck: Option<Duration>,
    ) -> bool {
        let began = Instant::now();
        call.place = None;
        let recheck = async {
            match recheck {
                Some(interval) => tokio::time::sleep(interval).await,
                None => std::future::pending().await,
            }
        };
        let may_be_more = tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep_until(self.deadline) => false,
            () = woken => true,
            () = recheck => true,
        };
        if may_be_more {
            tokio::time::sleep_until(self.deadline.min(began + MIN_INTERVAL)).await;
        }
        call.waited += began.elapsed();
        may_be_more
    }
}
