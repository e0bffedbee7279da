//! Requests of who wants a task done.

use super::super::read::{bounded, number};
use super::super::record::{Omitted, record, reply};
use super::super::signed::{RequestAuth, signed};
use super::super::{Request, RpcError, required};
use super::{TaskSnapshot, check_size, json, task_id, text};
use crate::RawJson;
use crate::json::{Object, ObjectWriter, ascii};
use crate::limits::{DEFAULT_MAX_METADATA_BYTES, MAX_ID_BYTES, MAX_NAME_BYTES, MAX_THREAD_ID_BYTES};
use crate::task::{
    DEFAULT_BACKOFF_MS, DEFAULT_HEARTBEAT_MS, MAX_ATTEMPTS, MAX_BACKOFF_MS, MAX_HEARTBEAT_MS, MAX_PRIORITY,
    MAX_REQUEST_BYTES, MAX_RESULT_BYTES, MAX_TEXT_BYTES, MAX_TITLE_BYTES, MIN_HEARTBEAT_MS,
};

/// `registry.task_create`: somebody shall do this.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskCreateRequest {
    /// The account that asks: its coordinator.
    pub account_id: String,
    /// Its session; may be empty.
    pub session_tag: String,
    /// An id of its own choice; absent: the registry makes one.
    pub task_id: Option<String>,
    /// Who is to do it: an account id, or `capability:<name>` for any agent with it.
    pub to: String,
    /// A few words.
    pub title: Option<String>,
    /// What is to be done.
    pub text: String,
    /// The same for programs, any JSON value.
    pub payload: Option<RawJson>,
    /// Its thread; absent: `thread_<task id>`.
    pub thread_id: Option<String>,
    /// The task that it is a part of.
    pub parent_task_id: Option<String>,
    /// The coordinator's own name for the work: a second task with it is not made.
    pub idempotency_key: Option<String>,
    /// The name that the coordinator calls itself in it.
    pub coordinator: Option<String>,
    /// -100 to 100, 0 by default; the highest first.
    pub priority: i64,
    /// Not before this time.
    pub not_before: Option<String>,
    /// When it is given up.
    pub deadline_at: Option<String>,
    /// 1 to 20; 1 by default.
    pub max_attempts: i64,
    /// Delay before the second attempt in milliseconds, 1,000 by default; it doubles with each.
    pub backoff_ms: i64,
    /// A worker that is silent for so long has lost it, in milliseconds: 1,000 to 3,600,000, 30,000 by default.
    pub heartbeat_ms: i64,
    /// A JSON object that stays with it.
    pub metadata: RawJson,
    /// Signature of the request (section 13.8).
    pub auth: RequestAuth,
}

impl TaskCreateRequest {
    /// A task with the defaults.
    #[must_use]
    pub fn new(account_id: impl Into<String>, to: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            account_id: account_id.into(),
            to: to.into(),
            text: text.into(),
            max_attempts: 1,
            backoff_ms: DEFAULT_BACKOFF_MS,
            heartbeat_ms: DEFAULT_HEARTBEAT_MS,
            metadata: RawJson::empty_object(),
            ..Self::default()
        }
    }
}

impl Request for TaskCreateRequest {
    const NAME: &'static str = "task_create";
    type Reply = TaskCreateReply;
    /// It has bounds of its own.
    const BOUNDED: bool = false;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(self.text.len() + 512);
        out.text("account_id", &self.account_id)
            .text("session_tag", &self.session_tag)
            .opt_text("task_id", self.task_id.as_deref())
            .text("to", &self.to)
            .opt_text("title", self.title.as_deref())
            .text("text", &self.text);
        if let Some(payload) = &self.payload {
            out.raw("payload", &ascii(payload.get()));
        }
        out.opt_text("thread_id", self.thread_id.as_deref())
            .opt_text("parent_task_id", self.parent_task_id.as_deref())
            .opt_text("idempotency_key", self.idempotency_key.as_deref())
            .opt_text("coordinator", self.coordinator.as_deref())
            .int("priority", self.priority)
            .opt_text("not_before", self.not_before.as_deref())
            .opt_text("deadline_at", self.deadline_at.as_deref())
            .int("max_attempts", self.max_attempts)
            .int("backoff_ms", self.backoff_ms)
            .int("heartbeat_ms", self.heartbeat_ms)
            .raw("metadata", &ascii(self.metadata.get()));
        self.auth.write(&mut out);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "task_create payload must be an object")?;
        check_size(object, MAX_REQUEST_BYTES)?;
        let name = |member| bounded(object, member, MAX_NAME_BYTES);
        let metadata = json(object, "metadata", DEFAULT_MAX_METADATA_BYTES)?;
        Ok(Self {
            account_id: name("account_id")?.ok_or(RpcError::new("account_id is required"))?,
            session_tag: name("session_tag")?.unwrap_or_default(),
            task_id: name("task_id")?,
            to: bounded(object, "to", MAX_ID_BYTES)?.ok_or(RpcError::new("to is required"))?,
            title: text(object, "title", MAX_TITLE_BYTES)?,
            text: text(object, "text", MAX_TEXT_BYTES)?.unwrap_or_default(),
            payload: json(object, "payload", MAX_RESULT_BYTES)?,
            thread_id: bounded(object, "thread_id", MAX_THREAD_ID_BYTES)?,
            parent_task_id: name("parent_task_id")?,
            idempotency_key: bounded(object, "idempotency_key", MAX_ID_BYTES)?,
            coordinator: name("coordinator")?,
            priority: number(object, "priority", 0, -MAX_PRIORITY, MAX_PRIORITY)?,
            not_before: bounded(object, "not_before", MAX_ID_BYTES)?,
            deadline_at: bounded(object, "deadline_at", MAX_ID_BYTES)?,
            max_attempts: number(object, "max_attempts", 1, 1, MAX_ATTEMPTS)?,
            backoff_ms: number(object, "backoff_ms", DEFAULT_BACKOFF_MS, 0, MAX_BACKOFF_MS)?,
            heartbeat_ms: number(
                object,
                "heartbeat_ms",
                DEFAULT_HEARTBEAT_MS,
                MIN_HEARTBEAT_MS,
                MAX_HEARTBEAT_MS,
            )?,
            metadata: metadata
                .filter(|metadata| metadata.view().as_object().is_some())
                .unwrap_or_else(RawJson::empty_object),
            auth: RequestAuth::read(object),
        })
    }
}

