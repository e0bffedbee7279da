//! Requests of workers.

use super::super::read::{bounded, items, number, texts, token};
use super::super::record::{IfTrue, Omitted, record, reply};
use super::super::signed::{RequestAuth, signed};
use super::super::{Request, RpcError, required};
use super::{TaskSnapshot, check_size, json, task_id, text};
use crate::RawJson;
use crate::json::{ArrayWriter, Object, ObjectWriter, Value, ascii};
use crate::limits::{MAX_CAPABILITIES, MAX_CAPABILITY_BYTES, MAX_ID_BYTES, MAX_NAME_BYTES};
use crate::task::{
    MAX_CLAIM, MAX_HEARTBEATS, MAX_REQUEST_BYTES, MAX_RESULT_BYTES, MAX_TEXT_BYTES, MAX_WAIT_MS, TaskState, percent,
};

/// `registry.task_claim`: a session takes tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskClaimRequest {
    /// Account of the worker.
    pub account_id: String,
    /// Its session: live, of this account.
    pub session_tag: String,
    /// Also tasks for any agent with one of these capabilities.
    pub capabilities: Vec<String>,
    /// Only this task.
    pub task_id: Option<String>,
    /// 1 to 32; 1 by default.
    pub max: i64,
    /// How long to wait for a task if there is none, in milliseconds: 0 to 25,000, 0 by default.
    pub wait_ms: i64,
    /// Random text of the session, at most 64 letters, digits, `-` and `_`: a request with the same one gets the same tasks again
    /// while they are at work, so that a lost reply loses none. Absent: the registry makes one.
    pub claim_id: Option<String>,
    /// Signature of the request (section 13.8).
    pub auth: RequestAuth,
}

impl Request for TaskClaimRequest {
    const NAME: &'static str = "task_claim";
    type Reply = TaskClaimReply;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(256);
        out.text("account_id", &self.account_id)
            .text("session_tag", &self.session_tag)
            .texts("capabilities", &self.capabilities)
            .opt_text("task_id", self.task_id.as_deref())
            .int("max", self.max.max(1))
            .int("wait_ms", self.wait_ms)
            .opt_text("claim_id", self.claim_id.as_deref());
        self.auth.write(&mut out);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "task_claim payload must be an object")?;
        let (account_id, session_tag) = worker(object)?;
        Ok(Self {
            account_id,
            session_tag,
            capabilities: texts(object, "capabilities", MAX_CAPABILITIES, MAX_CAPABILITY_BYTES)?,
            task_id: bounded(object, "task_id", MAX_NAME_BYTES)?,
            max: number(object, "max", 1, 1, i64::try_from(MAX_CLAIM).unwrap_or(i64::MAX))?,
            wait_ms: number(object, "wait_ms", 0, 0, MAX_WAIT_MS)?,
            claim_id: token(object, "claim_id")?,
            auth: RequestAuth::read(object),
        })
    }
}

signed!(TaskClaimRequest);

record! {
    /// A task that a session has to do.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct ClaimedTask {
        /// As it is now.
        pub task: TaskSnapshot as super::super::record::Nested,
        /// The attempt, from 1.
        pub attempt: i64,
        /// Names the lease: only who knows it may report on the task.
        pub lease: String,
        /// When the lease ends, unless a heartbeat comes.
        pub lease_until: String,
        /// A heartbeat must come within so many milliseconds.
        pub heartbeat_ms: i64,
        /// What is to be done, for programs.
        pub payload: Option<RawJson>,
        /// What an earlier attempt left.
        pub checkpoint: Option<RawJson>,
        /// The answer that the last attempt waited for.
        pub input: Option<RawJson>,
    }
}

record! {
    /// Tasks to do.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct TaskClaimReply {
        /// Tasks that the session has now.
        pub tasks: Vec<ClaimedTask>,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(TaskClaimReply, ["tasks"]);

/// How far a worker is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskProgress {
    /// Progress in words.
    pub text: Option<String>,
    /// 0 to 100.
    pub percent: Option<i64>,
    /// A word, such as `working`.
    pub phase: Option<String>,
}

