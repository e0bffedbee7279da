/** The end of an attempt: what the registry is told, and the coordinator (PROTOCOL.md sections 22.4 and 22.7). */

import { ascii, RawJson } from "../../json/index.js";
import {
  extractText,
  isBlockedTaskState,
  isTerminalTaskState,
  MAX_TASK_RESULT_BYTES,
  newMessageId,
  RPC,
  type TaskFinishReply,
  type TaskFinishRequest,
  type TaskMessageKind,
  Timestamp,
  taskMessagePayload,
} from "../../protocol/index.js";
import { RegistryError } from "../errors.js";
import { callAsOwner } from "../mailbox/calls.js";
import { sendByMailbox } from "../mailbox/send.js";
import type { Session } from "../session.js";
import { shownError } from "../shown.js";
import { monotonic, pause } from "../waits.js";
import { isTooLarge, TaskFailure } from "./errors.js";
import type { Work } from "./work.js";

/** How long one request may take, and for how long it is repeated. */
const REQUEST_TIMEOUT_MS = 5_000;
const MAX_ATTEMPTS_MS = 600_000;
/** The pause before a request is made again; it doubles. */
const MIN_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 10_000;
/** Characters of a text and of a code: at most three bytes each, within the bounds of the registry. */
const MAX_TEXT_CHARACTERS = 16_384;
const MAX_CODE_CHARACTERS = 64;
/** By these the attempt does not count any more. */
const LOST_CODES: readonly string[] = ["task_lease_lost", "task_already_finished", "task_forbidden", "not_found"];
/** By these the registry refuses what the end says, such as a result that is too large for it. */
const REFUSED_CODES: readonly string[] = ["task_too_large", "task_invalid", "registry_refused"];

/** How an attempt ends. */
export type WorkEnd = Pick<TaskFinishRequest, "state" | "result" | "text" | "code" | "detail" | "retryable">;

/** The attempt is given back, and does not count. */
export const RELEASED: WorkEnd = { state: "submitted" };

/** The end of an attempt whose handler has returned a value. */
export function endOfValue(value: unknown): WorkEnd {
  if (value === undefined) return { state: "completed" };
  let result: RawJson;
  try {
    result = RawJson.from(value);
  } catch (error) {
    return endOfFailure(TaskFailure.failed("result_invalid", `the result is no JSON: ${shownError(error)}`));
  }
  const size = ascii(result.text).length;
  if (size > MAX_TASK_RESULT_BYTES) {
    const text = `the result has ${size} bytes; at most ${MAX_TASK_RESULT_BYTES} are allowed: put it into a blob`;
    return endOfFailure(TaskFailure.failed("result_too_large", text));
  }
  return { state: "completed", result, text: cut(extractText(result.view()), MAX_TEXT_CHARACTERS) };
}

/** The end of an attempt whose handler has thrown. */
export function endOfError(error: unknown, isCanceled: boolean): WorkEnd {
  if (error instanceof TaskFailure) return endOfFailure(error);
  if (isCanceled) return endOfFailure(TaskFailure.canceled());
  return endOfFailure(TaskFailure.retryable("handler_error", shownError(error)));
}

function endOfFailure({ state, code, detail, isRetryable }: TaskFailure): WorkEnd {
  if (state === "submitted") return RELEASED;
  const text = cut(detail, MAX_TEXT_CHARACTERS);
  if (isBlockedTaskState(state)) return { state, text };
  return { state, text, code: cut(code, MAX_CODE_CHARACTERS), detail: text, retryable: isRetryable };
}

/** Sends the coordinator the message about the end of an attempt. Never rejects. */
export type Notice = () => Promise<void>;

/**
 * Tells the registry how an attempt ended, again and again under the same id until it has answered, for ten minutes at most. Where it
 * refuses what the end says, the attempt has failed with the code `task_end_refused`. Never rejects.
 *
 * @returns what tells the coordinator; undefined where the registry has not taken it.
 */
