//! All that the native part uses of asyncio's private parts.
//!
//! | What | Where | Fallback |
//! |---|---|---|
//! | the attribute `_selector` of an event loop, whose methods `select` and `close` are replaced | [`selector`] | a loop without one, or with a selector of another class, keeps its own: the network runs on a thread of its own. So it does for every loop while `AGENTNET_NETWORK_THREAD` is set |
//! | the attribute `_asyncio_future_blocking`, by which `asyncio.Task` recognizes what it can wait for | [`awaitable`] | none is needed: calls that report progress, and all that are not messages, return an `asyncio.Future` |
//! | the attribute `_nest_patched`, which `nest_asyncio` sets on an event loop | [`awaitable`] | without it, tasks continue in the same turn of the loop |
//!
//! The Python part uses one more: the name of the SIGINT handler of `asyncio.run` (`agentnet._signals`).
//!
//! Tested on CPython 3.10, 3.11, 3.12 and 3.13 with asyncio's own loop, and on uvloop, which takes the fallback
//! (`scripts/python-test.sh versions` runs the tests on every version that a machine has).

pub(crate) mod awaitable;
pub(crate) mod selector;
