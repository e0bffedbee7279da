/** What a worker that holds no lease is told of its task by messages (PROTOCOL.md sections 22.4, 22.6 and 22.7). */

import { ascii, RawJson } from "../../json/index.js";
import { type TaskMessageKind, type TaskSnapshot, Timestamp, taskMessagePayload } from "../../protocol/index.js";
import { sendByMailbox } from "../mailbox/send.js";
import type { Session } from "../session.js";
import { throwIfAborted } from "../waits.js";

/** How long a message about a task may wait in a mailbox at most, in milliseconds: seven days. */
const MAX_TTL_MS = 7 * 24 * 3_600 * 1_000;

/** What of a task is not in its snapshot; known where the handle has asked for the task. */
export interface TaskDetails {
  /** What is to be done, for programs. */
  readonly payload?: RawJson | undefined;
  /** A worker that is silent for so long counts as lost, in milliseconds. */
  readonly heartbeatMs?: number | undefined;
}

/** Whether the worker of a task is told of it, and of what becomes of it, by messages. */
export function worksByMessages(task: TaskSnapshot): boolean {
  return task.delivery === "message";
}

/** The id of the message that tells a worker of a new task. */
export function assignmentId(taskId: string): string {
  return `task_assign_${taskId}`;
}

/** Tells the worker of a new task. The message is named after the task: one that is sent again is recognised. */
export async function tellAssigned(
  session: Session,
  task: TaskSnapshot,
  details: TaskDetails,
  signal?: AbortSignal,
): Promise<void> {
  const payload = assignment(session, task, Math.max(task.attempt, 1), details);
  await tell(session, task, payload, assignmentId(task.taskId), signal);
}

/** Tells the worker of another attempt. The event of the retry names the message: each retry is told, and each of them once. */
export async function tellRetried(
  session: Session,
  task: TaskSnapshot,
  details: TaskDetails,
  signal?: AbortSignal,
): Promise<void> {
  const payload = assignment(session, task, task.attempt + 1, details);
  await tell(session, task, payload, `${assignmentId(task.taskId)}_${task.eventCount}`, signal);
}

/** Tells the worker the answer that it waits for: the assignment again, with the member `input`. */
export async function tellAnswered(
  session: Session,
  task: TaskSnapshot,
  input: RawJson | undefined,
  details: TaskDetails,
  signal?: AbortSignal,
): Promise<void> {
  const payload = assignment(session, task, Math.max(task.attempt, 1), details, input ?? RawJson.NULL);
  await tell(session, task, payload, `${assignmentId(task.taskId)}_${task.eventCount}`, signal);
}

/** Tells the worker that the task is not wanted any more. */
export async function tellCanceled(
  session: Session,
  task: TaskSnapshot,
  reason: string | undefined,
  signal?: AbortSignal,
): Promise<void> {
  const { taskId } = task;
  const message = { kind: "task.cancel", taskId, text: reason ?? "", metadata: RawJson.EMPTY_OBJECT } as const;
  await tell(session, task, taskMessagePayload(message, Timestamp.now().toString()), `task_cancel_${taskId}`, signal);
}

/** The payload of `task.assign`. */
function assignment(
  session: Session,
  task: TaskSnapshot,
  attempt: number,
  { payload, heartbeatMs }: TaskDetails,
  input?: RawJson,
): RawJson {
  const { taskId, assignedText, coordinator, deadlineAt, metadata, parentTaskId, title } = task;
  const kind: TaskMessageKind = "task.assign";
  const message = { kind, taskId, text: assignedText, coordinator, title, parentTaskId, metadata };
  return taskMessagePayload(message, Timestamp.now().toString(), (out) => {
    out.int("attempt", attempt);
    if (heartbeatMs !== undefined) out.int("heartbeat_ms", heartbeatMs);
    out.optText("deadline_at", deadlineAt);
    // A message has less room than a request to the registry.
    for (const [name, value] of [
      ["payload", payload],
      ["input", input],
    ] as const) {
      const text = value === undefined ? undefined : ascii(value.text);
      if (text !== undefined && text.length <= session.config.limits.maxPayloadBytes / 2) out.raw(name, text);
    }
    return out;
  });
}

async function tell(
  session: Session,
  task: TaskSnapshot,
  payload: RawJson,
  messageId: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  throwIfAborted(signal);
  const { deadlineAt, taskId, threadId } = task;
  const value = task.workerAccountId ?? task.assigneeAccountId;
  if (value === undefined) return;
  const options = { threadId, traceId: taskId, signal };
  const mailbox = { ttlMs: ttlUntil(deadlineAt, Timestamp.now()), ack: "accepted" } as const;
  await sendByMailbox(session, { kind: "account", value }, payload, options, mailbox, messageId);
}

/** How long a message may wait that is of no use after the deadline. */
function ttlUntil(deadlineAt: string | undefined, now: Timestamp): number {
  const deadline = deadlineAt === undefined ? undefined : Timestamp.parse(deadlineAt);
  if (deadline === undefined) return MAX_TTL_MS;
  const left = Number((deadline.micros - now.micros) / 1_000n);
  return Math.min(Math.max(left, 1), MAX_TTL_MS);
}
