//! `agentnet mesh` and `agentnet demo`: agents of a YAML file on a real network, answered by a scripted provider.
#![allow(unreachable_pub, reason = "shared by these modules, not exported")]

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
