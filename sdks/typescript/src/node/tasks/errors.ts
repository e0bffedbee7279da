/** The errors of tasks: of the calls about them, and of the handlers that do them. */

import { AgentNetError } from "../../errors.js";
import { taskErrorOf } from "../../protocol/index.js";
import { InvalidArgumentError, RegistryError } from "../errors.js";
import { shown } from "../shown.js";

/** Failures after which a request is worth making again: the registry did not answer, or could not. */
const UNAVAILABLE_CODES: readonly string[] = [
  "no_registry",
  "registry_timeout",
  "invalid_response",
  "not_connected",
  "task_unsupported",
  "task_failed",
  "task_status_failed",
  "task_list_failed",
];

/**
 * The registry refused a request about a task. Codes (PROTOCOL.md section 22.3): `task_conflict` (another task has this id
 * or key), `task_lease_lost`, `task_already_finished`, `task_not_cancelable`, `task_needs_no_input`, `task_not_retriable`,
 * `task_forbidden`, `task_session_unknown`, `task_parent_unknown`, `task_invalid`, `task_limit_reached`, `task_too_large`,
 * `task_disabled`, `task_failed`, `task_status_failed`, `task_list_failed` (the store failed); and `task_unsupported` (no registry of
 * the network has tasks). An unknown task is a `RegistryError` with the code `not_found`.
 */
export class TaskError extends RegistryError {
  /** The task; empty where it has no id yet. */
  readonly taskId: string;

  constructor(code: string, detail: string, data: { readonly rpc: string; readonly taskId: string; cause?: unknown }) {
    const { rpc, taskId, cause } = data;
    super(`${shown(detail || code)} (${shown(code)})`, { code, detail, rpc, cause }, "TaskError");
    this.taskId = taskId;
  }
}

/** The error of a call about a task, as callers get it. */
export function taskError(error: unknown, taskId = ""): unknown {
  if (!(error instanceof RegistryError) || error instanceof TaskError) return error;
  const { code, detail, rpc } = error;
  if (code === "no_registry") {
    const text = "the network's registry has no tasks: it is of an older version, or does not run";
    return new TaskError("task_unsupported", text, { rpc, taskId, cause: error });
  }
  if (!code.startsWith("task_")) return error;
  return new TaskError(code, taskErrorOf(detail ?? "")?.detail ?? error.message, { rpc, taskId, cause: error });
}

/** Whether a call failed because no registry could answer it now. */
export function isUnavailable(error: unknown): boolean {
  return error instanceof RegistryError && UNAVAILABLE_CODES.includes(error.code);
}

/** Whether a request is too large for the NATS server: made again, it fails again. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof RegistryError && error.cause instanceof InvalidArgumentError;
}

/** Whether a call failed because no registry listens for it. */
export function isUnsupported(error: unknown): boolean {
  return error instanceof RegistryError && (error.code === "no_registry" || error.code === "task_unsupported");
}

/** Where a {@link TaskFailure} leaves its task. */
export type TaskFailureState = "submitted" | "failed" | "rejected" | "canceled" | "input_required" | "auth_required";

/** What a {@link TaskFailure} is made of. */
interface FailureParts {
  readonly state: TaskFailureState;
  readonly code: string;
  readonly detail?: string;
  readonly isRetryable?: boolean;
}

/** Thrown by the handler of a task: how the attempt ends, other than by a result. */
export class TaskFailure extends AgentNetError {
  /** Where the task stands then. */
  readonly state: TaskFailureState;
  /** Whether another attempt may help. */
  readonly isRetryable: boolean;

  private constructor({ state, code, detail, isRetryable = false }: FailureParts) {
    super(detail || code, detail === undefined ? { code } : { code, detail });
    this.name = "TaskFailure";
    this.state = state;
    this.isRetryable = isRetryable;
  }

  /** The task cannot be done; another attempt would not help. */
  static failed(code: string, detail?: string): TaskFailure {
    return new TaskFailure({ state: "failed", code, ...(detail === undefined ? {} : { detail }) });
  }

  /** The attempt failed; another one may help, if the task has one left. */
  static retryable(code: string, detail?: string): TaskFailure {
    return new TaskFailure({ state: "failed", code, isRetryable: true, ...(detail === undefined ? {} : { detail }) });
  }

  /** The worker does not do such work. */
  static rejected(detail: string): TaskFailure {
    return new TaskFailure({ state: "rejected", code: "rejected", detail });
  }

  /** The worker has stopped, because the task was cancelled. */
  static canceled(detail?: string): TaskFailure {
    return new TaskFailure({ state: "canceled", code: "canceled", ...(detail === undefined ? {} : { detail }) });
  }

  /** The worker gives the task back: the attempt does not count, and the next one finds the last checkpoint. */
  static released(): TaskFailure {
    return new TaskFailure({ state: "submitted", code: "released" });
  }

  /** The worker needs an answer: once `TaskHandle.input` has given one, any worker may claim the task. */
  static inputRequired(text: string): TaskFailure {
    return new TaskFailure({ state: "input_required", code: "input_required", detail: text });
  }

  /** As {@link inputRequired}, where the worker needs a permission. */
  static authRequired(text: string): TaskFailure {
    return new TaskFailure({ state: "auth_required", code: "auth_required", detail: text });
  }
}