signed!(TaskCreateRequest);

record! {
    /// Reply to `task_create`: the task, and how its worker learns of it.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct TaskCreateReply {
        /// As it is now.
        pub task: TaskSnapshot as super::super::record::Nested,
        /// It is new; otherwise the id or the key was known.
        pub created: bool,
        /// `lease`: its worker claims it. `message`: tell the account by a message `task.assign`, for no session of it claims tasks.
        pub delivery: String,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(TaskCreateReply, ["task"]);

record! {
    /// Reply with one task.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct TaskReply {
        /// As it is now.
        pub task: TaskSnapshot as super::super::record::Nested,
        /// When a cancelled or repeated task goes on.
        pub next_attempt_at: Option<String> as Omitted,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(TaskReply, ["task"]);

/// Declares a request about one task.
macro_rules! about_a_task {
    (
        $(#[$attribute:meta])*
        pub struct $request:ident = $name:literal { $($(#[$doc:meta])* pub $field:ident: $type:ty,)* }
        write($this:ident, $out:ident) $write:block
        read($object:ident) $read:block
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $request {
            /// The account that asks.
            pub account_id: String,
            /// Its session; may be empty.
            pub session_tag: String,
            /// Id of the task.
            pub task_id: String,
            $($(#[$doc])* pub $field: $type,)*
            /// Signature of the request (section 13.8).
            pub auth: RequestAuth,
        }

        impl Request for $request {
            const NAME: &'static str = $name;
            type Reply = TaskReply;
            const BOUNDED: bool = false;

            fn encode(&self) -> String {
                let mut written = ObjectWriter::with_capacity(256);
                written
                    .text("account_id", &self.account_id)
                    .text("session_tag", &self.session_tag)
                    .text("task_id", &self.task_id);
                {
                    let ($this, $out) = (self, &mut written);
                    $write
                }
                self.auth.write(&mut written);
                written.finish()
            }

            fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
                let $object = required(object, concat!($name, " payload must be an object"))?;
                check_size($object, MAX_REQUEST_BYTES)?;
                let account_id = bounded($object, "account_id", MAX_NAME_BYTES)?;
                let ($($field,)*) = $read;
                Ok(Self {
                    account_id: account_id.ok_or(RpcError::new("account_id is required"))?,
                    session_tag: bounded($object, "session_tag", MAX_NAME_BYTES)?.unwrap_or_default(),
                    task_id: task_id($object)?,
                    $($field,)*
                    auth: RequestAuth::read($object),
                })
            }
        }

        signed!($request);
    };
}

about_a_task! {
    /// `registry.task_cancel`: the task is not wanted any more.
    pub struct TaskCancelRequest = "task_cancel" {
        /// Reason of the cancellation.
        pub reason: Option<String>,
        /// Its parts stay.
        pub keep_children: bool,
    }
    write(this, out) {
        out.opt_text("reason", this.reason.as_deref());
        if this.keep_children {
            out.bool("cascade", false);
        }
    }
    read(object) {
        (
            text(object, "reason", MAX_TEXT_BYTES)?,
            object.get("cascade").raw() == "false",
        )
    }
}

about_a_task! {
    /// `registry.task_input`: the answer to a worker that waits for one.
    pub struct TaskInputRequest = "task_input" {
        /// The answer, any JSON value.
        pub payload: Option<RawJson>,
    }
    write(this, out) {
        if let Some(payload) = &this.payload {
            out.raw("payload", &ascii(payload.get()));
        }
    }
    read(object) {
        (json(object, "payload", MAX_RESULT_BYTES)?,)
    }
}

about_a_task! {
    /// `registry.task_retry`: another attempt of a task that failed.
    pub struct TaskRetryRequest = "task_retry" {
        /// Not before this time.
        pub not_before: Option<String>,
    }
    write(this, out) {
        out.opt_text("not_before", this.not_before.as_deref());
    }
    read(object) {
        (bounded(object, "not_before", MAX_ID_BYTES)?,)
    }
}
