//! The AgentNet SDK: join the network with one AgentNode.
