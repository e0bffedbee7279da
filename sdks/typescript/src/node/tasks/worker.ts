/**
 * Doing tasks (PROTOCOL.md sections 22.4 and 22.7): a session asks for as many as it has room for, the registry holds the request until
 * there are some, and their handlers run while heartbeats keep the leases.
 */

import type { Subscription } from "@nats-io/nats-core";
import { platform } from "../../platform/index.js";
import { newNonce } from "../../protocol/ids.js";
import {
  type ClaimedTask,
  decodeTaskEvent,
  MAX_TASK_CLAIM,
  RPC,
  readTaskMessage,
  type TaskClaimReply,
  taskEventsSubject,
} from "../../protocol/index.js";
import { RegistryError } from "../errors.js";
import { callAsOwner } from "../mailbox/calls.js";
import type { Message } from "../message.js";
import type { AgentNode } from "../node.js";
import type { Session } from "../session.js";
import { type Deferred, deferred, monotonic, pause, withDeadline } from "../waits.js";
import { ClaimedWork, TaskContext, type TaskHandler } from "./context.js";
import { isUnavailable } from "./errors.js";
import { endOfError, endOfValue, finishWork, RELEASED, type WorkEnd } from "./finish.js";
import { Heartbeats } from "./heartbeats.js";
import { dropAssignments } from "./superseded.js";
import { Work } from "./work.js";

/** How long a registry holds a request for tasks, and how much longer its answer may take. */
const WAIT_MS = 10_000;
const ANSWER_MARGIN_MS = 5_000;
/** The shortest time between two requests that find nothing: a registry that holds too many answers at once. */
const MIN_INTERVAL_MS = 1_000;
/** The pause after a request that failed; it doubles. */
const MIN_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 10_000;
/** Requests that may be under way: one, and those that were made on connections that are gone. */
const MAX_CLAIMS = 4;
/** How long the end of a session waits for the registry: for what is given back, and for tasks that come behind the goodbye. */
const RELEASE_TIMEOUT_MS = 2_000;
const LATE_CLAIM_MS = 100;
/** Messages to coordinators that may be under way; further ends wait. */
const MAX_NOTICES = 64;
/** How often it is looked whether the registry has a task that a message assigns, and the first pause; it doubles. */
const MAX_LOOKS = 6;
const LOOK_DELAY_MS = 100;
const MAX_EVENT_BYTES = 65_536;
/** Events after which the registry may want the worker to stop. */
const URGENT_EVENTS: readonly string[] = ["cancel_requested", "finished", "lost", "retried"];

/** What a request for tasks has found. */
type Found = "tasks" | "nothing" | "failed";

/** Claims tasks for one session, and does them. */
export class TaskWorker {
  readonly #session: Session;
  readonly #node: AgentNode;
  readonly #handler: () => TaskHandler;
  readonly #heartbeats: Heartbeats;
  /** Tasks whose handlers run, or whose ends are being told. */
  readonly #works = new Set<Work>();
  /** Requests that are under way. */
  readonly #claims = new Set<Promise<unknown>>();
  /** Names a claim until its tasks are here: where a reply was lost, the registry gives the same tasks again. */
  #claimId = newNonce();
  /** What is told beside the handlers: tasks that are given back, messages to coordinators. */
  readonly #releases = new Set<Promise<void>>();
  readonly #notices = new Set<Promise<void>>();
  readonly #stopping = new AbortController();
  readonly #warned = new Set<string>();
  #isClaiming = false;
  #hasRegistry = true;
  #room: Deferred<void> | undefined;
  #idle: Deferred<void> | undefined;
  /** Is resolved when the connection is back. */
  #reconnected = deferred<void>();
  #subscription: Subscription | undefined;
  #stopListening: (() => void) | undefined;

