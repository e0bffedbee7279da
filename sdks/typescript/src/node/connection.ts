/** One connection to NATS: who is connected, what the server denies, and round trips (PROTOCOL.md sections 1 and 14). */

import type { Msg, MsgCallback, NatsConnection, Status, Subscription } from "@nats-io/nats-core";
import { createInbox, errors } from "@nats-io/nats-core";

import { platform } from "../platform/index.js";
import { CONNECTION_INBOX_PREFIX, connectionInboxPrefix, type MemberIdentity } from "../protocol/index.js";
import { Backpressure } from "./backpressure.js";
import { isConnectedNow, whenClosed } from "./client-state.js";
import { type Denial, Denials, denialError } from "./denials.js";
import { type ConnectSettings, dial } from "./dial.js";
import { ConnectionLostError, InvalidArgumentError } from "./errors.js";
import { Issuer } from "./issuer.js";
import type { Logger } from "./logger.js";
import { memberOf, resolveAddress } from "./member-login.js";
import { type Deferred, deferred, monotonic, TIMED_OUT, withDeadline } from "./waits.js";

/** How long the server may take for a round trip that only orders what came before it. */
export const ROUND_TRIP_TIMEOUT_MS = 1_000;
/** What an error says while the client reconnects. */
export const NO_CONNECTION = "the connection to NATS is lost and not yet back";
/** Receipts and replies that wait for the connection to come back, at most. */
const MAX_KEPT_MESSAGES = 1_024;
const MAX_KEPT_BYTES = 4 * 1024 * 1024;
/**
 * How long a message may wait for the next one to be published with. Timers count the beginnings of milliseconds: one of 1 ms is
 * over after half of that on average, before the next request of a program that makes one after another.
 */
const MAX_DEFERRAL_MS = 5;
/** Messages that wait for the next one, at most. */
const MAX_DEFERRED_MESSAGES = 64;

/** Where a client comes from. */
interface Origin {
  readonly isOwned: boolean;
  readonly inboxPrefix: string;
  readonly address: string;
  readonly member: MemberIdentity | undefined;
}

/** A connection of this package, or one that the caller has opened. */
export class Connection {
  /** The NATS client beneath it. */
  readonly nats: NatsConnection;
  /** What the server has denied. */
  readonly denials = new Denials();
  /** Whether this package has opened it, and closes it. */
  readonly isOwned: boolean;
  /** The address for people to read, credentials hidden. */
  readonly address: string;
  /** The member that it is logged in as, on a network in secure mode. */
  readonly member: MemberIdentity | undefined;
  /** The account that it publishes as, in secure mode. */
  readonly issuer: Issuer;
  readonly #inboxPrefix: string;
  readonly #logger: Logger;
  readonly #reconnected = new Set<() => void>();
  readonly #ended = new Set<(cause: unknown) => void>();
  #isConnected: boolean;
  #isEnded: boolean;
  #number = 1;
  readonly #backpressure = new Backpressure(() => this.nats.flush());
  /** Receipts and replies that wait for the connection. */
  readonly #kept: { readonly subject: string; readonly body: string; readonly published: Deferred<void> }[] = [];
  #keptBytes = 0;
  /** Messages that go out with the next one. */
  #deferred: { readonly subject: string; readonly body: string }[] = [];
  #deferredSince = 0;
  #deferral: ReturnType<typeof setTimeout> | undefined;
  #reconnection: Deferred<void> | undefined;
  #stopWatching: () => void = () => undefined;

  private constructor(nats: NatsConnection, logger: Logger, origin: Origin) {
    const { isOwned, inboxPrefix, address, member } = origin;
    this.nats = nats;
    this.#logger = logger;
    this.isOwned = isOwned;
    this.address = address;
    this.member = member;
    this.issuer = new Issuer(member?.accountId);
    // One base for all inboxes of the connection: registries tell connections apart by it (0.11).
    this.#inboxPrefix = createInbox(inboxPrefix);
    this.#isEnded = nats.isClosed();
    this.#isConnected = !this.#isEnded && isConnectedNow(nats);
    this.#watch();
  }

  /**
   * Connects, within about three seconds; of several servers each gets two. Once connected, it reconnects for ever. The address
   * may be `identity:FILE`: the servers and the credential of a member of a network in secure mode.
   *
   * @throws {ConnectError} @throws {KeyError} The identity cannot be used.
   */
  static async open(address: string | readonly string[], settings: ConnectSettings): Promise<Connection> {
    const { identity, logger } = settings;
    const url = await resolveAddress(address, identity === undefined ? undefined : memberOf(identity));
    const nats = await dial(url, settings);
    const member = url.login.kind === "member" ? url.login.member : undefined;
    return new Connection(nats, logger, { isOwned: true, inboxPrefix: url.inboxPrefix, address: url.redacted, member });
  }

