//! Tasks: work that outlives a call (PROTOCOL.md section 22).
//!
//! - asking for work: `create` makes a task, `handle` and `events` follow it, over outages (`patient`); `account` has the calls
//!   of the registry
//! - doing work: `claim` takes tasks while handlers are free, `run` runs the handler of one and reports its end, `heartbeats`
//!   keeps the leases of all, `attempt` is what these know of one task, `context` what its handler sees of it
//! - `messages`: the messages about tasks that other agents send and understand

mod account;
mod attempt;
mod caller;
mod claim;
mod context;
mod create;
mod error;
mod events;
mod handle;
mod handler;
mod heartbeats;
mod messages;
mod patient;
mod run;
mod superseded;
mod work;
pub(crate) mod worker;
pub(crate) mod worker_state;

pub use self::context::TaskContext;
pub use self::create::{NewTask, ParentTask};
pub use self::error::TaskError;
pub use self::events::TaskEvents;
pub use self::handle::{TaskHandle, TaskOutcome};
pub(crate) use self::handler::{AnyTaskHandler, TaskClosure};
pub use self::handler::{TaskHandler, TaskHandlerResult};
pub use self::work::{ClaimedWork, TaskFailure, TaskOutput};
