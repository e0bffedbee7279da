/** Tasks: their states, their limits and the messages about them (PROTOCOL.md section 22). */

import { ascii, type JsonObject, JsonView, ObjectWriter, RawJson, trim } from "../json/index.js";
import { objectOrEmpty } from "./agent-info.js";
import type { Envelope } from "./envelope.js";

/** The member `tasks` of a registration and a hello whose session claims tasks. */
export const TASKS_CLAIM = "claim";
/** Bytes of a title. */
export const MAX_TASK_TITLE_BYTES = 1_024;
/** Bytes of the text of a task, of a progress or of a result. */
export const MAX_TASK_TEXT_BYTES = 65_536;
/** Bytes of a payload or of a result as JSON. */
export const MAX_TASK_RESULT_BYTES = 262_144;
/** Bytes of a checkpoint as JSON. */
export const MAX_TASK_CHECKPOINT_BYTES = 65_536;
/** Bytes of a request about tasks. */
export const MAX_TASK_REQUEST_BYTES = 786_432;
/** Attempts of one task. */
export const MAX_TASK_ATTEMPTS = 20;
/** The delay before the second attempt unless the task says otherwise, in milliseconds. */
export const DEFAULT_TASK_BACKOFF_MS = 1_000;
/** The longest delay before another attempt, in milliseconds. */
export const MAX_TASK_BACKOFF_MS = 3_600_000;
/** A worker that is silent for so long has lost its task, unless the task says otherwise, in milliseconds. */
export const DEFAULT_TASK_HEARTBEAT_MS = 30_000;
/** The bounds of that time. */
export const MIN_TASK_HEARTBEAT_MS = 1_000;
export const MAX_TASK_HEARTBEAT_MS = 3_600_000;
/** Priorities reach from its negative to itself. */
export const MAX_TASK_PRIORITY = 100;
/** The most tasks of one claim. */
export const MAX_TASK_CLAIM = 32;
/** The most heartbeats of one request. */
export const MAX_TASK_HEARTBEATS = 100;

/**
 * Where a task stands (section 22.2). It waits for a worker (`submitted`), a worker has it (`working`), the worker waits for an
 * answer (`input_required`) or a permission (`auth_required`), or it has ended.
 */
export type TaskState =
  | "submitted"
  | "working"
  | "input_required"
  | "auth_required"
  | "completed"
  | "failed"
  | "canceled"
  | "rejected";

const STATES: readonly TaskState[] = [
  "submitted",
  "working",
  "input_required",
  "auth_required",
  "completed",
  "failed",
  "canceled",
  "rejected",
];

/** The state that a text names, in any case; undefined where it names none. */
export function readTaskState(text: string): TaskState | undefined {
  const name = trim(text).toLowerCase();
  return STATES.find((state) => state === name);
}

/** The states by the word of the later Python implementation that means them. */
const STATES_BY_STATUS: ReadonlyMap<string, readonly TaskState[]> = new Map<string, readonly TaskState[]>([
  ["assigned", ["submitted"]],
  ["working", ["working"]],
  ["blocked", ["input_required", "auth_required"]],
  ["completed", ["completed"]],
  ["failed", ["failed", "canceled", "rejected"]],
]);

/** The states that a word of the later Python implementation means; undefined where it is none of its words. */
export function taskStatesOf(status: string): readonly TaskState[] | undefined {
  return STATES_BY_STATUS.get(trim(status).toLowerCase());
}

/** The word of the later Python implementation for a state; undefined where it is no state. */
export function taskStatusOf(state: string): string | undefined {
  for (const [status, states] of STATES_BY_STATUS) if (states.some((one) => one === state)) return status;
  return undefined;
}

/** Whether a task in this state has ended. */
export function isTerminalTaskState(state: string): boolean {
  return state === "completed" || state === "failed" || state === "canceled" || state === "rejected";
}

/** Whether the worker of a task in this state waits for somebody. */
export function isBlockedTaskState(state: string): boolean {
  return state === "input_required" || state === "auth_required";
}

/** The code and the sentence of an error of the requests about tasks, `code: sentence`; undefined of other texts. */
export function taskErrorOf(text: string): { readonly code: string; readonly detail: string } | undefined {
  const match = /^(task_[a-z0-9_]{1,59}): ([\s\S]*)$/.exec(text);
  return match?.[1] === undefined ? undefined : { code: match[1], detail: match[2] ?? "" };
}

const KINDS = ["task.assign", "task.progress", "task.result", "task.blocked", "task.failed", "task.cancel"] as const;

