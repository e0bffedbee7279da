/** The RPCs and the events of tasks (PROTOCOL.md sections 22.3 and 22.5). */

import { ascii, JsonObject, ObjectWriter, type RawJson } from "../json/index.js";
import { objectOrEmpty } from "./agent-info.js";
import { present, readBody } from "./decode.js";
import { notEmpty, optInt, type Rpc, rpc } from "./rpc-call.js";
import { optInteger, writeAuth, writeOwner } from "./rpc-mailbox.js";
import { integer, objects, optional, text } from "./rpc-records.js";
import { DEFAULT_TASK_BACKOFF_MS, DEFAULT_TASK_HEARTBEAT_MS } from "./task.js";
import type {
  ClaimedTask,
  TaskAccountRequest,
  TaskCancelRequest,
  TaskClaimReply,
  TaskClaimRequest,
  TaskCreateReply,
  TaskCreateRequest,
  TaskEvent,
  TaskEventsReply,
  TaskEventsRequest,
  TaskFinishReply,
  TaskFinishRequest,
  TaskHeartbeat,
  TaskHeartbeatReply,
  TaskHeartbeatRequest,
  TaskInputRequest,
  TaskListReply,
  TaskListRequest,
  TaskReply,
  TaskRetryRequest,
  TaskSnapshot,
  TaskStatusRequest,
} from "./task-types.js";

/** Asks for a task to be done. */
export const taskCreate = rpc<TaskCreateRequest, TaskCreateReply>(
  "task_create",
  ["task"],
  (request, out) => {
    writeOwner(request, out)
      .optText("task_id", request.taskId)
      .text("to", request.to)
      .optText("title", request.title)
      .text("text", request.text);
    optRaw(out, "payload", request.payload)
      .optText("thread_id", request.threadId)
      .optText("parent_task_id", request.parentTaskId)
      .optText("idempotency_key", request.idempotencyKey)
      .optText("coordinator", request.coordinator)
      .int("priority", request.priority ?? 0)
      .optText("not_before", request.notBefore)
      .optText("deadline_at", request.deadlineAt)
      .int("max_attempts", request.maxAttempts ?? 1)
      .int("backoff_ms", request.backoffMs ?? DEFAULT_TASK_BACKOFF_MS)
      .int("heartbeat_ms", request.heartbeatMs ?? DEFAULT_TASK_HEARTBEAT_MS)
      .raw("metadata", ascii(request.metadata.text));
    return writeAuth(request, out);
  },
  (object) => ({
    task: readTask(object),
    created: object.get("created").isTruthy(),
    delivery: text(object, "delivery"),
    generatedAt: text(object, "generated_at"),
  }),
);

/** Tells that a task is not wanted any more. */
export const taskCancel = aboutTask<TaskCancelRequest>("task_cancel", (request, out) => {
  out.optText("reason", request.reason);
  return request.keepChildren === true ? out.bool("cascade", false) : out;
});

/** Answers a worker that waits for somebody. */
export const taskInput = aboutTask<TaskInputRequest>("task_input", (request, out) =>
  optRaw(out, "payload", request.payload),
);

/** Asks for another attempt of a task that failed. */
export const taskRetry = aboutTask<TaskRetryRequest>("task_retry", (request, out) =>
  out.optText("not_before", request.notBefore),
);

/** One task. */
export const taskStatus = rpc<TaskStatusRequest, TaskReply>(
  "task_status",
  ["task"],
  (request, out) => out.text("task_id", request.taskId),
  readTaskReply,
);

/** Tasks, the last changed first. */
export const taskList = rpc<TaskListRequest, TaskListReply>(
  "task_list",
  ["tasks"],
  (request, out) =>
    out
      .optText("assignee_account_id", request.assigneeAccountId)
      .optText("coordinator_account_id", request.coordinatorAccountId)
      .optText("state", request.state)
      .optText("status", request.status)
      .optText("parent_task_id", request.parentTaskId)
      .optText("capability", request.capability)
      .optText("since", request.since)
      .int("limit", request.limit ?? 20)
      .optText("cursor", request.cursor),
  (object) => ({
    tasks: objects(object.get("tasks"), readSnapshot),
    limit: integer(object, "limit"),
    generatedAt: text(object, "generated_at"),
    ...present({ nextCursor: optional(object, "next_cursor") }),
  }),
);

