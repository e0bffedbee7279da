/** One task that a session has: its lease, what is told of it, and what ends it (PROTOCOL.md section 22.7). */

import type { RawJson } from "../../json/index.js";
import {
  type ClaimedTask,
  MAX_TASK_HEARTBEAT_MS,
  MIN_TASK_HEARTBEAT_MS,
  RPC,
  type TaskHeartbeat,
  type TaskProgress,
  Timestamp,
} from "../../protocol/index.js";
import { HandlerLifetime } from "../context.js";
import { NotRunningError } from "../errors.js";
import { type Deferred, deferred, monotonic, timerDelay } from "../waits.js";
import { TaskError, TaskFailure } from "./errors.js";

/** Heartbeats within the time after which a silent worker has lost its task. */
const HEARTBEATS_PER_LEASE = 3;
/**
 * When the first heartbeat is sent, unless the attempt has ended by then: the registry does not count an attempt whose worker
 * has sent nothing (PROTOCOL.md section 22.7).
 */
const FIRST_BEAT_MS = 200;

/** What a handler tells of its work. */
export interface Report {
  readonly progress?: TaskProgress | undefined;
  readonly checkpoint?: RawJson | undefined;
}

/** A report that the registry does not have yet, and the calls that wait until it has. */
export interface PendingReport extends Report {
  readonly waiting: readonly Deferred<void>[];
}

/** A claimed task. */
export class Work {
  readonly claimed: ClaimedTask;
  /** A worker that is silent for so long has lost its task, in milliseconds. */
  readonly heartbeatMs: number;
  /** When the next heartbeat is due, in monotonic milliseconds; infinity while one is on its way and no other is wanted. */
  nextBeat: number;
  readonly #onReport: (work: Work) => void;
  readonly #lifetime = new HandlerLifetime();
  readonly #canceled = deferred<void>();
  readonly #lost = deferred<void>();
  #isCanceled = false;
  #isLost = false;
  #isRefused = false;
  #hasEnded = false;
  #pending: PendingReport | undefined;
  #leaseEnd: number;
  #leaseTimer: ReturnType<typeof setTimeout> | undefined;

  /** @param generatedAt The registry's clock when it gave the task. */
  constructor(claimed: ClaimedTask, generatedAt: string, onReport: (work: Work) => void) {
    this.claimed = claimed;
    this.#onReport = onReport;
    this.heartbeatMs = Math.min(Math.max(claimed.heartbeatMs, MIN_TASK_HEARTBEAT_MS), MAX_TASK_HEARTBEAT_MS);
    const now = monotonic();
    const leaseMs = remainingMs(claimed.leaseUntil, generatedAt, this.heartbeatMs);
    this.nextBeat = now + Math.min(leaseMs / HEARTBEATS_PER_LEASE, FIRST_BEAT_MS);
    this.#leaseEnd = now + leaseMs;
    this.#watchLease();
  }

  get taskId(): string {
    return this.claimed.task.taskId;
  }

  /** Time between two heartbeats, in milliseconds. */
  get beatInterval(): number {
    return this.heartbeatMs / HEARTBEATS_PER_LEASE;
  }

  /** Is aborted when the handler is to stop. */
  get signal(): AbortSignal {
    return this.#lifetime.signal;
  }

  /** Whether the task is not wanted any more. */
  get isCanceled(): boolean {
    return this.#isCanceled;
  }

  /** Resolves when it is not, and when the lease is over. */
  get canceled(): Promise<void> {
    return this.#canceled.promise;
  }

  /** Whether the lease is over. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Whether the registry has said so: otherwise it may still take the result. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  /** Resolves when the lease is over. */
  get lost(): Promise<void> {
    return this.#lost.promise;
  }

