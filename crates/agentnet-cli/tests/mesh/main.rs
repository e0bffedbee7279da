//! `agentnet mesh` and `agentnet demo`: agents of a YAML file on a real network, answered by a scripted provider.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(unreachable_pub, reason = "shared by the modules of this test program, not exported")]

#[path = "../harness/mod.rs"]
mod harness;
#[allow(dead_code, reason = "another test program uses the rest")]
#[path = "../otlp/mod.rs"]
mod otlp;

mod asking;
mod commands;
mod debate;
mod demo;
mod examples;
mod failures;
mod files;
mod limits;
mod local_model;
mod mcp;
mod memory;
mod observed;
mod options;
mod peers;
mod recorder;
mod reload;
mod scripted;
mod stopping;
mod tasks;
mod tools;
