//! `agentnet-bench worker`: runs the [`WorkerTask`] that the parent process names.

use crate::Failure;
use crate::agents::{MessageReceiver, MessageSender};
use crate::footprint::IdleAgents;
use crate::hello::HelloSender;
use crate::ingest::Publisher;
use crate::raw::{RawResponder, RawSender};
use crate::rpc_caller::RpcCaller;
use crate::worker_process::{WorkerSpec, WorkerTask};

/// Runs a task, in the child. `spec` is a [`WorkerSpec`] as JSON.
pub(crate) fn run(spec: &str) -> Result<(), Failure> {
    let spec: WorkerSpec = serde_json::from_str(spec)?;
    match spec.task.as_str() {
        RawResponder::NAME => spec.run::<RawResponder>(),
        RawSender::NAME => spec.run::<RawSender>(),
        MessageReceiver::NAME => spec.run::<MessageReceiver>(),
        MessageSender::NAME => spec.run::<MessageSender>(),
        RpcCaller::NAME => spec.run::<RpcCaller>(),
        HelloSender::NAME => spec.run::<HelloSender>(),
        Publisher::NAME => spec.run::<Publisher>(),
        IdleAgents::NAME => spec.run::<IdleAgents>(),
        other => Err(format!("no worker task is named {other}").into()),
    }
}
