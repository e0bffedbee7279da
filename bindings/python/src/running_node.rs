//! A node that an event loop keeps while it runs, and that leaves the network when that loop ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use agentnet::AgentNode;
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;

use crate::options::duration;
use crate::runtime::Network;

/// An SDK node, and whether it has left because its loop ended.
pub(crate) struct RunningNode {
    pub(crate) node: AgentNode,
    has_left: AtomicBool,
}

impl RunningNode {
    pub(crate) fn new(node: AgentNode) -> Self {
        Self {
            node,
            has_left: AtomicBool::new(false),
        }
    }

    /// Whether the loop that it was started on has ended: then it has left or is leaving.
    pub(crate) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Acquire)
    }

    /// It is started again.
    pub(crate) fn return_to_network(&self) {
        self.has_left.store(false, Ordering::Release);
    }

    /// Leaves the network, because the loop that it was started on has ended.
    pub(crate) fn leave(&self, network: &Network) {
        self.has_left.store(true, Ordering::Release);
        let node = self.node.clone();
        tracing::warn!(
            target: "agentnet::node",
            agent_id = node.info().agent_id,
            "the event loop that the node was started on has ended: it leaves the network (close it before the loop ends)"
        );
        let leaving = Leaving::begin();
        network.spawn(async move {
            node.close().await;
            drop(leaving);
        });
    }
}

/// The number of nodes that are leaving because their loop ended.
static LEAVING: Mutex<usize> = Mutex::new(0);
static ALL_LEFT: Condvar = Condvar::new();

/// One of these nodes, counted until it is dropped.
struct Leaving;

impl Leaving {
    fn begin() -> Self {
        *LEAVING.lock() += 1;
        Self
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        *LEAVING.lock() -= 1;
        ALL_LEFT.notify_all();
    }
}

/// Waits for the nodes that are leaving because their loop ended, at most for some seconds: the process ends.
#[pyfunction]
pub(crate) fn wait_for_leaving(py: Python<'_>, seconds: f64) {
    let timeout = duration(seconds);
    py.detach(|| {
        let end = Instant::now() + timeout;
        let mut leaving = LEAVING.lock();
        while *leaving > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            ALL_LEFT.wait_for(&mut leaving, left);
        }
    });
}