/// A worker is still there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskHeartbeat {
    /// Id of the task.
    pub task_id: String,
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// Lease that the claim gave.
    pub lease: String,
    /// How far it is.
    pub progress: Option<TaskProgress>,
    /// What the next attempt shall get, any JSON value.
    pub checkpoint: Option<RawJson>,
}

/// `registry.task_heartbeat`: a session is still at its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskHeartbeatRequest {
    /// Account of the worker.
    pub account_id: String,
    /// Session of the worker.
    pub session_tag: String,
    /// At most 100.
    pub items: Vec<TaskHeartbeat>,
    /// Signature of the request (section 13.8).
    pub auth: RequestAuth,
}

impl Request for TaskHeartbeatRequest {
    const NAME: &'static str = "task_heartbeat";
    type Reply = TaskHeartbeatReply;
    const BOUNDED: bool = false;

    fn encode(&self) -> String {
        let mut items = ArrayWriter::new();
        for item in &self.items {
            let mut out = ObjectWriter::with_capacity(192);
            out.text("task_id", &item.task_id)
                .int("attempt", item.attempt)
                .text("lease", &item.lease);
            if let Some(progress) = &item.progress {
                let mut inner = ObjectWriter::with_capacity(96);
                inner.opt_text("text", progress.text.as_deref());
                if let Some(percent) = progress.percent {
                    inner.int("percent", percent);
                }
                inner.opt_text("phase", progress.phase.as_deref());
                out.raw("progress", &inner.finish());
            }
            if let Some(checkpoint) = &item.checkpoint {
                out.raw("checkpoint", &ascii(checkpoint.get()));
            }
            items.raw(&out.finish());
        }
        let mut out = ObjectWriter::with_capacity(256);
        out.text("account_id", &self.account_id)
            .text("session_tag", &self.session_tag)
            .raw("items", &items.finish());
        self.auth.write(&mut out);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "task_heartbeat payload must be an object")?;
        check_size(object, MAX_REQUEST_BYTES)?;
        let (account_id, session_tag) = worker(object)?;
        Ok(Self {
            account_id,
            session_tag,
            items: items(object, "items", MAX_HEARTBEATS)?
                .map(heartbeat)
                .collect::<Result<_, _>>()?,
            auth: RequestAuth::read(object),
        })
    }
}

signed!(TaskHeartbeatRequest);

/// Reads an item. Whether its report is too large is told in its result: the other items count.
fn heartbeat(value: Value<'_>) -> Result<TaskHeartbeat, RpcError> {
    let object = value.as_object().ok_or(RpcError::new("an item must be an object"))?;
    let progress = object.get("progress").as_object();
    let progress = match &progress {
        None => None,
        Some(progress) => Some(TaskProgress {
            text: text(progress, "text", MAX_REQUEST_BYTES)?,
            percent: percent(progress),
            phase: bounded(progress, "phase", MAX_REQUEST_BYTES)?,
        }),
    };
    Ok(TaskHeartbeat {
        task_id: task_id(&object)?,
        attempt: number(&object, "attempt", 0, 0, i64::MAX)?,
        lease: lease(&object)?,
        progress,
        checkpoint: json(&object, "checkpoint", MAX_REQUEST_BYTES)?,
    })
}

record! {
    /// What a heartbeat did.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct TaskHeartbeatResult {
        /// Id of the task.
        pub task_id: String,
        /// The report is noted, and the lease goes on.
        pub ok: bool,
        /// When it ends.
        pub lease_until: Option<String> as Omitted,
        /// The task is not wanted any more: stop.
        pub cancel_requested: bool as IfTrue,
        /// What is wrong: `task_lease_lost` and `not_found` mean that the lease is over; with any other code only the report is
        /// not noted.
        pub code: Option<String> as Omitted,
        /// The same in words.
        pub detail: Option<String> as Omitted,
    }
}

