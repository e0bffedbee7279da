/** What the handler of a task gets: the work, and what it can do with it. */

import type { RawJson } from "../../json/index.js";
import {
  type ClaimedTask,
  checkBytes,
  MAX_TASK_CHECKPOINT_BYTES,
  MAX_TASK_TEXT_BYTES,
  type TaskSnapshot,
} from "../../protocol/index.js";
import { described, optionalText, optionsOf } from "../checks.js";
import { InvalidArgumentError } from "../errors.js";
import type { AgentNode } from "../node.js";
import { boundedJson } from "./create.js";
import type { Work } from "./work.js";

/** A task that this node has to do. */
export class ClaimedWork {
  /** The task as it was when it was claimed. */
  readonly task: TaskSnapshot;
  /** The attempt, from 1. */
  readonly attempt: number;
  readonly #claimed: ClaimedTask;

  /** @internal */
  constructor(claimed: ClaimedTask) {
    this.task = claimed.task;
    this.attempt = claimed.attempt;
    this.#claimed = claimed;
  }

  /** The id of the task. */
  get id(): string {
    return this.task.taskId;
  }
  /** A few words. */
  get title(): string | undefined {
    return this.task.title;
  }
  /** What is to be done. */
  get text(): string {
    return this.task.assignedText;
  }
  /** Attempts at most. */
  get maxAttempts(): number {
    return this.task.maxAttempts;
  }
  /** The account that asked for it. */
  get coordinatorAccountId(): string | undefined {
    return this.task.coordinatorAccountId;
  }
  /** The thread. */
  get threadId(): string | undefined {
    return this.task.threadId;
  }
  /** What is to be done, for programs; undefined where there is nothing. Integers beyond 2^53 lose digits. */
  get payload(): unknown {
    return this.#claimed.payload?.value();
  }
  /** The exact JSON of {@link payload}. */
  get payloadJson(): RawJson | undefined {
    return this.#claimed.payload;
  }
  /** What an earlier attempt left by {@link TaskContext.checkpoint}; undefined where there is nothing. */
  get checkpoint(): unknown {
    return this.#claimed.checkpoint?.value();
  }
  /** The exact JSON of {@link checkpoint}. */
  get checkpointJson(): RawJson | undefined {
    return this.#claimed.checkpoint;
  }
  /** The answer that the last attempt waited for; undefined where there is none. */
  get input(): unknown {
    return this.#claimed.input?.value();
  }
  /** The exact JSON of {@link input}. */
  get inputJson(): RawJson | undefined {
    return this.#claimed.input;
  }
}

/** The options of {@link TaskContext.progress}. */
export interface TaskProgressOptions {
  /** A word, such as `working`. */
  readonly phase?: string | undefined;
}

/** What the handler of a task can do besides looking at its work. */
export class TaskContext {
  /** The node that has claimed the task. */
  readonly node: AgentNode;
  /**
   * Is aborted when the node begins to close. Who does not end within `limits.drainTimeoutMs` loses the task to the next worker, so
   * that long work had better keep a checkpoint then, and throw `TaskFailure.released()`.
   */
  readonly closing: AbortSignal;
  readonly #work: Work;

  /** @internal */
  constructor(node: AgentNode, work: Work, closing: AbortSignal) {
    this.node = node;
    this.closing = closing;
    this.#work = work;
  }

  /** The id of the task: `parent: context` makes another task a part of it. */
  get id(): string {
    return this.#work.taskId;
  }

  /**
   * Is aborted when the work is to stop: the task was cancelled, its lease is lost, or the node closes and the drain time has
   * passed. Pass it on to what the handler calls (`fetch(url, { signal: context.signal })`).
   */
  get signal(): AbortSignal {
    return this.#work.signal;
  }

  /** Whether the task was cancelled. */
  get isCanceled(): boolean {
    return this.#work.isCanceled;
  }

  /** Whether another worker may have the task: what this one does has no effect on it any more. */
  get isLeaseLost(): boolean {
    return this.#work.isLost;
  }

  /**
   * Resolves when the task was cancelled, or its lease is lost; then end the handler, best by throwing
   * `TaskFailure.canceled()`.
   */
  cancelled(): Promise<void> {
    return this.#work.canceled;
  }

  /** Resolves when the lease is lost. */
  leaseLost(): Promise<void> {
    return this.#work.lost;
  }

  /**
   * Reports how far the work is; resolves when the registry has it. Of several reports at the same time, the last one counts.
   *
   * @param percent 0 to 100; undefined: not known.
   * @throws {TaskError} `task_lease_lost`. @throws {InvalidArgumentError} @throws {TooLarge}
   */
  progress(percent: number | undefined, text?: string, options: TaskProgressOptions = {}): Promise<void> {
    return awaitedOrNot(this.#progress(percent, text, options));
  }

  /**
   * Keeps a JSON value of at most 64 KiB, which the next attempt finds as `checkpoint` of its work; resolves when the registry has it.
   *
   * @throws {TaskError} `task_lease_lost`. @throws {JsonError} @throws {TooLarge}
   */
  checkpoint(value: unknown): Promise<void> {
    return awaitedOrNot(this.#checkpoint(value));
  }

  async #progress(percent: number | undefined, text: string | undefined, options: TaskProgressOptions): Promise<void> {
    if (percent !== undefined && !(typeof percent === "number" && percent >= 0 && percent <= 100)) {
      throw new InvalidArgumentError(`percent must be a number from 0 to 100, not ${described(percent)}`);
    }
    const said = optionalText("text", text);
    checkBytes("text", said, MAX_TASK_TEXT_BYTES);
    const phase = optionalText("phase", optionsOf(options).phase);
    const progress = { text: said, percent: percent === undefined ? undefined : Math.floor(percent), phase };
    await this.#work.report({ progress });
  }

  async #checkpoint(value: unknown): Promise<void> {
    const checkpoint = boundedJson("checkpoint", value ?? null, MAX_TASK_CHECKPOINT_BYTES);
    await this.#work.report({ checkpoint });
  }
}

/** A promise whose rejection does not end the process where nothing awaits it. */
function awaitedOrNot(told: Promise<void>): Promise<void> {
  told.catch(() => undefined);
  return told;
}

/**
 * Does a task. What it returns, any JSON value, is the result. One that throws a `TaskFailure` ends the attempt as that says; any other
 * error is a failure with the code `handler_error`, after which another attempt may help.
 */
export type TaskHandler = (work: ClaimedWork, context: TaskContext) => unknown;