/** What happened to a task, in order. */
export const taskEvents = rpc<TaskEventsRequest, TaskEventsReply>(
  "task_events",
  ["events"],
  (request, out) =>
    out
      .text("task_id", request.taskId)
      .int("after", request.after ?? 0)
      .int("limit", request.limit ?? 100)
      .int("wait_ms", request.waitMs ?? 0),
  (object) => ({
    taskId: text(object, "task_id"),
    events: objects(object.get("events"), readEvent),
    last: integer(object, "last"),
    terminal: object.get("terminal").isTruthy(),
    generatedAt: text(object, "generated_at"),
  }),
);

/** Tasks for a session that does them. */
export const taskClaim = rpc<TaskClaimRequest, TaskClaimReply>(
  "task_claim",
  ["tasks"],
  (request, out) => {
    writeOwner(request, out)
      .texts("capabilities", request.capabilities)
      .optText("task_id", request.taskId)
      .int("max", request.max ?? 1)
      .int("wait_ms", request.waitMs ?? 0)
      .optText("claim_id", request.claimId);
    return writeAuth(request, out);
  },
  (object) => ({ tasks: objects(object.get("tasks"), readClaimed), generatedAt: text(object, "generated_at") }),
);

/** Keeps leases, and tells how far their workers are. */
export const taskHeartbeat = rpc<TaskHeartbeatRequest, TaskHeartbeatReply>(
  "task_heartbeat",
  ["items"],
  (request, out) =>
    writeAuth(request, writeOwner(request, out).raw("items", `[${request.items.map(taskHeartbeatText).join(",")}]`)),
  (object) => ({
    items: objects(object.get("items"), (item) => ({
      taskId: text(item, "task_id"),
      ok: item.get("ok").isTruthy(),
      cancelRequested: isTrue(item, "cancel_requested"),
      ...present({ leaseUntil: optional(item, "lease_until"), code: optional(item, "code") }),
    })),
    generatedAt: text(object, "generated_at"),
  }),
);

/** Ends an attempt. */
export const taskFinish = rpc<TaskFinishRequest, TaskFinishReply>(
  "task_finish",
  ["finished", "state"],
  (request, out) => {
    writeOwner(request, out)
      .text("task_id", request.taskId)
      .int("attempt", request.attempt)
      .text("lease", request.lease)
      .text("finish_id", request.finishId)
      .text("state", request.state);
    optRaw(out, "result", request.result)
      .optText("text", request.text)
      .optText("code", request.code)
      .optText("detail", request.detail);
    if (request.retryable === true) out.bool("retryable", true);
    return writeAuth(request, out);
  },
  (object) => ({
    finished: object.get("finished").isTruthy(),
    duplicate: object.get("duplicate").isTruthy(),
    state: notEmpty(object, "state"),
    generatedAt: text(object, "generated_at"),
    ...present({ nextAttemptAt: optional(object, "next_attempt_at") }),
  }),
);

/**
 * Reads an event that was published.
 *
 * @throws {@link JsonError} where the body is not JSON, {@link DecodeError} where it is no object.
 */
export function decodeTaskEvent(body: Uint8Array | string): TaskEvent {
  return readEvent(readBody(body));
}

/** The wire text of a heartbeat in a request. */
export function taskHeartbeatText(item: TaskHeartbeat): string {
  const out = new ObjectWriter().text("task_id", item.taskId).int("attempt", item.attempt).text("lease", item.lease);
  if (item.progress !== undefined) {
    const { text, percent, phase } = item.progress;
    const progress = optInt(new ObjectWriter().optText("text", text), "percent", percent).optText("phase", phase);
    out.raw("progress", progress.finish());
  }
  return optRaw(out, "checkpoint", item.checkpoint).finish();
}

/** A request of an account about one task. */
function aboutTask<Request extends TaskAccountRequest>(
  name: string,
  write: (request: Request, out: ObjectWriter) => ObjectWriter,
): Rpc<Request, TaskReply> {
  return rpc<Request, TaskReply>(
    name,
    ["task"],
    (request, out) => writeAuth(request, write(request, writeOwner(request, out).text("task_id", request.taskId))),
    readTaskReply,
  );
}

