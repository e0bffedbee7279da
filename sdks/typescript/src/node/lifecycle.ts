/** The start and the close of a node, and its return to the network when its NATS client has ended for good. */

import { platform } from "../platform/index.js";
import { KIND, receiptsSubject } from "../protocol/index.js";
import type { NodeConfig } from "./config.js";
import { Connection } from "./connection.js";
import type { Handler } from "./context.js";
import { denialError } from "./denials.js";
import { rejoinPause } from "./dial.js";
import { ConnectionLostError, NoRegistryError, NotRunningError, RegistryError } from "./errors.js";
import { MailboxPull } from "./mailbox/pull.js";
import { Metrics, type MetricsSnapshot } from "./metrics.js";
import type { AgentNode } from "./node.js";
import { Receiver } from "./receiver.js";
import { Session } from "./session.js";
import type { TaskHandler } from "./tasks/context.js";
import { TaskWorker } from "./tasks/worker.js";
import { deferred, TIMED_OUT, throwIfAborted, withDeadline } from "./waits.js";

/** A start that is under way. */
interface Starting {
  readonly done: Promise<void>;
  readonly abort: AbortController;
  /** How many callers wait for it. */
  waiting: number;
}

/** The states of a node: not running, starting, running, closing. */
export class Lifecycle {
  /** What is done with the messages that arrive. */
  handler: Handler | undefined;
  /** What does the tasks that are claimed. */
  taskHandler: TaskHandler | undefined;
  readonly #node: AgentNode;
  readonly #config: NodeConfig;
  readonly #metrics: Metrics;
  #session: Session | undefined;
  /** The session while it joins: messages may come before the start has ended. */
  #joining: Session | undefined;
  #starting: Starting | undefined;
  #closing: Promise<void> | undefined;
  #rejoining: AbortController | undefined;
  /** The account of the last session, for the metrics after the close. */
  #last: { readonly accountId: string; readonly username: string } | undefined;

  constructor(node: AgentNode, config: NodeConfig) {
    this.#node = node;
    this.#config = config;
    this.#metrics = new Metrics(config.limits.metricsWindow);
  }

  /** The session, while the node runs; also while it closes, so that handlers can still reply. */
  get session(): Session | undefined {
    return this.#session;
  }

  /** The session that handlers work in: also while it joins. */
  get receivingSession(): Session | undefined {
    return this.#session ?? this.#joining;
  }

  /** Starts the node, unless it runs. The signal ends the wait of this call; a start that nobody waits for any more is given up. */
  async start(signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal);
    for (;;) {
      const starting = this.#starting;
      if (this.#closing !== undefined) await withDeadline(this.#closing, Infinity, signal);
      else if (this.#session !== undefined) return;
      else if (starting === undefined) break;
      else if (!starting.abort.signal.aborted) return await this.#waitFor(starting, signal);
      // That one was given up: another comes after it.
      else await withDeadline(settled(starting.done), Infinity, signal);
    }
    this.#stopRejoining();
    await this.#startSession(signal);
  }

  /** Closes the node, if it runs or starts. */
  async close(): Promise<void> {
    this.#stopRejoining();
    const starting = this.#starting;
    if (starting !== undefined) {
      starting.abort.abort(new NotRunningError("the node was closed while it started"));
      await settled(starting.done);
    }
    await this.#endSession();
  }

  /** Starts, runs until told to stop, and closes. */
  async startForever(signal?: AbortSignal): Promise<void> {
    const stopped = deferred<typeof TIMED_OUT>();
    const stop = (): void => stopped.resolve(TIMED_OUT);
    // Before the start, because connecting may take seconds.
    const unwatch = platform.onStop(stop);
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted === true) stop();
    try {
      const started = await Promise.race([this.start(), stopped.promise]);
      if (started !== TIMED_OUT) await stopped.promise;
    } finally {
      unwatch();
      signal?.removeEventListener("abort", stop);
      await this.close();
    }
  }

  /** The counters at this moment. */
  metricsSnapshot(): MetricsSnapshot {
    const { agentId, limits } = this.#config;
    return this.#metrics.snapshot(agentId, this.#last, this.#session?.gauges(), limits.resolveCacheTtlMs);
  }

