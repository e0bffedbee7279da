//! The agentnet command line.
fn main() {}
