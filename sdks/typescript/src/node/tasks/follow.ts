/** Following a task: its events in their order, as they happen (PROTOCOL.md section 22.5). */

import { RPC, type TaskEvent, type TaskEventsReply } from "../../protocol/index.js";
import { NotRunningError } from "../errors.js";
import type { Session } from "../session.js";
import { monotonic, pause, throwIfAborted } from "../waits.js";
import { linked } from "./calls.js";
import { isUnavailable, isUnsupported, taskError } from "./errors.js";

/** Events of one page. */
const PAGE_EVENTS = 200;
/** How long a registry holds a request for events, and how much longer its answer may take. */
const WAIT_MS = 10_000;
const ANSWER_MARGIN_MS = 5_000;
/** The shortest time between two requests without an event: a registry that holds too many answers at once. */
const MIN_INTERVAL_MS = 1_000;
/** The pause after a registry did not answer; it doubles. */
const MIN_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 5_000;

/** How long an outage is waited for. */
const MAX_OUTAGE_MS = 600_000;

/** How events are followed. */
export interface FollowOptions {
  /** Only events behind this number. */
  readonly after: number;
  readonly signal: AbortSignal | undefined;
  /** The outage that ends the wait. */
  readonly outage: Outage;
}

/** The time for which no registry has answered. */
export class Outage {
  #hasAnswered: boolean;
  #since: number | undefined;

  /** @param hasAnswered Whether a registry has answered a request about the task before. */
  constructor(hasAnswered: boolean) {
    this.#hasAnswered = hasAnswered;
  }

  /** A registry has answered. */
  answered(): void {
    this.#hasAnswered = true;
    this.#since = undefined;
  }

  /**
   * Throws the error of a request, unless it is worth making again: the registry, or its database, is away, for less than ten minutes.
   * Where no registry has ever answered such a request, the network has no tasks.
   */
  throwIfOver(error: unknown, taskId: string): void {
    const isNever = !this.#hasAnswered && isUnsupported(error);
    this.#since ??= monotonic();
    if (isNever || !isUnavailable(error) || monotonic() - this.#since > MAX_OUTAGE_MS) throw taskError(error, taskId);
  }
}

/**
 * The events of a task behind a number, until it has ended; nothing of one that has ended already and has no further ones. A registry
 * that is away is waited for, for ten minutes.
 *
 * @throws {RegistryError} `not_found` among others. @throws {NotRunningError} The node was closed. @throws the reason of the signal.
 */
export async function* followTask(
  session: Session,
  taskId: string,
  { after, signal, outage }: FollowOptions,
): AsyncGenerator<TaskEvent, void, undefined> {
  let last = after;
  for (let backoffMs = MIN_BACKOFF_MS; ; ) {
    check(session, signal);
    const asked = monotonic();
    const wait = linked(session, signal);
    let reply: TaskEventsReply;
    try {
      const request = { taskId, after: last, limit: PAGE_EVENTS, waitMs: WAIT_MS };
      const options = { timeoutMs: WAIT_MS + ANSWER_MARGIN_MS, signal: wait.signal };
      reply = await session.registry.callOnce(RPC.taskEvents, request, options);
    } catch (error) {
      check(session, signal);
      // The connection is back: what was asked before may be lost.
      if (wait.signal.aborted) continue;
      outage.throwIfOver(error, taskId);
      session.logger.debug("the events of a task could not be read; trying on", { taskId, error });
      await pause(backoffMs, signal, session.ended);
      backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
      continue;
    } finally {
      wait.end();
    }
    outage.answered();
    backoffMs = MIN_BACKOFF_MS;
    let isNew = false;
    for (const event of reply.events) {
      if (event.seq <= last) continue;
      last = event.seq;
      isNew = true;
      yield event;
    }
    if (reply.terminal && (last >= reply.last || !isNew)) return;
    if (!isNew) await pause(MIN_INTERVAL_MS - (monotonic() - asked), signal, session.ended);
  }
}

function check(session: Session, signal: AbortSignal | undefined): void {
  throwIfAborted(signal);
  if (session.ended.aborted) throw new NotRunningError("the node was closed while it followed a task");
}