function readTaskReply(object: JsonObject): TaskReply {
  return {
    task: readTask(object),
    generatedAt: text(object, "generated_at"),
    ...present({ nextAttemptAt: optional(object, "next_attempt_at") }),
  };
}

/** The member `task` of a reply; one that is no object has no members. */
function readTask(object: JsonObject): TaskSnapshot {
  return readSnapshot(object.get("task").asObject() ?? JsonObject.ofChecked("{}"));
}

function readSnapshot(object: JsonObject): TaskSnapshot {
  const children = object.get("children").asObject();
  const latestEvent = object.get("latest_event").asObject();
  return {
    taskId: text(object, "task_id"),
    status: text(object, "status"),
    type: text(object, "type"),
    text: text(object, "text"),
    assignedText: text(object, "assigned_text"),
    progressEventCount: integer(object, "progress_event_count"),
    createdAt: text(object, "created_at"),
    updatedAt: text(object, "updated_at"),
    terminal: object.get("terminal").isTruthy(),
    eventCount: integer(object, "event_count"),
    state: text(object, "state"),
    resumable: isTrue(object, "resumable"),
    attempt: integer(object, "attempt"),
    maxAttempts: integer(object, "max_attempts"),
    stalled: isTrue(object, "stalled"),
    cancelRequested: isTrue(object, "cancel_requested"),
    priority: integer(object, "priority"),
    revision: integer(object, "revision"),
    metadata: objectOrEmpty(object.get("metadata")),
    ...present({
      title: optional(object, "title"),
      threadId: optional(object, "thread_id"),
      assigneeAccountId: optional(object, "assignee_account_id"),
      coordinatorAccountId: optional(object, "coordinator_account_id"),
      coordinator: optional(object, "coordinator"),
      parentTaskId: optional(object, "parent_task_id"),
      latestProgressText: optional(object, "latest_progress_text"),
      messageId: optional(object, "message_id"),
      latestEvent: latestEvent === undefined ? undefined : readEvent(latestEvent),
      code: optional(object, "code"),
      detail: optional(object, "detail"),
      result: rawOf(object, "result"),
      capability: optional(object, "capability"),
      delivery: optional(object, "delivery"),
      workerAccountId: optional(object, "worker_account_id"),
      leaseUntil: optional(object, "lease_until"),
      heartbeatAt: optional(object, "heartbeat_at"),
      notBefore: optional(object, "not_before"),
      deadlineAt: optional(object, "deadline_at"),
      percent: optInteger(object, "percent"),
      phase: optional(object, "phase"),
      children:
        children === undefined ? undefined : { open: integer(children, "open"), done: integer(children, "done") },
    }),
  };
}

function readEvent(object: JsonObject): TaskEvent {
  return {
    seq: integer(object, "seq"),
    at: text(object, "at"),
    type: text(object, "type"),
    attempt: integer(object, "attempt"),
    ...present({
      taskId: optional(object, "task_id"),
      state: optional(object, "state"),
      text: optional(object, "text"),
      data: rawOf(object, "data"),
      fromAccountId: optional(object, "from_account_id"),
      messageId: optional(object, "message_id"),
    }),
  };
}

function readClaimed(object: JsonObject): ClaimedTask {
  return {
    task: readTask(object),
    attempt: integer(object, "attempt"),
    lease: text(object, "lease"),
    leaseUntil: text(object, "lease_until"),
    heartbeatMs: integer(object, "heartbeat_ms"),
    ...present({
      payload: rawOf(object, "payload"),
      checkpoint: rawOf(object, "checkpoint"),
      input: rawOf(object, "input"),
    }),
  };
}

/** A flag that counts only as `true`. */
function isTrue(object: JsonObject, name: string): boolean {
  return object.get(name).raw === "true";
}

/** A JSON value; absent where it is null. */
function rawOf(object: JsonObject, name: string): RawJson | undefined {
  const value = object.get(name);
  return value.isNull() ? undefined : value.toRaw();
}

/** Writes a JSON value that is left out when absent. */
function optRaw(out: ObjectWriter, name: string, value: RawJson | undefined): ObjectWriter {
  return value === undefined ? out : out.raw(name, ascii(value.text));
}
