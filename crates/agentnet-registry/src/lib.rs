//! The AgentNet registry service.
