/** The requests, replies and events of tasks (PROTOCOL.md sections 22.3 and 22.5). Times are texts of section 3. */

import type { RawJson } from "../json/index.js";
import type { SignedRequest } from "./mailbox-types.js";
import type { TaskState } from "./task.js";

/** One event of a task; also what is published on `agentnet.events.<account_id>.task`. */
export interface TaskEvent {
  /** The task; absent in a list of one task's events. */
  taskId?: string;
  /** Counts from 1 without gaps. */
  seq: number;
  /** When. */
  at: string;
  /**
   * `created`, `claimed`, `progress`, `input`, `blocked`, `lost`, `retried`, `released`, `cancel_requested`, `finished`, or
   * `ignored`.
   */
  type: string;
  /** The attempt that it belongs to. */
  attempt: number;
  /** The state of the task after it, a {@link TaskState}. */
  state?: string;
  text?: string;
  /** More of it, such as `percent`, `phase` or `code`. */
  data?: RawJson;
  /** The account that caused it. */
  fromAccountId?: string;
  /** The message that caused it. */
  messageId?: string;
}

/** How many parts of a task have ended. */
export interface TaskChildren {
  /** Parts that have not. */
  open: number;
  /** Parts that have. */
  done: number;
}

/** A task at one moment, as the later Python implementation describes it, and more. */
export interface TaskSnapshot {
  taskId: string;
  /** The word of the later Python implementation: `assigned`, `working`, `completed`, `blocked` or `failed`. */
  status: string;
  /** The kind of the last message about it, such as `task.progress`. */
  type: string;
  title?: string;
  /** The last text about it. */
  text: string;
  /** What is to be done. */
  assignedText: string;
  threadId?: string;
  /** The account that is to do it, or does it. */
  assigneeAccountId?: string;
  /** The account that asked for it. */
  coordinatorAccountId?: string;
  /** The name that this account calls itself in it. */
  coordinator?: string;
  /** The task that it is a part of. */
  parentTaskId?: string;
  /** The text of the last progress. */
  latestProgressText?: string;
  /** Number of progresses. */
  progressEventCount: number;
  createdAt: string;
  updatedAt: string;
  /** The last message about it. */
  messageId?: string;
  /** It has ended, or waits for an answer, as the later Python implementation has it: see `state`. */
  terminal: boolean;
  /** Number of events: the `seq` of the last one. */
  eventCount: number;
  latestEvent?: TaskEvent;
  /** A {@link TaskState}. */
  state: string;
  /** It waits for an answer, and continues after it. */
  resumable: boolean;
  /** Why it ended: a code. */
  code?: string;
  /** Why it ended: a sentence. */
  detail?: string;
  /** What came of it. */
  result?: RawJson;
  /** The attempt, from 1; 0 before the first. */
  attempt: number;
  /** Attempts at most. */
  maxAttempts: number;
  /** The capability that its worker must have. */
  capability?: string;
  /** `message`: its worker gets the task and reports by messages. */
  delivery?: string;
  /** The account of the worker. */
  workerAccountId?: string;
  /** When the worker counts as lost, unless it is heard of. */
  leaseUntil?: string;
  /** When the worker was last heard of. */
  heartbeatAt?: string;
  /** The worker has been silent for half of its time, or is offline. */
  stalled: boolean;
  /** A cancellation was requested, and its worker has not stopped yet. */
  cancelRequested: boolean;
  /** Not before this time. */
  notBefore?: string;
  /** When it is given up. */
  deadlineAt?: string;
  /** -100 to 100; the highest first. */
  priority: number;
  /** Percent of the last progress. */
  percent?: number;
  /** Phase of the last progress. */
  phase?: string;
  /** Its parts. */
  children?: TaskChildren;
  /** Counts every change. */
  revision: number;
  /** The JSON object that its coordinator gave it. */
  metadata: RawJson;
}

/** `registry.task_create`. */
export interface TaskCreateRequest extends SignedRequest {
  /** An id of the caller's; without, the registry makes one. */
  taskId?: string | undefined;
  /** Who is to do it: an account id, or `capability:<name>`. */
  to: string;
  title?: string | undefined;
  /** What is to be done. */
  text: string;
  /** The same for programs. */
  payload?: RawJson | undefined;
  threadId?: string | undefined;
  parentTaskId?: string | undefined;
  /** The coordinator's own name for the work: a second task with it is not made. */
  idempotencyKey?: string | undefined;
  /** The name that the coordinator calls itself in it. */
  coordinator?: string | undefined;
  /** -100 to 100; default 0. */
  priority?: number | undefined;
  notBefore?: string | undefined;
  deadlineAt?: string | undefined;
  /** 1 to 20; default 1. */
  maxAttempts?: number | undefined;
  /** Delay before the second attempt; it doubles with each. Default 1,000. */
  backoffMs?: number | undefined;
  /** 1,000 to 3,600,000; default 30,000. */
  heartbeatMs?: number | undefined;
  /** A JSON object. */
  metadata: RawJson;
}

/** The task that was asked for. */
export interface TaskCreateReply {
  task: TaskSnapshot;
  /** It is new; otherwise its id or its key was known. */
  created: boolean;
  /** `lease`: its worker claims it; `message`: the account is to get a message `task.assign`. */
  delivery: string;
  generatedAt: string;
}

/** One task. */
export interface TaskReply {
  task: TaskSnapshot;
  /** When it goes on. */
  nextAttemptAt?: string;
  generatedAt: string;
}