  constructor(session: Session, node: AgentNode, handler: () => TaskHandler) {
    this.#session = session;
    this.#node = node;
    this.#handler = handler;
    this.#heartbeats = new Heartbeats(session);
    // Each handler may listen to it.
    platform.expectListeners(this.#stopping.signal);
    session.ended.addEventListener("abort", () => this.#end(), { once: true });
  }

  /** Tasks whose handlers run. */
  get running(): number {
    return this.#works.size;
  }

  /** Claims tasks from now on: the session has said hello. */
  follow(): void {
    if (this.#stopping.signal.aborted || this.#isClaiming) return;
    this.#isClaiming = true;
    const { accountId, connection, logger } = this.#session;
    this.#subscription = connection.subscribe(taskEventsSubject(accountId), ({ data }) => this.#onEvent(data));
    this.#stopListening = connection.onReconnect(() => {
      this.#reconnected.resolve();
      this.#reconnected = deferred();
      this.#heartbeats.allSoon();
    });
    this.#run().catch((error: unknown) => logger.error("no more tasks are claimed", { error }));
  }

  /** Claims no further tasks. */
  stop(): void {
    this.#stopping.abort();
    this.#reconnected.resolve();
    this.#room?.resolve();
  }

  /** Waits for the handlers that run; when the time is over, gives their tasks back. After {@link stop}. */
  async close(drainTimeoutMs: number): Promise<void> {
    this.stop();
    await withDeadline(this.#allEnded(), drainTimeoutMs);
    for (const work of [...this.#works]) {
      if (work.release() && !work.isRefused) this.#giveBack(work);
    }
    const rest = Promise.allSettled([...this.#releases, ...this.#notices]);
    await withDeadline(rest, RELEASE_TIMEOUT_MS);
  }

  /** Gives back what the registry has given this session before it has heard the goodbye. */
  async settle(): Promise<void> {
    if (this.#claims.size > 0) await withDeadline(Promise.allSettled(this.#claims), LATE_CLAIM_MS);
    if (this.#releases.size > 0) await withDeadline(Promise.allSettled(this.#releases), RELEASE_TIMEOUT_MS);
    this.#end();
  }

  /**
   * Whether a message assigns or cancels a task that this worker claims: then it is not for the handler of messages. One about a task
   * that the registry does not have for this account, and does not get to have soon, is.
   */
  async claims(message: Message): Promise<boolean> {
    const told = readTaskMessage(message.envelope);
    if ((told?.kind !== "task.assign" && told?.kind !== "task.cancel") || !this.#hasRegistry) return false;
    const { taskId } = told;
    const { accountId, ended, registry } = this.#session;
    if (told.kind === "task.cancel") this.#askAbout(taskId);
    for (let look = 0; look < MAX_LOOKS; look += 1) {
      try {
        const { task } = await registry.call(RPC.taskStatus, { taskId }, { signal: ended });
        return task.assigneeAccountId === accountId || task.workerAccountId === accountId;
      } catch (error) {
        // A registry that does not answer now has stored the task, or will store the message.
        if (!(error instanceof RegistryError) || !error.isNotFound) return true;
      }
      await pause(LOOK_DELAY_MS * 2 ** look, ended);
    }
    return false;
  }

  #end(): void {
    this.stop();
    this.#stopListening?.();
    if (this.#subscription?.isClosed() === false) this.#subscription.unsubscribe();
    this.#heartbeats.end();
    for (const work of this.#works) work.close();
  }

  /** Asks for tasks while there is room for one. */
  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let backoffMs = MIN_BACKOFF_MS;
    while (!signal.aborted) {
      const room = this.#session.config.taskConcurrency - this.#works.size;
      if (room < 1) {
        this.#room ??= deferred();
        await this.#room.promise;
        continue;
      }
      while (this.#claims.size >= MAX_CLAIMS && !signal.aborted) {
        await withDeadline(Promise.race(this.#claims), MIN_INTERVAL_MS);
      }
      if (signal.aborted) return;
      const asked = monotonic();
      const reconnected = this.#reconnected.promise;
      // A request on a connection that is gone may never be answered; if it is, its tasks are taken all the same.
      const found = await Promise.race([this.#claim(Math.min(room, MAX_TASK_CLAIM)), reconnected]);
      if (found === "failed") {
        await Promise.race([pause(backoffMs, signal), reconnected]);
        backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
        continue;
      }
      backoffMs = MIN_BACKOFF_MS;
      if (found === "nothing") {
        await Promise.race([pause(MIN_INTERVAL_MS - (monotonic() - asked), signal), reconnected]);
      }
    }
  }

  /** One request. Never rejects. */
  #claim(max: number): Promise<Found> {
    const claim: Promise<Found> = this.#ask(max).finally(() => this.#claims.delete(claim));
    this.#claims.add(claim);
    return claim;
  }

  async #ask(max: number): Promise<Found> {
    const { accountId, config, ended, sessionTag } = this.#session;
    const claimId = this.#claimId;
    const request = { accountId, sessionTag, capabilities: config.capabilities, max, waitMs: WAIT_MS, claimId };
    let reply: TaskClaimReply;
    try {
      const options = { timeoutMs: WAIT_MS + ANSWER_MARGIN_MS, signal: ended };
      reply = await callAsOwner(this.#session, RPC.taskClaim, request, options);
    } catch (error) {
      this.#claimFailed(error);
      return "failed";
    }
    this.#hasRegistry = true;
    if (reply.tasks.length === 0) return "nothing";
    // A claim that was made again has two replies, with the same tasks.
    if (claimId === this.#claimId) {
      this.#claimId = newNonce();
      for (const claimed of reply.tasks) this.#accept(claimed, reply.generatedAt);
      dropAssignments(this.#session, reply.tasks);
    }
    return "tasks";
  }

  #claimFailed(error: unknown): void {
    const { ended, logger } = this.#session;
    if (ended.aborted) return;
    const code = error instanceof RegistryError ? error.code : "";
    if (code === "no_registry" || code === "task_disabled") this.#hasRegistry = false;
    // Its registry has been started again, or has not heard of the session yet: the next hello tells it.
    const isPassing = isUnavailable(error) || code === "task_session_unknown";
    if (!isPassing && !this.#warned.has(code)) {
      this.#warned.add(code);
      logger.warn("tasks cannot be claimed", { error });
    } else {
      logger.debug("tasks could not be claimed; trying again", { error });
    }
  }

  #accept(claimed: ClaimedTask, generatedAt: string): void {
    const work = new Work(claimed, generatedAt, (told) => this.#heartbeats.soon(told));
    const isFull = this.#works.size >= this.#session.config.taskConcurrency;
    if (isFull || this.#stopping.signal.aborted) {
      work.end();
      this.#giveBack(work);
      return;
    }
    this.#works.add(work);
    this.#heartbeats.add(work);
    work.lost.then(() => this.#heartbeats.remove(work)).catch(() => undefined);
    this.#do(work)
      .catch((error: unknown) => this.#session.logger.error("a task could not be ended", { error }))
      .finally(() => this.#done(work));
  }

  /** Runs the handler, and tells how it ended. */
  async #do(work: Work): Promise<void> {
    const end = await this.#handle(work);
    if (!work.end()) return;
    if (end === undefined) {
      this.#session.logger.debug("the lease of a task was lost", { taskId: work.taskId });
      return;
    }
    const tell = await finishWork(this.#session, work, end);
    if (tell === undefined) return;
    if (this.#notices.size >= MAX_NOTICES) await Promise.race(this.#notices);
    const notice: Promise<void> = tell().finally(() => this.#notices.delete(notice));
    this.#notices.add(notice);
  }

  /** How the attempt ends; undefined where it is somebody else's by now. */
  async #handle(work: Work): Promise<WorkEnd | undefined> {
    const { logger } = this.#session;
    const { signal } = this.#stopping;
    const { taskId } = work;
    try {
      const value = await this.#handler()(new ClaimedWork(work.claimed), new TaskContext(this.#node, work, signal));
      // Without a word of the registry, it may still take the result.
      return work.isRefused ? undefined : endOfValue(value);
    } catch (error) {
      if (work.isLost || work.hasEnded) return undefined;
      const end = endOfError(error, work.isCanceled);
      if (end.code === "handler_error") logger.error("the handler of a task failed", { taskId, error });
      return end;
    }
  }

  #giveBack(work: Work): void {
    const release: Promise<void> = finishWork(this.#session, work, RELEASED).then(() => {
      this.#heartbeats.remove(work);
      work.close();
      this.#releases.delete(release);
    });
    this.#releases.add(release);
  }

  #done(work: Work): void {
    this.#heartbeats.remove(work);
    this.#works.delete(work);
    work.close();
    this.#room?.resolve();
    this.#room = undefined;
    if (this.#works.size > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }

  async #allEnded(): Promise<void> {
    if (this.#works.size === 0) return;
    this.#idle ??= deferred();
    await this.#idle.promise;
  }

  /** The next heartbeat of a task says whether it is wanted still. */
  #askAbout(taskId: string): void {
    for (const work of this.#works) if (work.taskId === taskId) this.#heartbeats.soon(work);
  }

  /** An event only makes the session ask: every client can publish one. */
  #onEvent(data: Uint8Array): void {
    if (data.length > MAX_EVENT_BYTES) return;
    try {
      const { taskId, type } = decodeTaskEvent(data);
      if (taskId === undefined || !URGENT_EVENTS.includes(type)) return;
      this.#askAbout(taskId);
    } catch (error) {
      this.#session.logger.debug("ignored an event of a task that cannot be read", { error });
    }
  }
}
