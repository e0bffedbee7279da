/** {@link TaskHandle}: a task, as who asked for it sees it. */

import { type JsonValue, RawJson } from "../../json/index.js";
import {
  isBlockedTaskState,
  isTerminalTaskState,
  RPC,
  type TaskCreateReply,
  type TaskEvent,
  type TaskSnapshot,
  Timestamp,
} from "../../protocol/index.js";
import { checkedMs, described, optionalText, optionsOf } from "../checks.js";
import { InvalidArgumentError } from "../errors.js";
import type { RegistryCallOptions } from "../options.js";
import type { Session } from "../session.js";
import { pause, throwIfAborted } from "../waits.js";
import { callTask, knownAs } from "./calls.js";
import { followTask, Outage } from "./follow.js";
import {
  type TaskDetails,
  tellAnswered,
  tellAssigned,
  tellCanceled,
  tellRetried,
  worksByMessages,
} from "./messages.js";

/** The pause before a task is looked at again after a registry did not answer. */
const RETRY_DELAY_MS = 500;

/** The options of {@link TaskHandle.cancel}. */
export interface TaskCancelOptions extends RegistryCallOptions {
  /** Also cancel the parts of the task that have not ended. Default true. */
  readonly cascade?: boolean | undefined;
}

/** The options of {@link TaskHandle.retry}. */
export interface TaskRetryOptions extends RegistryCallOptions {
  /** Not before so many milliseconds. Default 0. */
  readonly delayMs?: number | undefined;
}

/** The options of {@link TaskHandle.events}. */
export interface TaskEventsOptions {
  /** Only events behind this number: the `seq` of the last one that was seen. Default 0: all. */
  readonly after?: number | undefined;
  /** Ends the wait: reading rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** What the calls of a handle need of the node. */
export interface TaskOwner {
  /** @throws {NotRunningError} */
  session(): Session;
}

/** What a handle knows of a task that was asked for through it. */
export interface CreatedTask {
  readonly reply?: TaskCreateReply | undefined;
  readonly details?: TaskDetails | undefined;
}

/** How a task ended. */
export class TaskOutcome {
  /** The task, as it ended. */
  readonly task: TaskSnapshot;

  /** @internal */
  constructor(task: TaskSnapshot) {
    this.task = task;
  }

  /** `completed`, `failed`, `canceled` or `rejected`. */
  get state(): string {
    return this.task.state;
  }
  /** Whether it is done. */
  get isCompleted(): boolean {
    return this.task.state === "completed";
  }
  /** What came of it; undefined where there is nothing. Integers beyond 2^53 lose digits. */
  get result(): unknown {
    return this.task.result?.value();
  }
  /** The exact JSON text of {@link result}. */
  get resultText(): string | undefined {
    return this.task.result?.text;
  }
  /** {@link result} without loss: integers beyond 2^53 as bigint, floats that would change as `JsonNumber`. */
  resultLossless(): JsonValue | undefined {
    return this.task.result?.lossless();
  }
  /** The last text about it: of a task that is done, its result in words. */
  get text(): string {
    return this.task.text;
  }
  /** Why it was not done: a code, such as `deadline_exceeded`, `worker_lost`, `canceled`, or one of the worker's. */
  get code(): string | undefined {
    return this.task.code;
  }
  /** Why it was not done. */
  get detail(): string | undefined {
    return this.task.detail;
  }
}

/**
 * A task that was asked for. It lives in the registry: a handle is only its name, and `node.taskHandle(id)` makes another one, also in
 * another process.
 */
export class TaskHandle {
  /** The id of the task. */
  readonly id: string;
  /** Whether it is new; false: its id or its key was known. Undefined of a handle that was made from an id. */
  readonly created: boolean | undefined;
  /** `lease`: its worker claims it; `message`: the account got a message. Undefined as before. */
  readonly delivery: "lease" | "message" | undefined;
  /** The task when it was asked for. Undefined as before. */
  readonly snapshot: TaskSnapshot | undefined;
  readonly #owner: TaskOwner;
  readonly #details: TaskDetails;
  /** Whether a registry has answered a request about the task: then there are tasks on this network. */
  #hasAnswered: boolean;
  #notTold: unknown;

  /** @internal */
  constructor(owner: TaskOwner, id: string, { reply, details = {} }: CreatedTask = {}) {
    this.#owner = owner;
    this.id = id;
    this.#details = details;
    this.#hasAnswered = reply !== undefined;
    this.created = reply?.created;
    this.delivery = reply === undefined ? undefined : reply.delivery === "message" ? "message" : "lease";
    this.snapshot = reply?.task;
  }

  /**
   * Of a task whose worker works by messages: why the last message (about the task, its cancellation, the answer or the retry)
   * could be neither delivered nor kept; the registry has stored the change all the same. Undefined if the worker got the message,
   * a mailbox keeps it, or none was needed.
   */
  get notTold(): unknown {
    return this.#notTold;
  }

  /** The task as it is now. @throws {RegistryError} `not_found` among others. */
  async status(options?: RegistryCallOptions): Promise<TaskSnapshot> {
    const { registry } = this.#owner.session();
    const { task } = await knownAs(this.id, registry.call(RPC.taskStatus, { taskId: this.id }, options));
    this.#hasAnswered = true;
    return task;
  }