  async #startSession(signal?: AbortSignal): Promise<void> {
    const abort = new AbortController();
    const done = this.#open(abort.signal).finally(() => {
      this.#starting = undefined;
    });
    // When nobody waits for it any more, a rejection would count as unhandled.
    done.catch(() => undefined);
    const starting: Starting = { done, abort, waiting: 0 };
    this.#starting = starting;
    await this.#waitFor(starting, signal);
  }

  /** Waits for a start. The last one whose signal ends the wait gives the start up, and waits until nothing is left of it. */
  async #waitFor(starting: Starting, signal: AbortSignal | undefined): Promise<void> {
    starting.waiting += 1;
    try {
      await withDeadline(starting.done, Infinity, signal);
    } catch (error) {
      starting.waiting -= 1;
      if (starting.waiting > 0 || signal?.aborted !== true) throw error;
      starting.abort.abort(signal.reason);
      await starting.done;
    }
  }

  async #open(signal: AbortSignal): Promise<void> {
    const connection = await this.#connect(signal);
    let session: Session | undefined;
    try {
      const claimsTasks = this.taskHandler !== undefined;
      const opening = Session.open(this.#config, connection, this.#metrics, signal, claimsTasks);
      session = await opening.catch(registerFailed);
      this.#last = { accountId: session.accountId, username: session.username };
      throwIfAborted(signal);
      this.#joining = session;
      await this.#join(session, signal);
    } catch (error) {
      if (session !== undefined) {
        session.receiver?.unsubscribe();
        await session.mailbox?.close();
        await session.farewell();
        session.end();
      }
      await connection.close();
      throw error;
    } finally {
      this.#joining = undefined;
    }
    this.#session = session;
    connection.onEnded((cause) => this.#onConnectionEnded(cause));
  }

  async #connect(signal: AbortSignal): Promise<Connection> {
    const { agentId, logger, member, target } = this.#config;
    if (typeof target === "string" || Array.isArray(target)) {
      return await Connection.open(target as string | readonly string[], {
        name: `agentnet-${agentId}`,
        logger,
        identity: member,
        signal,
      });
    }
    return Connection.on(target as Exclude<typeof target, string | readonly string[]>, logger, member);
  }

  /** Subscribes, drains the mailbox, says hello and starts the heartbeats of a registered session. */
  async #join(session: Session, signal: AbortSignal): Promise<void> {
    const { config, connection, logger } = session;
    const receipts = connection.issuer.subscribeSubject(receiptsSubject(session.accountId));
    const own = new Set([receipts, session.replies.wildcard]);
    let denied: Error | undefined;
    const stopListening = connection.denials.listen((denial) => {
      if (denial.action === "subscribe" && own.has(denial.subject)) denied ??= denialError(denial);
    });
    try {
      session.delivery.receive(session.accountId);
      session.replies.receive(connection);
      if (session.claimsTasks) {
        session.tasks = new TaskWorker(session, this.#node, () => this.taskHandler ?? (() => undefined));
      }
      if (this.handler !== undefined) {
        session.receiver = new Receiver(session, this.#node, () => this.#handlerOf(session));
        session.receiver.subscribe();
        for (const subject of session.receiver.subjects) own.add(subject);
        if (config.pullsMailbox) {
          // Behind the inbox: the account counts as online since its registration, so that requests are sent to it.
          session.mailbox = new MailboxPull(session, session.receiver);
          await session.mailbox.drain(signal);
        }
      } else if (config.capabilities.length > 0 && session.tasks === undefined) {
        logger.warn(
          "capabilities are advertised, but without a handler no message is taken: call onMessage before start",
        );
      }
      if (!(await connection.roundTrip())) logger.warn("the subscriptions were not confirmed by the server");
      throwIfAborted(signal);
      if (denied !== undefined) throw denied;
    } finally {
      stopListening();
    }
    await session.hello();
    // Agents that see the node from here on are able to reach it.
    await connection.roundTrip();
    throwIfAborted(signal);
    session.keepAlive();
    session.mailbox?.follow();
    session.tasks?.follow();
  }

  /** The handler of messages, but for those about a task which the session claims (PROTOCOL.md section 22.4). */
  #handlerOf(session: Session): Handler {
    const handler = this.handler ?? (() => undefined);
    const { tasks } = session;
    if (tasks === undefined) return handler;
    return async (message, context) => {
      const isForWorker = message.kind === KIND.DIRECT && /task\.(?:assign|cancel)/i.test(message.payloadText);
      return isForWorker && (await tasks.claims(message)) ? undefined : await handler(message, context);
    };
  }

  async #endSession(): Promise<void> {
    if (this.#closing !== undefined) return await this.#closing;
    const session = this.#session;
    if (session === undefined) return;
    this.#closing = this.#leave(session).finally(() => {
      this.#session = undefined;
      this.#closing = undefined;
    });
    await this.#closing;
  }

  async #leave(session: Session): Promise<void> {
    const { logger } = this.#config;
    session.tasks?.stop();
    await session.mailbox?.stop();
    const { drainTimeoutMs } = this.#config.limits;
    await Promise.all([session.receiver?.close(drainTimeoutMs), session.tasks?.close(drainTimeoutMs)]);
    await session.mailbox?.close();
    for (const closer of [...session.closers]) {
      try {
        await closer();
      } catch (error) {
        logger.warn("a stream or an upload could not be ended", { error });
      }
    }
    await session.farewell();
    await session.tasks?.settle();
    session.end();
    await session.connection.close();
  }

  /**
   * The client reconnects for ever, but may end over what it cannot handle. A node that has a connection of its own then closes,
   * and joins again.
   */
  #onConnectionEnded(cause: unknown): void {
    const { logger } = this.#config;
    const session = this.#session;
    if (session === undefined || this.#closing !== undefined) return;
    if (!session.connection.isOwned) {
      logger.error(
        "the NATS connection that the node was given is closed: close the node, and make one with a new connection",
      );
      return;
    }
    logger.error("the NATS client has ended; joining the network again", { cause });
    const abort = new AbortController();
    this.#rejoining = abort;
    this.#rejoin(abort.signal).catch((error: unknown) => logger.error("the network cannot be joined again", { error }));
  }

  async #rejoin(signal: AbortSignal): Promise<void> {
    await this.#endSession();
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      if (this.#starting !== undefined || this.#session !== undefined) return;
      try {
        await this.#startSession(signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (attempt === 1) this.#config.logger.warn("the network cannot be joined again yet; trying on", { error });
        await rejoinPause(attempt, signal);
      }
    }
  }

  #stopRejoining(): void {
    this.#rejoining?.abort(new NotRunningError());
    this.#rejoining = undefined;
  }
}

/** Resolves when a start has ended, whatever its outcome. */
async function settled(done: Promise<void>): Promise<void> {
  await done.catch(() => undefined);
}

function registerFailed(error: unknown): never {
  if (!(error instanceof RegistryError) || error instanceof NoRegistryError) throw error;
  const { code, detail, message, rpc } = error;
  if (code === "not_connected") throw new ConnectionLostError(message, error);
  throw new RegistryError(`Registry register failed: ${message}`, { code, detail, rpc, cause: error });
}
