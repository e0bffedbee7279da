/** Calling the registry (PROTOCOL.md sections 6 and 14). */

import type { Msg, NatsConnection, Subscription } from "@nats-io/nats-core";

import type { JsonObject } from "../json/index.js";
import { type AgentInfo, type MemberIdentity, RegistryRefusal, RPC, type Rpc } from "../protocol/index.js";
import { checkedMs, optionsOf } from "./checks.js";
import { Connection, NO_CONNECTION } from "./connection.js";
import { denialError } from "./denials.js";
import { NoRegistryError, RegistryError } from "./errors.js";
import { type Logger, SILENT_LOGGER } from "./logger.js";
import type { RegistryCallOptions } from "./options.js";
import { PageWalk } from "./page-walk.js";
import { shownError } from "./shown.js";
import { monotonic, throwIfAborted, timerDelay } from "./waits.js";

/** How long a call waits for its reply by default, in milliseconds. */
export const DEFAULT_REGISTRY_TIMEOUT_MS = 2_000;
/** How often a request is made at most, within the call's timeout. */
const MAX_ATTEMPTS = 3;
/** A request without a reply is made again after a third of the timeout, or after this time if that is shorter. */
const MAX_RETRY_INTERVAL_MS = 2_000;
/** The shortest and the longest pause between two requests to a registry that has just been lost. */
const MIN_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 400;
/** How long a registry that stopped answering is waited for. */
const RESTART_GRACE_MS = 5_000;

/**
 * Calls the RPCs of the registry on one connection.
 *
 * A registry may stop or fail at any time while others serve the same network. So a request without a reply is made again after
 * a third of the timeout, up to three times in all; the call as a whole does not take longer than its timeout. On a network
 * without a registry a call fails at once, unless one has answered this client before and was first missed less than five
 * seconds ago: then the call waits for it within the timeout, since it may be restarting.
 */
export class RegistryClient {
  readonly #connection: Connection;
  readonly #logger: Logger;
  readonly #sightings = new Sightings();
  readonly #inbox: string;
  readonly #waiting = new Map<string, (answer: Msg) => void>();
  #subscription: Subscription | undefined;
  #number = 0;

  constructor(connection: Connection, logger: Logger = SILENT_LOGGER) {
    this.#connection = connection;
    this.#logger = logger;
    this.#inbox = connection.newInbox();
  }

  /**
   * A client on a connection of the caller's.
   *
   * @param member The member that it is logged in as, on a network in secure mode.
   */
  static on(nats: NatsConnection, logger: Logger = SILENT_LOGGER, member?: MemberIdentity): RegistryClient {
    return new RegistryClient(Connection.on(nats, logger, member), logger);
  }

  /**
   * Calls an RPC.
   *
   * @throws {RegistryError}
   */
  call<Request, Reply>(rpc: Rpc<Request, Reply>, request: Request, options?: RegistryCallOptions): Promise<Reply> {
    return this.#ask(rpc, request, (body) => rpc.read(body), options);
  }

  /**
   * Calls an RPC once, and fails at once where no registry answers it: for calls that are made again later anyway.
   *
   * @internal
   * @throws {RegistryError}
   */
  callOnce<Request, Reply>(rpc: Rpc<Request, Reply>, request: Request, options?: RegistryCallOptions): Promise<Reply> {
    return this.#ask(rpc, request, (body) => rpc.read(body), options, true);
  }

  /**
   * Calls an RPC, and gives the reply's members as they came.
   *
   * @throws {RegistryError}
   */
  callObject<Request, Reply>(
    rpc: Rpc<Request, Reply>,
    request: Request,
    options?: RegistryCallOptions,
  ): Promise<JsonObject> {
    return this.#ask(rpc, request, (body) => rpc.readObject(body), options);
  }

  /**
   * All agents that are online, by agent id and session; follows the pages of a large network.
   *
   * @throws {RegistryError}
   */
  async listOnline(options?: RegistryCallOptions): Promise<AgentInfo[]> {
    const online: AgentInfo[] = [];
    const walk = new PageWalk(RPC.list.name);
    let cursor: string | undefined;
    do {
      const page = await this.call(RPC.list, cursor === undefined ? {} : { cursor }, options);
      for (const agent of page.agents) online.push(agent);
      cursor = walk.next(page.nextCursor, page.agents.length);
    } while (cursor !== undefined);
    return online;
  }

  /** Unsubscribes. Calls that wait fail by their timeouts. */
  close(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
  }