  /**
   * Cancels the task. A task without a worker ends at once; otherwise the worker is asked to stop, and has some seconds for it. A
   * worker that works by messages gets a message `task.cancel`: see {@link notTold}.
   *
   * @throws {TaskError} `task_not_cancelable`: it has ended. And others.
   */
  async cancel(reason?: string, options: TaskCancelOptions = {}): Promise<TaskSnapshot> {
    const { cascade, ...call } = optionsOf(options);
    const said = optionalText("reason", reason);
    const session = this.#owner.session();
    const request = { ...this.#request(), reason: said, keepChildren: cascade === false };
    const { task } = await callTask(session, RPC.taskCancel, request, this.id, call);
    await this.#tell(task, () => tellCanceled(session, task, said, call.signal), call.signal);
    return task;
  }

  /**
   * Gives a task that is `input_required` or `auth_required` the answer, any JSON value; it then waits for a worker again. A worker
   * that works by messages gets a message `task.assign` with the member `input`: see {@link notTold}.
   *
   * @throws {TaskError} `task_needs_no_input` among others. @throws {JsonError}
   */
  async input(payload: unknown, options?: RegistryCallOptions): Promise<TaskSnapshot> {
    const answer = payload === undefined ? undefined : RawJson.from(payload);
    const { signal } = optionsOf(options);
    const session = this.#owner.session();
    const request = { ...this.#request(), payload: answer };
    const { task } = await callTask(session, RPC.taskInput, request, this.id, options);
    await this.#tell(task, () => tellAnswered(session, task, answer, this.#details, signal), signal);
    return task;
  }

  /**
   * Lets a task that failed be tried again. A worker that works by messages gets another message `task.assign`: see {@link notTold}.
   *
   * @throws {TaskError} `task_not_retriable` among others.
   */
  async retry(options: TaskRetryOptions = {}): Promise<TaskSnapshot> {
    const { delayMs, ...call } = optionsOf(options);
    const notBefore =
      delayMs === undefined ? undefined : Timestamp.now().addMillis(checkedMs("delayMs", delayMs)).toString();
    const session = this.#owner.session();
    const request = { ...this.#request(), notBefore };
    const { task } = await callTask(session, RPC.taskRetry, request, this.id, call);
    await this.#tell(task, () => tellRetried(session, task, this.#details, call.signal), call.signal);
    return task;
  }

  /**
   * What happens to the task, in order and without gaps, until it has ended: what has happened already, then the rest as it comes. An
   * outage of the network, of the registry or of its database is waited for, for ten minutes.
   *
   * ```ts
   * for await (const event of task.events()) console.log(event.seq, event.type, event.text);
   * ```
   *
   * @throws {RegistryError} `not_found` among others. @throws {NotRunningError} The node was closed.
   */
  async *events(options: TaskEventsOptions = {}): AsyncGenerator<TaskEvent, void, undefined> {
    const { after = 0, signal } = optionsOf(options);
    if (!Number.isSafeInteger(after) || after < 0) {
      throw new InvalidArgumentError(`after must be the number of an event, 0 or more, not ${described(after)}`);
    }
    const session = this.#owner.session();
    yield* followTask(session, this.id, { after, signal, outage: new Outage(this.#hasAnswered) });
  }

  /**
   * Waits until the task has ended, however it did: look at `state` of the outcome. One that waits for an answer has not ended. A
   * registry that is away, or whose database is, is waited for as {@link events} does.
   *
   * @throws {RegistryError} `not_found` among others. @throws {NotRunningError} The node was closed. @throws the reason of the signal.
   */
  async result(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<TaskOutcome> {
    return new TaskOutcome(await this.#until((state) => isTerminalTaskState(state), optionsOf(options).signal));
  }

  /**
   * As {@link result}, but also returns when the worker waits for an answer: see `state` of the task, and {@link input}.
   *
   * @throws as {@link result}.
   */
  async settled(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<TaskSnapshot> {
    const isSettled = (state: string): boolean => isTerminalTaskState(state) || isBlockedTaskState(state);
    return await this.#until(isSettled, optionsOf(options).signal);
  }

  /** The task once it is in such a state. */
  async #until(isReached: (state: string) => boolean, signal: AbortSignal | undefined): Promise<TaskSnapshot> {
    const outage = new Outage(this.#hasAnswered);
    for (;;) {
      try {
        const task = await this.status({ signal });
        if (isReached(task.state)) return task;
        outage.answered();
        const wait = { after: task.eventCount, signal, outage };
        for await (const { state } of followTask(this.#owner.session(), this.id, wait)) {
          if (state !== undefined && isReached(state)) break;
        }
      } catch (error) {
        throwIfAborted(signal);
        outage.throwIfOver(error, this.id);
        await pause(RETRY_DELAY_MS, signal);
      }
    }
  }

  /** @internal Tells the account of a new task. */
  async tellAssigned(task: TaskSnapshot, signal?: AbortSignal): Promise<void> {
    const session = this.#owner.session();
    await this.#told(() => tellAssigned(session, task, this.#details, signal), signal);
  }

  /** Tells a worker that works by messages. */
  async #tell(task: TaskSnapshot, send: () => Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    this.#hasAnswered = true;
    if (worksByMessages(task)) await this.#told(send, signal);
    else this.#notTold = undefined;
  }

  /** The registry has what was asked for, so that a message that cannot be sent is no failure of the call. */
  async #told(send: () => Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    this.#notTold = undefined;
    try {
      await send();
    } catch (error) {
      throwIfAborted(signal);
      this.#notTold = error;
      this.#owner.session().logger.warn("the worker of a task could not be notified by a message", {
        taskId: this.id,
        error,
      });
    }
  }

  #request(): { readonly accountId: string; readonly sessionTag: string; readonly taskId: string } {
    const { accountId, sessionTag } = this.#owner.session();
    return { accountId, sessionTag, taskId: this.id };
  }
}
