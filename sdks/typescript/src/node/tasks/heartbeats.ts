/** The heartbeats of a session's tasks, several in one request (PROTOCOL.md section 22.7). */

import {
  MAX_TASK_HEARTBEATS,
  MAX_TASK_REQUEST_BYTES,
  RPC,
  type TaskHeartbeatReply,
  taskHeartbeatText,
} from "../../protocol/index.js";
import { RegistryError } from "../errors.js";
import { callAsOwner } from "../mailbox/calls.js";
import type { Session } from "../session.js";
import { monotonic, timerDelay } from "../waits.js";
import { isTooLarge, isUnavailable, TaskError, taskError } from "./errors.js";
import { type PendingReport, settle, type Work } from "./work.js";

/** How long a heartbeat that is wanted at once waits for others. */
const BATCH_DELAY_MS = 20;
/** Bytes of the heartbeats of one request; the rest is for the other members. */
const MAX_BATCH_BYTES = MAX_TASK_REQUEST_BYTES - 65_536;
/** How long one request may take. */
const MIN_REQUEST_MS = 500;
const MAX_REQUEST_MS = 5_000;
/** The pause before heartbeats are sent again that the registry has not confirmed. */
const MAX_RETRY_MS = 2_000;

/** By these the lease is over; by any other code the registry refuses the report that goes with a heartbeat. */
const LOST_CODES: readonly string[] = ["task_lease_lost", "not_found"];

/** A heartbeat on its way. */
interface Beat {
  readonly work: Work;
  readonly report: PendingReport | undefined;
}

/** Sends the heartbeats of one session. */
export class Heartbeats {
  readonly #session: Session;
  readonly #works = new Set<Work>();
  readonly #warned = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isSending = false;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Sends heartbeats of this task from now on. */
  add(work: Work): void {
    this.#works.add(work);
    this.#schedule();
  }

  /** Sends none any more. */
  remove(work: Work): void {
    this.#works.delete(work);
  }

  /** Sends one very soon. */
  soon(work: Work): void {
    if (!this.#works.has(work)) return;
    work.nextBeat = Math.min(work.nextBeat, monotonic() + BATCH_DELAY_MS);
    this.#schedule();
  }

  /** Sends those of all tasks very soon: the connection is back. */
  allSoon(): void {
    for (const work of this.#works) this.soon(work);
  }

  /** Sends none any more: the session has ended. */
  end(): void {
    clearTimeout(this.#timer);
    this.#works.clear();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#isSending || this.#works.size === 0) return;
    let next = Infinity;
    for (const work of this.#works) next = Math.min(next, work.nextBeat);
    this.#timer = setTimeout(() => void this.#run(), timerDelay(next - monotonic()));
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      for (const batch of this.#due()) await this.#send(batch);
    } catch (error) {
      this.#session.logger.error("heartbeats of tasks could not be sent", { error });
      for (const work of this.#works) if (work.nextBeat === Infinity) this.#again(work, undefined);
    } finally {
      this.#isSending = false;
      this.#schedule();
    }
  }

  /** What is due, and what would be soon, in batches that fit into a request. */
  #due(): Beat[][] {
    const now = monotonic();
    const due = [...this.#works].filter((work) => work.nextBeat <= now + work.beatInterval / 2);
    const batches: Beat[][] = [];
    let batch: Beat[] = [];
    let bytes = 0;
    for (const work of due) {
      const report = work.takeReport();
      // What comes while this one is on its way is for the next one.
      work.nextBeat = Infinity;
      const size = taskHeartbeatText(work.heartbeat(report)).length + 1;
      if (batch.length > 0 && (batch.length >= MAX_TASK_HEARTBEATS || bytes + size > MAX_BATCH_BYTES)) {
        batches.push(batch);
        batch = [];
        bytes = 0;
      }
      batch.push({ work, report });
      bytes += size;
    }
    if (batch.length > 0) batches.push(batch);
    return batches;
  }

  async #send(batch: readonly Beat[]): Promise<void> {
    const { accountId, ended, sessionTag } = this.#session;
    const items = batch.map(({ work, report }) => work.heartbeat(report));
    const interval = Math.min(...batch.map(({ work }) => work.beatInterval));
    const timeoutMs = Math.min(Math.max(interval, MIN_REQUEST_MS), MAX_REQUEST_MS);
    const sentAt = monotonic();
    let reply: TaskHeartbeatReply;
    try {
      const options = { timeoutMs, signal: ended };
      reply = await callAsOwner(this.#session, RPC.taskHeartbeat, { accountId, sessionTag, items }, options);
    } catch (error) {
      this.#failed(batch, error);
      return;
    }
    for (const [index, { work, report }] of batch.entries()) {
      const result = reply.items[index];
      if (result?.taskId !== work.taskId || result.code === "task_failed") {
        this.#again(work, report);
        continue;
      }
      if (result.ok) {
        work.confirmed(sentAt);
        settle(report);
        if (result.cancelRequested) work.cancel();
        continue;
      }
      const { code = "" } = result;
      if (code !== "" && !LOST_CODES.includes(code)) {
        // The report is refused, not the lease: the heartbeat itself is sent again without it.
        const text = `the registry refuses the report: ${code}`;
        settle(report, new TaskError(code, text, { rpc: RPC.taskHeartbeat.name, taskId: work.taskId }));
        this.#again(work, undefined);
        continue;
      }
      this.#works.delete(work);
      work.lose(true);
      // Its own error, for the handler that waits for it.
      work.putBack(report);
    }
  }

  #failed(batch: readonly Beat[], error: unknown): void {
    const { ended, logger } = this.#session;
    const isRefused =
      error instanceof RegistryError && (isTooLarge(error) || (error.isRefusal && !isUnavailable(error)));
    const code = error instanceof RegistryError ? error.code : "";
    if (isRefused && !this.#warned.has(code)) {
      this.#warned.add(code);
      logger.warn("the registry refuses heartbeats of tasks", { error });
    } else if (!ended.aborted) {
      logger.debug("heartbeats of tasks could not be sent; trying again", { error });
    }
    // A report that the registry does not take must not keep the heartbeat itself away.
    const isReportRefused = isRefused && !code.startsWith("auth_") && code !== "task_session_unknown";
    for (const { work, report } of batch) {
      if (isReportRefused && report !== undefined) {
        settle(report, taskError(error, work.taskId));
        this.#again(work, undefined);
      } else {
        this.#again(work, report);
      }
    }
  }

  #again(work: Work, report: PendingReport | undefined): void {
    work.putBack(report);
    work.nextBeat = Math.min(work.nextBeat, monotonic() + Math.min(work.beatInterval / 2, MAX_RETRY_MS));
  }
}