  /**
   * Uses a connection of the caller's, which stays the caller's to close.
   *
   * @param member The member that it is logged in as, on a network in secure mode.
   */
  static on(nats: NatsConnection, logger: Logger, member?: MemberIdentity): Connection {
    const inboxPrefix = member === undefined ? CONNECTION_INBOX_PREFIX : connectionInboxPrefix(member.accountId);
    return new Connection(nats, logger, { isOwned: false, inboxPrefix, address: nats.getServer(), member });
  }

  /** Whether there is a connection at this moment. */
  get isConnected(): boolean {
    return this.#isConnected && !this.#isEnded;
  }

  /** Whether it is closed for good. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** The number of the current connection, counted from 1; it grows with each reconnection. */
  get number(): number {
    return this.#number;
  }

  /** A fresh inbox below the connection's own prefix, which is not part of the history. */
  newInbox(): string {
    return createInbox(this.#inboxPrefix);
  }

  /** Calls back after each reconnection, until the returned function is called. */
  onReconnect(callback: () => void): () => void {
    this.#reconnected.add(callback);
    return () => this.#reconnected.delete(callback);
  }

  /** Calls back once when the client ends for good without having been closed here. */
  onEnded(callback: (cause: unknown) => void): () => void {
    this.#ended.add(callback);
    return () => this.#ended.delete(callback);
  }

  /** The next connection; undefined while there is one. It does not come where the connection is closed for good. */
  connected(): Promise<void> | undefined {
    if (this.isConnected) return undefined;
    this.#reconnection ??= deferred();
    return this.#reconnection.promise;
  }

  /**
   * Publishes; in secure mode with the own account behind the subject. Nothing is published while the connection is lost: what the
   * client buffers then may go out or get lost.
   *
   * @throws {ConnectionLostError}
   * @throws {InvalidArgumentError} `message_too_large` for the server.
   */
  publish(subject: string, body: string | Uint8Array, reply?: string): void {
    if (!this.isConnected) throw notPublished(this.#isEnded ? "the connection is closed" : NO_CONNECTION);
    if (this.#deferred.length > 0) this.#publishDeferred();
    const limit = this.nats.info?.max_payload ?? Infinity;
    if (body.length > limit) {
      const text = `message of ${body.length} bytes exceeds the max_payload=${limit} of the NATS server`;
      throw new InvalidArgumentError(text, "message_too_large");
    }
    try {
      const bytes = typeof body === "string" ? (platform.encodeUtf8?.(body) ?? body) : body;
      this.nats.publish(this.issuer.publishSubject(subject), bytes, reply === undefined ? undefined : { reply });
      this.#backpressure.published(body.length);
    } catch (cause) {
      throw notPublished(cause instanceof Error ? cause.message : String(cause), cause);
    }
  }

  /**
   * Publishes, or keeps the message until the connection is back: for receipts and replies, which have a receiver that waits.
   * Returns undefined where it is published at once.
   *
   * @throws {ConnectionLostError} The connection is closed, or too much is kept already; or, later, it was closed first.
   */
  publishSoon(subject: string, body: string): Promise<void> | undefined {
    if (this.isConnected) {
      this.publish(subject, body);
      return undefined;
    }
    if (this.#isEnded) throw notPublished("the connection is closed");
    if (this.#kept.length >= MAX_KEPT_MESSAGES || this.#keptBytes + body.length > MAX_KEPT_BYTES) {
      throw notPublished(NO_CONNECTION);
    }
    const published = deferred<void>();
    this.#kept.push({ subject, body, published });
    this.#keptBytes += body.length;
    return published.promise;
  }

  /**
   * Publishes a message together with the next one, or alone after a few milliseconds: for receipts that no program waits for.
   * One write to the server instead of two, and one read for the receiver.
   */
  publishWithNext(subject: string, body: string): void {
    if (this.#deferred.length === 0) this.#deferredSince = monotonic();
    this.#deferred.push({ subject, body });
    if (this.#deferred.length >= MAX_DEFERRED_MESSAGES) this.#publishDeferred();
    else this.#deferral ??= setTimeout(() => this.#deferralOver(), MAX_DEFERRAL_MS);
  }

  /** The timer runs on when messages have gone out with others: one for each would begin and end with nearly every message. */
  #deferralOver(): void {
    this.#deferral = undefined;
    if (this.#deferred.length === 0) return;
    const left = this.#deferredSince + MAX_DEFERRAL_MS - monotonic();
    if (left < 1) this.#publishDeferred();
    else this.#deferral = setTimeout(() => this.#deferralOver(), left);
  }

  #publishDeferred(): void {
    const deferred = this.#deferred;
    this.#deferred = [];
    const failed = (error: unknown): void => this.#logger.warn("receipt not sent", { error });
    for (const { subject, body } of deferred) {
      try {
        this.publishSoon(subject, body)?.catch(failed);
      } catch (error) {
        failed(error);
      }
    }
  }

  #publishKept(): void {
    const kept = this.#kept.splice(0);
    this.#keptBytes = 0;
    for (const { subject, body, published } of kept) {
      try {
        this.publish(subject, body);
        published.resolve();
      } catch (error) {
        published.reject(error);
      }
    }
  }

  /**
   * A wait for callers that publish without waiting for answers; undefined while little is on its way. It ends when the server has
   * what was published before, when the connection is lost or closed, and with the signal's reason when that is aborted.
   */
  pressure(signal?: AbortSignal): Promise<unknown> | undefined {
    return this.#backpressure.wait(signal);
  }

  /**
   * Subscribes. The callback gets every message as it is read; what it throws is logged.
   *
   * @throws {ConnectionLostError} The connection is closed.
   */
  subscribe(subject: string, callback: (message: Msg) => void, queue?: string): Subscription {
    const guarded: MsgCallback<Msg> = (error, message) => {
      if (error !== null) {
        // A denial. The status events tell of it too, but later than the answer to a round trip.
        this.#onServerError(error);
        return;
      }
      try {
        callback(message);
      } catch (failure) {
        this.#logger.error("a message could not be processed", { subject, error: failure });
      }
    };
    try {
      return this.nats.subscribe(subject, queue === undefined ? { callback: guarded } : { callback: guarded, queue });
    } catch (cause) {
      throw new ConnectionLostError(
        `cannot subscribe to ${subject}: ${cause instanceof Error ? cause.message : String(cause)}`,
        cause,
      );
    }
  }

  /** Waits until the server has done everything that was asked of it so far; false where it does not answer in time. */
  async roundTrip(timeoutMs = ROUND_TRIP_TIMEOUT_MS): Promise<boolean> {
    if (!this.isConnected) return false;
    this.#publishDeferred();
    try {
      return (await withDeadline(this.nats.flush(), timeoutMs)) !== TIMED_OUT;
    } catch {
      return false;
    }
  }

  /** Closes it, if it is this package's own; else only stops watching it. */
  async close(): Promise<void> {
    this.#publishDeferred();
    this.#ended.clear();
    this.#reconnected.clear();
    this.#isEnded = true;
    this.#backpressure.end();
    this.#dropKept();
    this.#stopWatching();
    if (!this.isOwned || this.nats.isClosed()) return;
    await this.nats.close();
  }

  #watch(): void {
    const events = this.nats.status();
    const forget = whenClosed(this.nats, (cause) => this.#onEnded(cause));
    this.#stopWatching = () => {
      forget();
      if ("stop" in events && typeof events.stop === "function") events.stop();
    };
    const follow = async (): Promise<void> => {
      for await (const event of events) this.#onStatus(event);
    };
    follow().catch(() => undefined);
  }

  #onStatus(event: Status): void {
    switch (event.type) {
      case "disconnect":
        if (this.#isConnected) this.#logger.warn("connection to NATS lost, reconnecting", { address: this.address });
        this.#isConnected = false;
        return;
      case "reconnect":
        this.#isConnected = true;
        this.#backpressure.reset();
        this.#number += 1;
        this.#logger.warn("connection to NATS restored", { address: this.address });
        this.#publishKept();
        this.#reconnection?.resolve();
        this.#reconnection = undefined;
        for (const callback of [...this.#reconnected]) callback();
        return;
      case "error":
        this.#onServerError(event.error);
        return;
      default:
    }
  }

  #onServerError(error: Error): void {
    if (!(error instanceof errors.PermissionViolationError)) {
      this.#logger.warn("the NATS server reports an error", { error: error.message });
      return;
    }
    const denial: Denial = {
      action: error.operation === "subscription" ? "subscribe" : "publish",
      subject: error.subject,
    };
    if (this.denials.note(denial)) this.#logger.warn(denialError(denial).message);
  }

  #dropKept(): void {
    clearTimeout(this.#deferral);
    this.#deferred = [];
    for (const { published } of this.#kept.splice(0)) published.reject(notPublished("the connection is closed"));
  }

  #onEnded(cause: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#backpressure.end();
    this.#dropKept();
    this.#stopWatching();
    for (const callback of [...this.#ended]) callback(cause);
  }
}

function notPublished(why: string, cause?: unknown): ConnectionLostError {
  return new ConnectionLostError(`the message could not be published: ${why}`, cause);
}