record! {
    /// What the heartbeats did, in their order.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct TaskHeartbeatReply {
        /// One for each item.
        pub items: Vec<TaskHeartbeatResult>,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(TaskHeartbeatReply, ["items"]);

/// `registry.task_finish`: a worker has finished, needs something, or gives the task back (`submitted`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFinishRequest {
    /// Account of the worker.
    pub account_id: String,
    /// Session of the worker.
    pub session_tag: String,
    /// Id of the task.
    pub task_id: String,
    /// Number of the attempt, from 1.
    pub attempt: i64,
    /// Lease that the claim gave.
    pub lease: String,
    /// An id that stays the same when the request is repeated.
    pub finish_id: String,
    /// Where the task stands now.
    pub state: TaskState,
    /// What came of it, any JSON value.
    pub result: Option<RawJson>,
    /// The same in words.
    pub text: Option<String>,
    /// Of a failure: its code.
    pub code: Option<String>,
    /// Of a failure: what happened.
    pub detail: Option<String>,
    /// Of a failure: another attempt may help.
    pub retryable: bool,
    /// Signature of the request (section 13.8).
    pub auth: RequestAuth,
}

impl Request for TaskFinishRequest {
    const NAME: &'static str = "task_finish";
    type Reply = TaskFinishReply;
    const BOUNDED: bool = false;

    fn encode(&self) -> String {
        let mut out = ObjectWriter::with_capacity(384);
        out.text("account_id", &self.account_id)
            .text("session_tag", &self.session_tag)
            .text("task_id", &self.task_id)
            .int("attempt", self.attempt)
            .text("lease", &self.lease)
            .text("finish_id", &self.finish_id)
            .text("state", self.state.as_str());
        if let Some(result) = &self.result {
            out.raw("result", &ascii(result.get()));
        }
        out.opt_text("text", self.text.as_deref())
            .opt_text("code", self.code.as_deref())
            .opt_text("detail", self.detail.as_deref());
        if self.retryable {
            out.bool("retryable", true);
        }
        self.auth.write(&mut out);
        out.finish()
    }

    fn decode(object: Option<&Object<'_>>) -> Result<Self, RpcError> {
        let object = required(object, "task_finish payload must be an object")?;
        check_size(object, MAX_REQUEST_BYTES)?;
        let (account_id, session_tag) = worker(object)?;
        let state: Option<TaskState> = object.get("state").text().parse().ok();
        let finish_id = bounded(object, "finish_id", MAX_NAME_BYTES)?;
        Ok(Self {
            account_id,
            session_tag,
            task_id: task_id(object)?,
            attempt: number(object, "attempt", 0, 0, i64::MAX)?,
            lease: lease(object)?,
            finish_id: finish_id.ok_or(RpcError::new("finish_id is required"))?,
            state: state.filter(|state| *state != TaskState::Working).ok_or(RpcError::new(
                "state must be completed, failed, canceled, rejected, input_required, auth_required or submitted",
            ))?,
            result: json(object, "result", MAX_RESULT_BYTES)?,
            text: text(object, "text", MAX_TEXT_BYTES)?,
            code: bounded(object, "code", MAX_NAME_BYTES)?,
            detail: text(object, "detail", MAX_TEXT_BYTES)?,
            retryable: object.get("retryable").is_truthy(),
            auth: RequestAuth::read(object),
        })
    }
}

signed!(TaskFinishRequest);

record! {
    /// What has become of the task.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct TaskFinishReply {
        /// It is noted.
        pub finished: bool,
        /// It was noted before, by the same request.
        pub duplicate: bool,
        /// Where the task stands: `submitted` where another attempt comes.
        pub state: String,
        /// When that begins.
        pub next_attempt_at: Option<String> as Omitted,
        /// Time of the reply, UTC.
        pub generated_at: String,
    }
}

reply!(TaskFinishReply, ["finished", "state"]);

/// The account and the session of a worker's request.
fn worker(object: &Object<'_>) -> Result<(String, String), RpcError> {
    let account_id = bounded(object, "account_id", MAX_NAME_BYTES)?.ok_or(RpcError::new("account_id is required"))?;
    let session_tag = bounded(object, "session_tag", MAX_NAME_BYTES)?;
    Ok((account_id, session_tag.ok_or(RpcError::new("session_tag is required"))?))
}

/// A lease: text of the registry or the id of a claim, and the id of the task.
fn lease(object: &Object<'_>) -> Result<String, RpcError> {
    bounded(object, "lease", MAX_ID_BYTES)?.ok_or(RpcError::new("lease is required"))
}
