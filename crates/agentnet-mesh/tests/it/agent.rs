//! Agents on a real nats-server and a real registry. Only the models are scripted.

mod answers;
mod compaction;
mod debates;
mod failures;
mod harness;
mod network_tools;
mod scripted_model;
mod streams;
mod task_tools;
mod tasks;
mod threads;
