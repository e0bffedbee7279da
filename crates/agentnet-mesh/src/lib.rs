//! Runs the agents of a YAML file: each is an [`AgentNode`](agentnet::AgentNode) whose messages a language model answers.
//!
//! The `agentnet mesh` command is a thin layer over this crate; docs/MESH.md is its guide.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod agent;
pub mod config;
pub mod host;
pub mod memory;
pub mod model;
pub mod tools;
pub mod usage;
