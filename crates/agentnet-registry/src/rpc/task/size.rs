//! What a request gives must fit into the replies that hand it on: the claim of the worker, and the status of the task.

use agentnet_protocol::RawJson;
use agentnet_protocol::rpc::RpcError;
use agentnet_protocol::task::error;

use super::refused;
use crate::context::Context;
use crate::mailbox::ascii_len;
use crate::task_ledger::content::LEVELS_AROUND_JSON;

/// A reply holds what is to be done in its half, an answer in a quarter, and a checkpoint in an eighth of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Share {
    /// Texts, payload and metadata of a task; or its result.
    Half,
    /// The answer to a worker.
    Quarter,
    /// What a worker leaves for the next attempt.
    Eighth,
}

impl Share {
    const fn of(self, bytes: usize) -> usize {
        bytes
            / match self {
                Self::Half => 2,
                Self::Quarter => 4,
                Self::Eighth => 8,
            }
    }
}

/// Checks the size of values together, with all characters outside of ASCII escaped, and their depth.
///
/// # Errors
/// `task_too_large`
pub(super) fn check<'a>(
    ctx: &Context,
    name: &str,
    share: Share,
    texts: impl IntoIterator<Item = &'a str>,
    values: impl IntoIterator<Item = &'a RawJson>,
) -> Result<(), RpcError> {
    let max = share.of(ctx.max_reply());
    let mut size: usize = texts.into_iter().map(ascii_len).sum();
    for value in values {
        if !value.fits_inside(LEVELS_AROUND_JSON) {
            return Err(refused(error::TOO_LARGE, format!("{name} is nested too deeply")));
        }
        size += ascii_len(value.get());
    }
    if size <= max {
        return Ok(());
    }
    let sentence = format!(
        "{name} has {size} bytes, all characters escaped; at most {max} are kept; put what is larger into a blob"
    );
    Err(refused(error::TOO_LARGE, sentence))
}
