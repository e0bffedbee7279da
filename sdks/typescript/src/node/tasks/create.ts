/** Asking for a task to be done (PROTOCOL.md sections 22.3 and 22.4). */

import { ascii, RawJson, trim } from "../../json/index.js";
import {
  checkBytes,
  DEFAULT_TASK_HEARTBEAT_MS,
  MAX_TASK_ATTEMPTS,
  MAX_TASK_RESULT_BYTES,
  MAX_TASK_TEXT_BYTES,
  MAX_TASK_TITLE_BYTES,
  parseTarget,
  prefixedId,
  RPC,
  type TaskCreateRequest,
  Timestamp,
  TooLarge,
} from "../../protocol/index.js";
import { checkedMs, described, optionalText, optionsOf } from "../checks.js";
import { InvalidArgumentError } from "../errors.js";
import { resolveRoute } from "../route.js";
import type { Session } from "../session.js";
import { throwIfAborted } from "../waits.js";
import { callTask } from "./calls.js";
import { TaskHandle, type TaskOwner } from "./handle.js";

/** What is to be done, and how. All of it is optional, but a worker needs a `text` or a `payload`. */
export interface TaskOptions {
  /** A few words, at most 1,024 bytes. */
  readonly title?: string | undefined;
  /** What is to be done, at most 64 KiB. */
  readonly text?: string | undefined;
  /**
   * The same for programs, any JSON value of at most 256 KiB. Workers that work by messages get none of more than 128,000 bytes.
   */
  readonly payload?: unknown;
  /** The task that this one is a part of: its id, a handle, or the context of a handler. */
  readonly parent?: string | { readonly id: string } | undefined;
  /** The thread. Default: one of its own. */
  readonly threadId?: string | undefined;
  /** The task fails with the code `deadline_exceeded` when it is not done after so many milliseconds. Default: never. */
  readonly deadlineMs?: number | undefined;
  /** Not before so many milliseconds. Default 0. */
  readonly delayMs?: number | undefined;
  /** How often it is tried again after a failure that may pass, or the loss of a worker: 0 to 19. Default 0. */
  readonly retries?: number | undefined;
  /** The delay before the second attempt in milliseconds; it doubles with each. Default 1,000, at most 3,600,000. */
  readonly backoffMs?: number | undefined;
  /** A worker that is silent for so long has lost the task, in milliseconds: 1,000 to 3,600,000. Default 30,000. */
  readonly heartbeatMs?: number | undefined;
  /** -100 to 100, the highest first. Default 0. */
  readonly priority?: number | undefined;
  /** Your own name for the work: asked for again under it, no second task is made. */
  readonly key?: string | undefined;
  /** The id of the task. Default: a new one. */
  readonly taskId?: string | undefined;
  /** The name that you call yourself in it. Default: the username. */
  readonly coordinator?: string | undefined;
  /** An object that stays with the task. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  /** How long the registry may take, in milliseconds. Default 5,000. */
  readonly timeoutMs?: number | undefined;
  /** Ends the wait: the call rejects with the signal's reason. The task may have been made. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks for a task to be done. If no session of the account claims tasks, the account gets a message. If that fails, the call
 * succeeds all the same: the task is kept, and the handle has the error.
 *
 * @throws {TaskError} @throws {RegistryError} @throws {TargetError} @throws {InvalidArgumentError} @throws {TooLarge}
 * @throws {JsonError}
 */
export async function createTask(owner: TaskOwner, to: string, given: TaskOptions): Promise<TaskHandle> {
  const session = owner.session();
  const options = optionsOf(given, "task");
  throwIfAborted(options.signal);
  if (typeof to !== "string") {
    throw new InvalidArgumentError(`the target must be a string, not ${described(to)}`, "invalid_target");
  }
  const { toAgent } = await resolveRoute(session.usernames, parseTarget(to), "send", options.signal);
  const request = requestOf(session, toAgent, options);
  const { timeoutMs, signal } = options;
  const reply = await callTask(session, RPC.taskCreate, request, request.taskId ?? "", { timeoutMs, signal });
  const { heartbeatMs = DEFAULT_TASK_HEARTBEAT_MS, payload } = request;
  const handle = new TaskHandle(owner, reply.task.taskId, { reply, details: { heartbeatMs, payload } });
  // One that its worker has begun was told before.
  if (reply.delivery === "message" && reply.task.state === "submitted") await handle.tellAssigned(reply.task, signal);
  return handle;
}

function requestOf(session: Session, to: string, options: TaskOptions): TaskCreateRequest {
  const { accountId, sessionTag, username } = session;
  const { parent, retries = 0, metadata = {} } = options;
  if (!Number.isInteger(retries) || retries < 0 || retries >= MAX_TASK_ATTEMPTS) {
    throw new InvalidArgumentError(
      `retries must be a whole number from 0 to ${MAX_TASK_ATTEMPTS - 1}, not ${described(retries)}`,
    );
  }
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) {
    throw new InvalidArgumentError("metadata must be an object");
  }
  const title = filled("title", options.title);
  const text = optionalText("text", options.text) ?? "";
  checkBytes("title", title, MAX_TASK_TITLE_BYTES);
  checkBytes("text", text, MAX_TASK_TEXT_BYTES);
  const idempotencyKey = filled("key", options.key);
  return {
    accountId,
    sessionTag,
    // A request that is made again is recognised by the key, or by the id.
    taskId: filled("taskId", options.taskId) ?? (idempotencyKey === undefined ? prefixedId("task") : undefined),
    to,
    title,
    text,
    payload: boundedJson("payload", options.payload, MAX_TASK_RESULT_BYTES),
    threadId: filled("threadId", options.threadId),
    parentTaskId: filled("parent", typeof parent === "object" && parent !== null ? parent.id : parent),
    idempotencyKey,
    coordinator: filled("coordinator", options.coordinator) ?? (username || accountId),
    priority: wholeNumber("priority", options.priority),
    notBefore: inFuture("delayMs", options.delayMs),
    deadlineAt: inFuture("deadlineMs", options.deadlineMs),
    maxAttempts: retries + 1,
    backoffMs: wholeNumber("backoffMs", options.backoffMs),
    heartbeatMs: wholeNumber("heartbeatMs", options.heartbeatMs),
    metadata: RawJson.from(metadata),
  };
}

/** A JSON value of bounded size, as it is sent; undefined is none. @throws {JsonError} @throws {TooLarge} */
export function boundedJson(name: string, value: unknown, maxBytes: number): RawJson | undefined {
  if (value === undefined) return undefined;
  const json = RawJson.from(value);
  const size = ascii(json.text).length;
  if (size > maxBytes) throw new TooLarge(name, size, maxBytes);
  return json;
}

function filled(name: string, value: unknown): string | undefined {
  return trim(optionalText(name, value) ?? "") || undefined;
}

function wholeNumber(name: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isInteger(value)) return value;
  throw new InvalidArgumentError(`${name} must be a whole number, not ${described(value)}`);
}

/** A time that far from now; infinity is none. */
function inFuture(name: string, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const milliseconds = checkedMs(name, value);
  return milliseconds === Infinity ? undefined : Timestamp.now().addMillis(milliseconds).toString();
}
