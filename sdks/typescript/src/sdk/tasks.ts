/** Messages about tasks as the later Python implementation sends them, and what an agent is at (PROTOCOL.md section 22.6). */

import { RawJson, trim } from "../json/index.js";
import { InvalidArgumentError, type SendOptions, type TaskProgressOptions } from "../node/index.js";
import { shown } from "../node/shown.js";
import {
  isTerminalTaskState,
  type Profile,
  prefixedId,
  type TaskMessage,
  type TaskSnapshot,
  Timestamp,
  taskMessagePayload,
} from "../protocol/index.js";
import { checkedText } from "./result.js";

/** The options of a message about a task. */
export interface TaskMessageOptions extends SendOptions {
  /** An object that goes with the message. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

/** The options of `AgentSDK.delegateTask`. */
export interface DelegateTaskOptions extends TaskMessageOptions {
  /** The id of the task. Default: a new one. */
  readonly taskId?: string | undefined;
  /** A few words. */
  readonly title?: string | undefined;
  /** The task that it is a part of. */
  readonly parentTaskId?: string | undefined;
}

/** The options of `AgentSDK.reportProgress`. */
export interface ReportProgressOptions extends TaskMessageOptions, TaskProgressOptions {
  /** 0 to 100. */
  readonly percent?: number | undefined;
}

/** What an agent is at. */
export interface AgentStatus {
  /** Always true: failures reject. */
  readonly ok: true;
  /** As it was asked for. */
  readonly target: string;
  readonly username: string;
  readonly accountId: string;
  readonly online: boolean;
  /** How many live sessions it has. */
  readonly sessionCount: number;
  /** Its tasks that have not ended, the last changed first. */
  readonly activeTasks: readonly TaskSnapshot[];
  /** Its tasks, the last changed first. */
  readonly recentTasks: readonly TaskSnapshot[];
  /** A sentence about it. */
  readonly summary: string;
}

/** A message about a task that is to be sent. */
export interface TaskDraft {
  readonly taskId: string;
  readonly payload: RawJson;
}

/** The message `task.assign`. */
export function assignment(text: string, coordinator: string | undefined, options: DelegateTaskOptions): TaskDraft {
  const taskId = trim(options.taskId ?? "") || prefixedId("task");
  const { title, parentTaskId } = options;
  const metadata = metadataOf(options);
  return draft({ kind: "task.assign", taskId, text: checkedText(text), coordinator, title, parentTaskId, metadata });
}

/** The message `task.progress`. */
export function progress(taskId: string, text: string, options: ReportProgressOptions): TaskDraft {
  if (typeof taskId !== "string" || trim(taskId) === "") throw new InvalidArgumentError("taskId is required");
  const { percent, phase } = options;
  if (percent !== undefined && !(typeof percent === "number" && percent >= 0 && percent <= 100)) {
    throw new InvalidArgumentError(`percent must be a number from 0 to 100, not ${String(percent).slice(0, 64)}`);
  }
  const whole = percent === undefined ? undefined : Math.floor(percent);
  const metadata = metadataOf(options, { percent: whole, phase });
  return draft({ kind: "task.progress", taskId: trim(taskId), text: checkedText(text), metadata });
}

/** What an account is at, given its tasks, the last changed first. */
export function agentStatus(target: string, profile: Profile, tasks: readonly TaskSnapshot[]): AgentStatus {
  const { accountId, online, onlineSessions, username } = profile;
  const activeTasks = tasks.filter(({ state }) => !isTerminalTaskState(state));
  const name = `@${shown(username || accountId)}`;
  return {
    ok: true,
    target,
    username,
    accountId,
    online,
    sessionCount: onlineSessions.length,
    activeTasks,
    recentTasks: tasks,
    summary: online ? `${name} is ${activity(activeTasks)}` : `${name} is offline`,
  };
}

function activity(active: readonly TaskSnapshot[]): string {
  const task = active.find(({ status }) => status === "working") ?? active[0];
  if (task === undefined) return "online and idle";
  const name = shown(task.title ?? task.assignedText).slice(0, 200) || task.taskId;
  switch (task.status) {
    case "working": {
      const latest = shown(task.latestProgressText ?? "").slice(0, 200);
      return latest === "" ? `working on ${name}` : `working on ${name}: ${latest}`;
    }
    case "blocked":
      return `blocked on ${name}`;
    default:
      return `online and has not begun ${name}`;
  }
}

function draft(message: TaskMessage): TaskDraft {
  return { taskId: message.taskId, payload: taskMessagePayload(message, Timestamp.now().toString()) };
}

function metadataOf({ metadata = {} }: TaskMessageOptions, more: Record<string, unknown> = {}): RawJson {
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) {
    throw new InvalidArgumentError("metadata must be an object");
  }
  return RawJson.from({ ...metadata, ...more });
}