  /** Whether the attempt has ended here: its result is on its way, or it was given back. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Tells something of the work with the next heartbeat, which comes at once; resolves when the registry has it. */
  report(report: Report): Promise<void> {
    const waiting = deferred<void>();
    if (this.#isLost || this.#hasEnded) {
      const text = "the attempt has ended: nothing more can be reported";
      waiting.reject(this.#isLost ? this.#leaseLostError() : new NotRunningError(text));
      return waiting.promise;
    }
    this.#pending = merged(this.#pending, { ...report, waiting: [waiting] });
    this.#onReport(this);
    return waiting.promise;
  }

  /** What is to be told, which from now on is on its way. */
  takeReport(): PendingReport | undefined {
    const pending = this.#pending;
    this.#pending = undefined;
    return pending;
  }

  /** A report did not reach the registry: it goes with the next heartbeat. */
  putBack(report: PendingReport | undefined): void {
    if (report === undefined) return;
    if (this.#isLost || this.#hasEnded) settle(report, this.#leaseLostError());
    else this.#pending = this.#pending === undefined ? report : merged(report, this.#pending);
  }

  /** The heartbeat as it stands in a request. */
  heartbeat(report: Report | undefined): TaskHeartbeat {
    const { attempt, lease } = this.claimed;
    return { taskId: this.taskId, attempt, lease, progress: report?.progress, checkpoint: report?.checkpoint };
  }

  /** The registry has confirmed the lease; `sentAt` is when it was asked. */
  confirmed(sentAt: number): void {
    this.nextBeat = Math.min(this.nextBeat, sentAt + this.beatInterval);
    this.#leaseEnd = Math.max(this.#leaseEnd, sentAt + this.heartbeatMs);
    this.#watchLease();
  }

  /** The task is not wanted any more. */
  cancel(): void {
    if (this.#isCanceled || this.#isLost) return;
    this.#isCanceled = true;
    this.#canceled.resolve();
    this.#lifetime.end(TaskFailure.canceled("the task was canceled"));
  }

  /** The lease is over. @param isRefused The registry has said so. */
  lose(isRefused: boolean): void {
    this.#isRefused ||= isRefused;
    if (this.#isLost) return;
    this.#isLost = true;
    clearTimeout(this.#leaseTimer);
    const error = this.#leaseLostError();
    settle(this.takeReport(), error);
    this.#canceled.resolve();
    this.#lost.resolve();
    this.#lifetime.end(error);
  }

  /** The handler has ended, or the attempt is given back: the first of them counts. */
  end(): boolean {
    if (this.#hasEnded) return false;
    this.#hasEnded = true;
    return true;
  }

  /** Gives the attempt back: the node closes. False where the handler has ended. */
  release(): boolean {
    if (!this.end()) return false;
    const error = new NotRunningError("the node is closing, and its drain time is over");
    settle(this.takeReport(), error);
    this.#lifetime.end(error);
    return true;
  }

  /** Nothing is done with it any more. */
  close(): void {
    this.#hasEnded = true;
    clearTimeout(this.#leaseTimer);
    settle(this.takeReport(), this.#leaseLostError());
  }

  #watchLease(): void {
    if (this.#isLost) return;
    clearTimeout(this.#leaseTimer);
    this.#leaseTimer = setTimeout(
      () => {
        if (monotonic() < this.#leaseEnd) this.#watchLease();
        else this.lose(false);
      },
      timerDelay(this.#leaseEnd - monotonic()),
    );
  }

  #leaseLostError(): TaskError {
    const text = "the lease of the task is over: another worker may have it";
    return new TaskError("task_lease_lost", text, { rpc: RPC.taskHeartbeat.name, taskId: this.taskId });
  }
}

/** What is left of a lease: less than a whole one where a claim was made again, since the reply to the first was lost. */
function remainingMs(leaseUntil: string, generatedAt: string, heartbeatMs: number): number {
  const end = Timestamp.parse(leaseUntil);
  const now = Timestamp.parse(generatedAt);
  if (end === undefined || now === undefined) return heartbeatMs;
  return Math.min(Math.max(Number((end.micros - now.micros) / 1_000n), 0), heartbeatMs);
}

/** Ends the calls that wait for a report. */
export function settle(report: PendingReport | undefined, error?: unknown): void {
  for (const waiting of report?.waiting ?? []) {
    if (error === undefined) waiting.resolve();
    else waiting.reject(error);
  }
}

/** Two reports as one: what the later one says counts. */
function merged(earlier: PendingReport | undefined, later: PendingReport): PendingReport {
  if (earlier === undefined) return later;
  const progress =
    earlier.progress === undefined || later.progress === undefined
      ? (later.progress ?? earlier.progress)
      : {
          text: later.progress.text ?? earlier.progress.text,
          percent: later.progress.percent ?? earlier.progress.percent,
          phase: later.progress.phase ?? earlier.progress.phase,
        };
  return {
    progress,
    checkpoint: later.checkpoint ?? earlier.checkpoint,
    waiting: [...earlier.waiting, ...later.waiting],
  };
}