  async #ask<Request, Reply, T>(
    rpc: Rpc<Request, Reply>,
    request: Request,
    read: (body: Uint8Array) => T,
    given: RegistryCallOptions | undefined,
    isOnce = false,
  ): Promise<T> {
    const options = optionsOf(given);
    throwIfAborted(options.signal);
    const body = rpc.encode(request);
    if (this.#connection.isEnded) throw notSent(rpc.name, "the connection is closed");
    const inbox = this.#subscribe();
    const call = new Call(
      {
        rpc: rpc.name,
        subject: rpc.subject,
        body,
        attempts: !isOnce && isRepeatable(rpc, request) ? MAX_ATTEMPTS : 1,
        isOnce,
        timeoutMs: checkedMs("timeoutMs", options.timeoutMs ?? DEFAULT_REGISTRY_TIMEOUT_MS),
        signal: options.signal,
        read,
        inbox,
        expect: (reply, onAnswer) => {
          this.#waiting.set(reply, onAnswer);
          return () => this.#waiting.delete(reply);
        },
        reply: `${inbox}.${this.#number++}`,
      },
      this.#connection,
      this.#sightings,
      this.#logger,
    );
    return await call.run();
  }

  /** What the answers come below; subscribed to with the first call. */
  #subscribe(): string {
    this.#subscription ??= this.#connection.subscribe(`${this.#inbox}.*`, (answer) => {
      this.#waiting.get(answer.subject)?.(answer);
    });
    if (this.#subscription.isClosed()) {
      // It was denied; another attempt shows the denial to this call too.
      this.#subscription = undefined;
      return this.#subscribe();
    }
    return this.#inbox;
  }
}

interface CallSettings<T> {
  readonly rpc: string;
  readonly subject: string;
  readonly body: string;
  readonly attempts: number;
  /** It fails at once where nothing answers. */
  readonly isOnce: boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly read: (body: Uint8Array) => T;
  readonly inbox: string;
  readonly reply: string;
  readonly expect: (reply: string, onAnswer: (answer: Msg) => void) => () => void;
}

/** One call: asks, and asks again while no answer comes. The first answer counts, whichever request it is for. */
class Call<T> {
  readonly #settings: CallSettings<T>;
  readonly #connection: Connection;
  readonly #sightings: Sightings;
  readonly #logger: Logger;
  readonly #cleanups: (() => void)[] = [];
  #retry: ReturnType<typeof setTimeout> | undefined;
  #left: number;
  #backoffMs = MIN_BACKOFF_MS;
  #isPublished = false;
  #unreadable: unknown;
  #noResponders = false;
  #resolve!: (value: T) => void;
  #reject!: (error: unknown) => void;

  constructor(settings: CallSettings<T>, connection: Connection, sightings: Sightings, logger: Logger) {
    this.#settings = settings;
    this.#connection = connection;
    this.#sightings = sightings;
    this.#logger = logger;
    this.#left = settings.attempts;
  }

