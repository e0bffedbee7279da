//! The commands, one a file, and the arguments of commands that send messages (`message_args`, `identity_args`).

pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod conformance;
pub(crate) mod doctor;
pub(crate) mod echo;
pub(crate) mod export;
pub(crate) mod identity_args;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod message;
pub(crate) mod message_args;
pub(crate) mod message_search;
pub(crate) mod metrics;
pub(crate) mod profile;
pub(crate) mod registry;
pub(crate) mod registry_settings;
pub(crate) mod request;
pub(crate) mod search;
pub(crate) mod send;
pub(crate) mod thread_messages;
pub(crate) mod thread_status;
pub(crate) mod threads;
pub(crate) mod top;
pub(crate) mod up;
pub(crate) mod watch;
