/** Execution: the backlog, the handler under its timeout, the circuit breaker, the final receipt. */

import type { Msg } from "@nats-io/nats-core";

import { type Envelope, REJECT, type Reject } from "../protocol/index.js";
import { Context, type Handler, HandlerLifetime } from "./context.js";
import { AgentTimeoutError, isStreamCancelled, NotRunningError } from "./errors.js";
import type { Message } from "./message.js";
import type { AgentNode } from "./node.js";
import type { Rejections } from "./rejections.js";
import type { Session } from "./session.js";
import { type Deferred, deferred, monotonic } from "./waits.js";

/** Is told how it goes on with a message that the session has leased (PROTOCOL.md section 21.4). */
export interface Progress {
  /** It was not accepted. */
  refused(reject: Reject): void;
  /** It is accepted. */
  accepted(): void;
  /** Its handler has ended; undefined where it went well. Whether the message goes back as if it had not been tried. */
  ended(reject: Reject | undefined): boolean;
}

/** An accepted message. */
export interface Job {
  readonly message: Message;
  readonly raw: Msg;
  /** The publishing of the receipt `accepted`, which comes before everything else; undefined where that is done. */
  readonly receipt: Promise<void> | undefined;
  /** Who is told how it goes on: of a message that was leased, also while another copy of it was handled. */
  readonly joined: Progress[];
}

/** Runs the handler on accepted messages, up to a number at the same time. */
export class Workers {
  readonly #session: Session;
  readonly #node: AgentNode;
  readonly #handler: () => Handler;
  readonly #rejections: Rejections;
  readonly #forget: (message: Readonly<Envelope>) => void;
  #backlog: Job[] = [];
  /** Jobs at the front of the backlog that are gone. */
  #head = 0;
  /** Those whose handlers run. */
  readonly #running = new Set<Job>();
  #isStarting = false;
  /** Ends the handlers that run: the drain time is over. */
  readonly #aborts = new Set<() => void>();
  #isAborted = false;
  #idle: Deferred<void> | undefined;
  #room: Deferred<void> | undefined;
  #hasWarned = false;

  constructor(
    session: Session,
    node: AgentNode,
    handler: () => Handler,
    rejections: Rejections,
    forget: (message: Readonly<Envelope>) => void,
  ) {
    this.#session = session;
    this.#node = node;
    this.#handler = handler;
    this.#rejections = rejections;
    this.#forget = forget;
  }

  /** Handlers that run. */
  get inflight(): number {
    return this.#running.size;
  }

  /** Accepted messages that wait for a handler. */
  get pending(): number {
    return this.#backlog.length - this.#head;
  }

  /** Whether the backlog has no slot left. */
  get isFull(): boolean {
    return this.pending >= this.#session.config.limits.maxPending;
  }

  /** Resolves when the backlog has a slot left. */
  async room(): Promise<void> {
    while (this.isFull) {
      this.#room ??= deferred();
      await this.#room.promise;
    }
  }

  /** Adds an accepted message; its handler begins at once where one more may run. */
  add(job: Job): void {
    this.#backlog.push(job);
    this.#start();
  }