  async run(): Promise<T> {
    const { reply, expect, timeoutMs, signal, subject, inbox } = this.#settings;
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
        this.#cleanups.push(expect(reply, (answer) => this.#onAnswer(answer)));
        const deadline = setTimeout(() => reject(this.#timedOut()), timerDelay(timeoutMs));
        this.#cleanups.push(() => clearTimeout(deadline));
        if (signal !== undefined) {
          const onAbort = (): void => reject(signal.reason);
          signal.addEventListener("abort", onAbort, { once: true });
          this.#cleanups.push(() => signal.removeEventListener("abort", onAbort));
        }
        const denied = this.#connection.denials.listen((denial) => {
          const ours = denial.action === "publish" ? this.#connection.issuer.publishSubject(subject) : `${inbox}.*`;
          if (denial.subject === ours) reject(this.#denied(denialError(denial)));
        });
        this.#cleanups.push(denied);
        // What was asked on a connection that is gone may be lost with it.
        const askOnReconnect = (): void => {
          if (this.#settings.attempts > 1) this.#left = Math.max(this.#left, 1);
          this.#ask();
        };
        this.#cleanups.push(this.#connection.onReconnect(askOnReconnect));
        this.#ask();
      });
    } finally {
      clearTimeout(this.#retry);
      for (const cleanup of this.#cleanups) cleanup();
    }
  }

  #ask(): void {
    clearTimeout(this.#retry);
    if (!this.#connection.isConnected) {
      if (this.#connection.isEnded) this.#reject(this.#notSent("the connection is closed"));
      return;
    }
    if (this.#left <= 0) return;
    const { subject, body, reply, timeoutMs } = this.#settings;
    try {
      this.#connection.publish(subject, body, reply);
    } catch (cause) {
      this.#reject(this.#notSent(cause instanceof Error ? cause.message : String(cause), cause));
      return;
    }
    this.#isPublished = true;
    this.#left -= 1;
    if (this.#left > 0) this.#askAgainIn(Math.min(timeoutMs / MAX_ATTEMPTS, MAX_RETRY_INTERVAL_MS));
  }

  #askAgainIn(milliseconds: number): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#ask(), timerDelay(milliseconds));
  }

  #onAnswer(answer: Msg): void {
    const { rpc, read, isOnce } = this.#settings;
    if (statusOf(answer) === 503) {
      if (isOnce || !this.#sightings.mayComeBack()) {
        this.#reject(new NoRegistryError(rpc));
        return;
      }
      // No registry has received it: this does not count as an attempt.
      this.#noResponders = true;
      this.#left += 1;
      this.#askAgainIn(this.#backoffMs);
      this.#backoffMs = Math.min(this.#backoffMs * 2, MAX_BACKOFF_MS);
      return;
    }
    try {
      const reply = read(answer.data);
      this.#sightings.answered();
      this.#resolve(reply);
    } catch (cause) {
      if (cause instanceof RegistryRefusal) {
        this.#sightings.answered();
        this.#reject(RegistryError.refused(rpc, cause.message, cause));
        return;
      }
      const why = shownError(cause);
      this.#logger.debug("ignored an answer that is not the registry's", { rpc, why });
      this.#unreadable = cause;
    }
  }

  #timedOut(): RegistryError {
    const { rpc, timeoutMs } = this.#settings;
    if (this.#unreadable !== undefined) {
      const why = shownError(this.#unreadable);
      const text = `the registry's reply to registry.${rpc} cannot be read: ${why}`;
      return new RegistryError(text, { code: "invalid_response", rpc, detail: why, cause: this.#unreadable });
    }
    if (this.#noResponders) return new NoRegistryError(rpc);
    if (!this.#isPublished || !this.#connection.isConnected) return this.#notSent(NO_CONNECTION);
    const text = `Registry did not respond to registry.${rpc} within ${timeoutMs / 1_000} s`;
    return new RegistryError(text, { code: "registry_timeout", rpc });
  }

  #denied(cause: Error): RegistryError {
    const { rpc } = this.#settings;
    const text = `registry.${rpc} cannot be called: ${cause.message}`;
    return new RegistryError(text, { code: "permission_denied", rpc, detail: cause.message, cause });
  }

  #notSent(why: string, cause?: unknown): RegistryError {
    return notSent(this.#settings.rpc, why, cause);
  }
}

function notSent(rpc: string, why: string, cause?: unknown): RegistryError {
  const text = `registry.${rpc} could not be sent: ${why}`;
  return new RegistryError(text, { code: "not_connected", rpc, detail: why, cause });
}

/** The status in a message's header block; 0 where there is none, -1 where the block cannot be read. */
export function statusOf(message: Msg): number {
  try {
    return message.headers?.code ?? 0;
  } catch {
    return -1;
  }
}

/** Requests that take or change something each time they are made. */
const NOT_REPEATABLE: readonly string[] = [
  RPC.mailboxLease.name,
  RPC.taskClaim.name,
  RPC.taskCancel.name,
  RPC.taskInput.name,
  RPC.taskRetry.name,
];

/** Whether a request may be made more than once: a signed one may not, since its nonce counts once. */
function isRepeatable<Request, Reply>(rpc: Rpc<Request, Reply>, request: Request): boolean {
  return !NOT_REPEATABLE.includes(rpc.name) && (request as { readonly auth?: unknown }).auth === undefined;
}

/** When a registry answered on this network last. */
class Sightings {
  #state: "never" | "answered" | "missed" = "never";
  #missedAt = 0;

  answered(): void {
    this.#state = "answered";
  }

  /** No registry answers now: whether to wait for one. */
  mayComeBack(now = monotonic()): boolean {
    switch (this.#state) {
      case "never":
        return false;
      case "answered":
        this.#state = "missed";
        this.#missedAt = now;
        return true;
      case "missed":
        return now - this.#missedAt < RESTART_GRACE_MS;
    }
  }
}