export async function finishWork(session: Session, work: Work, end: WorkEnd): Promise<Notice | undefined> {
  const deadline = monotonic() + MAX_ATTEMPTS_MS;
  let reported = await report(session, work, end, deadline);
  if (reported.kind === "refused" && end.state !== RELEASED.state) {
    const { detail, message } = reported.refusal;
    session.logger.error("the registry refuses the end of a task", { taskId: work.taskId, error: reported.refusal });
    const failure = endOfFailure(TaskFailure.failed("task_end_refused", detail ?? message));
    reported = await report(session, work, failure, deadline);
  }
  if (reported.kind !== "noted") return undefined;
  const { request, reply } = reported;
  return () => tellCoordinator(session, work, request, reply);
}

/** What has become of a report about an end. */
type Reported =
  | { readonly kind: "noted"; readonly request: TaskFinishRequest; readonly reply: TaskFinishReply }
  | { readonly kind: "refused"; readonly refusal: RegistryError }
  | { readonly kind: "void" };

async function report(session: Session, work: Work, end: WorkEnd, deadline: number): Promise<Reported> {
  const { accountId, ended, logger, sessionTag } = session;
  const { attempt, lease } = work.claimed;
  const { taskId } = work;
  const finishId = newMessageId();
  const request: TaskFinishRequest = { accountId, sessionTag, taskId, attempt, lease, finishId, ...end };
  for (let backoffMs = MIN_BACKOFF_MS; ; backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS)) {
    try {
      const options = { timeoutMs: REQUEST_TIMEOUT_MS, signal: ended };
      return { kind: "noted", request, reply: await callAsOwner(session, RPC.taskFinish, request, options) };
    } catch (error) {
      if (ended.aborted) return { kind: "void" };
      if (isRefused(error)) return { kind: "refused", refusal: error };
      const isLost = error instanceof RegistryError && LOST_CODES.includes(error.code);
      if (isLost || monotonic() + backoffMs > deadline) {
        logger.warn("the end of a task's attempt does not count", { taskId, attempt, state: end.state, error });
        return { kind: "void" };
      }
      logger.debug("the end of a task's attempt could not be told; trying on", { taskId, attempt, error });
      await pause(backoffMs, ended);
    }
  }
}

/** Whether the end itself is why it is not taken, so that it would not be taken later either. */
function isRefused(error: unknown): error is RegistryError {
  return error instanceof RegistryError && (REFUSED_CODES.includes(error.code) || isTooLarge(error));
}

/** Sends the message that the later Python implementation sends; its id is that of the finish. Never rejects. */
async function tellCoordinator(
  session: Session,
  work: Work,
  request: TaskFinishRequest,
  reply: TaskFinishReply,
): Promise<void> {
  const { coordinatorAccountId, threadId } = work.claimed.task;
  const kind = messageKind(reply.state);
  if (kind === undefined || coordinatorAccountId === undefined) return;
  const { code, detail, finishId, result, taskId, text } = request;
  const metadata = kind === "task.result" ? {} : { state: reply.state, code, detail };
  // A message has less room than the registry, which has the whole result.
  const { maxPayloadBytes } = session.config.limits;
  const small = result !== undefined && ascii(result.text).length <= maxPayloadBytes / 2 ? result : undefined;
  const message = { kind, taskId, text: text ?? "", metadata: RawJson.from(metadata), result: small };
  const payload = taskMessagePayload(message, Timestamp.now().toString());
  try {
    const destination = { kind: "account", value: coordinatorAccountId } as const;
    const options = { threadId, traceId: taskId, signal: session.ended };
    await sendByMailbox(session, destination, payload, options, true, finishId);
  } catch (error) {
    // The registry has the result.
    if (!session.ended.aborted) session.logger.debug("a coordinator was not told of a result", { taskId, error });
  }
}

/** The message about a task that stands like this; undefined where there is none: another attempt comes. */
function messageKind(state: string): TaskMessageKind | undefined {
  if (state === "completed") return "task.result";
  if (isBlockedTaskState(state)) return "task.blocked";
  return isTerminalTaskState(state) ? "task.failed" : undefined;
}

function cut(text: string | undefined, max: number): string | undefined {
  return text === undefined || text.length <= max ? text : `${text.slice(0, max - 1)}…`;
}