  /** A message that waits or whose handler runs. */
  find(isWanted: (message: Readonly<Envelope>) => boolean): Job | undefined {
    for (const job of this.#running) if (isWanted(job.message.envelope)) return job;
    for (let index = this.#head; index < this.#backlog.length; index += 1) {
      const job = this.#backlog[index];
      if (job !== undefined && isWanted(job.message.envelope)) return job;
    }
    return undefined;
  }

  /** Resolves when no message waits and no handler runs. */
  async idle(): Promise<void> {
    if (this.#running.size === 0 && this.pending === 0) return;
    this.#idle ??= deferred();
    await this.#idle.promise;
  }

  /** Refuses everything that is not finished as `shutting_down`. */
  abort(): void {
    this.#isAborted = true;
    for (const abort of [...this.#aborts]) abort();
    this.#start();
  }

  /** Begins what may begin. A handler that ends at once calls it again: the loop that is under way then goes on. */
  #start(): void {
    if (this.#isStarting) return;
    this.#isStarting = true;
    const limit = this.#session.config.limits.maxConcurrency;
    while (this.#running.size < limit || this.#isAborted) {
      const job = this.#next();
      if (job === undefined) break;
      this.#running.add(job);
      if (job.receipt === undefined) this.#handle(job);
      else this.#handleAfter(job.receipt, job);
    }
    this.#isStarting = false;
    if (this.#running.size === 0 && this.pending === 0) {
      this.#idle?.resolve();
      this.#idle = undefined;
    }
  }

  #next(): Job | undefined {
    const job = this.#backlog[this.#head];
    if (job === undefined) return undefined;
    this.#head += 1;
    this.#room?.resolve();
    this.#room = undefined;
    if (this.#head === this.#backlog.length || this.#head > 1_024) {
      this.#backlog = this.#backlog.slice(this.#head);
      this.#head = 0;
    }
    return job;
  }

  /** Waits for a receipt, which may have to wait for the connection; the end of the drain does not wait for that. */
  #handleAfter(receipt: Promise<void>, job: Job): void {
    const end = (): void => {
      if (this.#aborts.delete(end)) this.#handle(job);
    };
    this.#aborts.add(end);
    if (this.#isAborted) end();
    else receipt.then(end, end);
  }

  /** Runs the handler. Without a promise of its own: most of the time of a small handler would be spent on that. */
  #handle(job: Job): void {
    if (this.#isAborted || this.#session.circuit.isOpen()) {
      const reject = this.#isAborted ? REJECT.shuttingDown : REJECT.serviceDegraded;
      this.#finish(job, () => reject);
      return;
    }
    const lifetime = new HandlerLifetime();
    const started = monotonic();
    try {
      const outcome = this.#handler()(job.message, new Context(this.#node, job.message, lifetime, job.raw));
      if (isThenable(outcome)) {
        // A promise stays what it is; what only looks like one cannot throw any more.
        this.#await(job, Promise.resolve(outcome), lifetime, started);
        return;
      }
      this.#succeeded(outcome, started);
    } catch (error) {
      this.#finish(job, () => this.#failed(job, error, started));
      return;
    }
    this.#finish(job, () => undefined);
  }

  /** Waits for a handler, for its time or for the end of the drain. */
  #await(job: Job, work: Promise<unknown>, lifetime: HandlerLifetime, started: number): void {
    const { workTimeoutMs } = this.#session.config.limits;
    const settle = (outcome: () => Reject | undefined): void => {
      if (!this.#aborts.delete(abort)) return;
      deadline.cancel();
      this.#finish(job, outcome);
    };
    const abort = (): void =>
      settle(() => {
        lifetime.end(new NotRunningError("the node is closing, and its drain time is over"));
        return REJECT.shuttingDown;
      });
    const deadline = this.#session.deadlines.add(workTimeoutMs, () =>
      settle(() => {
        const text = `the handler has not ended within ${workTimeoutMs / 1_000} s`;
        lifetime.end(new AgentTimeoutError(text, { code: "timeout", messageId: job.message.messageId }));
        return this.#timedOut(job, started);
      }),
    );
    this.#aborts.add(abort);
    work.then(
      (value) => settle(() => this.#succeeded(value, started)),
      (error: unknown) => settle(() => this.#failed(job, error, started)),
    );
  }

  /** Reports how a message was handled, and begins the next one. */
  #finish(job: Job, outcome: () => Reject | undefined): void {
    try {
      const reject = outcome();
      if (reject === undefined) {
        this.#session.metrics.processed += 1;
        void this.#rejections.acknowledge(job.message, "processed");
        this.#tell(job, undefined);
      } else {
        // Before the report: when the sender retries, the message is handled again.
        this.#forget(job.message.envelope);
        if (!this.#tell(job, reject)) this.#rejections.reject(job.message, reject);
      }
    } catch (error) {
      this.#session.logger.error("a worker failed", { error });
      this.#tell(job, REJECT.handlerError);
    } finally {
      this.#running.delete(job);
      this.#start();
    }
  }

  /** Tells those who wait for the end of a job; whether the message goes back to the mailbox as if it had not been tried. */
  #tell({ joined }: Job, reject: Reject | undefined): boolean {
    let isReturned = false;
    // One after another: none of them ends the others' wait.
    for (const progress of joined.splice(0)) isReturned = progress.ended(reject) || isReturned;
    return isReturned;
  }

  #succeeded(value: unknown, started: number): undefined {
    const { circuit, logger, metrics } = this.#session;
    metrics.handled(monotonic() - started);
    circuit.succeeded();
    if (value !== undefined && value !== null && !isSent(value) && !this.#hasWarned) {
      this.#hasWarned = true;
      logger.warn("a handler returned a value, which is not sent: answer with context.reply(payload)");
    }
    return undefined;
  }

  #failed(job: Job, error: unknown, started: number): Reject | undefined {
    const { circuit, logger, metrics } = this.#session;
    const { messageId } = job.message;
    // Its reader has stopped reading: that is no failure of the handler.
    if (isStreamCancelled(error)) {
      logger.debug("handler ended because its stream is read no more", { messageId });
      return this.#succeeded(undefined, started);
    }
    metrics.handled(monotonic() - started);
    logger.error("handler failed", { messageId, error });
    circuit.failed();
    return REJECT.handlerError;
  }

  #timedOut(job: Job, started: number): Reject {
    const { circuit, config, logger, metrics } = this.#session;
    metrics.handled(monotonic() - started);
    logger.error("handler timed out", { messageId: job.message.messageId, timeoutMs: config.limits.workTimeoutMs });
    circuit.failed();
    return REJECT.timeout;
  }
}

/** Whether a value is what `reply` and `send` resolve to: `(message, context) => context.reply(payload)` returns it. */
function isSent(value: unknown): boolean {
  return typeof value === "object" && value !== null && "messageId" in value && "traceId" in value;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}