/** A request of an account about one task. */
export interface TaskAccountRequest extends SignedRequest {
  taskId: string;
}

/** `registry.task_cancel`. */
export interface TaskCancelRequest extends TaskAccountRequest {
  reason?: string | undefined;
  /** Its parts go on. */
  keepChildren?: boolean | undefined;
}

/** `registry.task_input`. */
export interface TaskInputRequest extends TaskAccountRequest {
  /** The answer. */
  payload?: RawJson | undefined;
}

/** `registry.task_retry`. */
export interface TaskRetryRequest extends TaskAccountRequest {
  notBefore?: string | undefined;
}

/** `registry.task_status`. */
export interface TaskStatusRequest {
  taskId: string;
}

/** `registry.task_list`. */
export interface TaskListRequest {
  /** Only tasks for this account, or that it has or had. */
  assigneeAccountId?: string | undefined;
  /** Only tasks that this account asked for. */
  coordinatorAccountId?: string | undefined;
  /** Only tasks in this state. */
  state?: TaskState | undefined;
  /** The same as a word of the later Python implementation, which stands for one or several states. */
  status?: string | undefined;
  /** Only parts of this task. */
  parentTaskId?: string | undefined;
  /** Only tasks for agents with this capability. */
  capability?: string | undefined;
  /** Only tasks that changed since then. */
  since?: string | undefined;
  /** 1 to 100; default 20. */
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** A page of tasks, the one first that changed last. */
export interface TaskListReply {
  tasks: TaskSnapshot[];
  limit: number;
  /** The next page; absent on the last one. */
  nextCursor?: string;
  generatedAt: string;
}

/** `registry.task_events`. */
export interface TaskEventsRequest {
  taskId: string;
  /** Only events behind this one; default 0: all. */
  after?: number | undefined;
  /** 1 to 200; default 100. */
  limit?: number | undefined;
  /** How long to wait for an event where there is none: 0 to 25,000; default 0. */
  waitMs?: number | undefined;
}

/** Events of one task, in their order. */
export interface TaskEventsReply {
  taskId: string;
  events: TaskEvent[];
  /** The number of the last event that there is. */
  last: number;
  /** The task has ended: no further event comes. */
  terminal: boolean;
  generatedAt: string;
}

/** `registry.task_claim`. */
export interface TaskClaimRequest extends SignedRequest {
  /** Also tasks for any agent with one of these. */
  capabilities: readonly string[];
  /** Only this task. */
  taskId?: string | undefined;
  /** 1 to 32; default 1. */
  max?: number | undefined;
  /** How long to wait for a task where there is none: 0 to 25,000; default 0. */
  waitMs?: number | undefined;
  /** Names the claim: with the same one the registry gives the same tasks again. At most 64 letters, digits, `-` and `_`. */
  claimId?: string | undefined;
}

/** A task that a session has to do. */
export interface ClaimedTask {
  task: TaskSnapshot;
  /** The attempt, from 1. */
  attempt: number;
  /** Names the lease. */
  lease: string;
  /** When the lease ends, unless a heartbeat comes. */
  leaseUntil: string;
  /** A heartbeat must come within so many milliseconds. */
  heartbeatMs: number;
  /** What is to be done, for programs. */
  payload?: RawJson;
  /** What an earlier attempt left. */
  checkpoint?: RawJson;
  /** The answer that the last attempt waited for. */
  input?: RawJson;
}

/** Tasks to do. */
export interface TaskClaimReply {
  tasks: ClaimedTask[];
  generatedAt: string;
}

/** How far a worker is. */
export interface TaskProgress {
  text?: string | undefined;
  /** 0 to 100. */
  percent?: number | undefined;
  /** A word, such as `working`. */
  phase?: string | undefined;
}

/** A worker is still at its task. */
export interface TaskHeartbeat {
  taskId: string;
  attempt: number;
  lease: string;
  progress?: TaskProgress | undefined;
  /** What the next attempt shall get. */
  checkpoint?: RawJson | undefined;
}

/** `registry.task_heartbeat`. */
export interface TaskHeartbeatRequest extends SignedRequest {
  /** At most 100. */
  items: readonly TaskHeartbeat[];
}

/** What one heartbeat did. */
export interface TaskHeartbeatResult {
  taskId: string;
  /** The lease goes on. */
  ok: boolean;
  /** When it ends. */
  leaseUntil?: string;
  /** A cancellation was requested: stop. */
  cancelRequested: boolean;
  /** Why the lease does not go on. */
  code?: string;
}

/** What the heartbeats did, in their order. */
export interface TaskHeartbeatReply {
  items: TaskHeartbeatResult[];
  generatedAt: string;
}

/** `registry.task_finish`. */
export interface TaskFinishRequest extends SignedRequest {
  taskId: string;
  attempt: number;
  lease: string;
  /** Stays the same when the request is repeated. */
  finishId: string;
  /** Where the task stands now; `submitted` gives it back. */
  state: Exclude<TaskState, "working">;
  result?: RawJson | undefined;
  text?: string | undefined;
  /** Of a failure: its code. */
  code?: string | undefined;
  /** Of a failure: what happened. */
  detail?: string | undefined;
  /** Of a failure: another attempt may help. */
  retryable?: boolean | undefined;
}

/** What has become of a task that was finished. */
export interface TaskFinishReply {
  finished: boolean;
  /** It was noted before, by the same request. */
  duplicate: boolean;
  /** A {@link TaskState}: `submitted` where another attempt comes. */
  state: string;
  /** When that begins. */
  nextAttemptAt?: string;
  generatedAt: string;
}