/** The kinds of messages about tasks, as the later Python implementation sends them. */
export type TaskMessageKind = (typeof KINDS)[number];

/** The member with the time of a message of each kind. */
const TIME_MEMBERS: Readonly<Record<TaskMessageKind, string>> = {
  "task.assign": "created_at",
  "task.progress": "event_at",
  "task.cancel": "event_at",
  "task.result": "finished_at",
  "task.blocked": "finished_at",
  "task.failed": "finished_at",
};

/** The member `status` of the messages that have it. */
const STATUSES: Partial<Readonly<Record<TaskMessageKind, string>>> = {
  "task.result": "completed",
  "task.blocked": "blocked",
  "task.failed": "failed",
};

/** A message about a task: the payload of an ordinary message. */
export interface TaskMessage {
  /** What it says. */
  kind: TaskMessageKind;
  /** The task. */
  taskId: string;
  /** Its text. */
  text: string;
  /** Of an assignment: the name that the coordinator calls itself. */
  coordinator?: string | undefined;
  /** Of an assignment: a few words. */
  title?: string | undefined;
  /** Of an assignment: the task that it is a part of. */
  parentTaskId?: string | undefined;
  /** Of a progress: 0 to 100. */
  percent?: number | undefined;
  /** Of a progress: a word. */
  phase?: string | undefined;
  /** Of a result: what came of it. */
  result?: RawJson | undefined;
  /** A JSON object. */
  metadata: RawJson;
}

/** Reads the payload of a message: an object, its JSON text, or an object whose `text` is that text. Undefined of other messages. */
export function readTaskMessage(message: Readonly<Envelope>): TaskMessage | undefined {
  const payload = message.payload.view();
  const found = readPayload(payload);
  if (found !== undefined) return found;
  // Most texts are no JSON.
  const text = (payload.asString() ?? payload.asObject()?.get("text").asString())?.trimStart();
  if (text?.startsWith("{") !== true) return undefined;
  try {
    return readPayload(JsonView.parse(text));
  } catch {
    return undefined;
  }
}

function readPayload(payload: JsonView): TaskMessage | undefined {
  const object = payload.asObject();
  const type = trim(object?.get("type").asString() ?? "").toLowerCase();
  const kind = KINDS.find((known) => known === type);
  if (object === undefined || kind === undefined) return undefined;
  const taskId = trimmed(object, "task_id");
  if (taskId === undefined) return undefined;
  const metadata = object.get("metadata").asObject();
  const result = object.get("result");
  return {
    kind,
    taskId,
    text: object.get("text").text(),
    coordinator: trimmed(object, "coordinator"),
    title: trimmed(object, "title"),
    parentTaskId: trimmed(object, "parent_task_id"),
    percent: metadata === undefined ? undefined : readPercent(metadata),
    phase: metadata === undefined ? undefined : trimmed(metadata, "phase"),
    result: result.isNull() ? undefined : result.toRaw(),
    metadata: objectOrEmpty(object.get("metadata")),
  };
}

/**
 * The payload of a message about a task, as the later Python implementation writes it.
 *
 * @param at - The time of its `created_at`, `event_at` or `finished_at`.
 * @param more - Further members of an assignment, written behind the others.
 */
export function taskMessagePayload(
  message: TaskMessage,
  at: string,
  more: (out: ObjectWriter) => ObjectWriter = (out) => out,
): RawJson {
  const { kind, taskId, text, metadata, coordinator, title, parentTaskId, result } = message;
  const out = new ObjectWriter()
    .text("type", kind)
    .text("task_id", taskId)
    .optText("status", STATUSES[kind])
    .text("text", text)
    .text(TIME_MEMBERS[kind], at)
    .raw("metadata", ascii(metadata.text))
    .optText("coordinator", coordinator)
    .optText("title", title)
    .optText("parent_task_id", parentTaskId);
  if (result !== undefined) out.raw("result", ascii(result.text));
  return RawJson.trusted(more(out).finish());
}

/** A percentage from 0 to 100; anything else is none. */
function readPercent(object: JsonObject): number | undefined {
  let percent: bigint | undefined;
  try {
    percent = object.get("percent").int();
  } catch {
    return undefined;
  }
  return percent !== undefined && percent >= 0n && percent <= 100n ? Number(percent) : undefined;
}

function trimmed(object: JsonObject, name: string): string | undefined {
  return trim(object.get(name).text()) || undefined;
}
