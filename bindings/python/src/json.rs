//! Python values and the wire's JSON, without a detour through `json.dumps` and `json.loads` (PROTOCOL.md section 4).

mod read;
mod write;

pub(crate) use read::{to_python, written};
pub(crate) use write::from_python;

/// Nesting that the wire allows (section 4.1).
const MAX_DEPTH: usize = 990;
