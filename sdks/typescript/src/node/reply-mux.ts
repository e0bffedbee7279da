/** Replies to requests, by one subscription of the node: each request has a reply subject of its own below it (section 2). */

import type { Msg } from "@nats-io/nats-core";

import { newUlid, replySubject, usableReplyPrefix } from "../protocol/index.js";
import type { Connection } from "./connection.js";
import type { Issuer } from "./issuer.js";
import type { Logger } from "./logger.js";
import { setByServer } from "./nats-headers.js";

/** Gets what comes on the reply subject of one request. */
export interface ReplyWaiter {
  /** A message came; its status is 503 where the request's subject has no subscriber. Must not throw. */
  arrived(message: Msg): void;
  /** The node is closing: nothing comes any more. */
  abandoned(): void;
}

/** A reply subject that is waited on. */
export interface ExpectedReply {
  /** The number below the node's reply subject. */
  readonly number: number;
  /** Where the reply goes. */
  readonly subject: string;
  /** Ends the wait. */
  end(): void;
}

/** The requests that wait for their reply. */
export class ReplyMux {
  /** Gets messages for a number without a waiting request. Set by the streams, which answer late frames. */
  onUnexpected: ((number: number, message: Msg) => void) | undefined;
  readonly #base: string;
  /** Replies end in the account that sends them (section 23.1); the server's word that there are no responders does not. */
  readonly #isIssued: boolean;
  readonly #logger: Logger;
  #next = 0;
  /** Absent once the node is closing. */
  #waiters: Map<number, ReplyWaiter> | undefined = new Map();

  /**
   * Below the prefix that the registry offered, which the history captures; else below `_INBOX`, which the registry of the
   * Python implementation subscribes to.
   */
  constructor(offeredPrefix: string | undefined, accountId: string, issuer: Issuer, logger: Logger) {
    const prefix = usableReplyPrefix(offeredPrefix, accountId);
    const token = newUlid();
    this.#base = prefix === undefined ? `_INBOX.${token}` : replySubject(prefix, accountId, token);
    this.#isIssued = issuer.isSecure;
    this.#logger = logger;
  }

  /** What the node subscribes to. */
  get wildcard(): string {
    return `${this.#base}.${this.#isIssued ? ">" : "*"}`;
  }

  /** A reply subject that no request uses. */
  get unusedSubject(): string {
    return `${this.#base}.nobody`;
  }

  /** Subscribes. */
  receive(connection: Connection): void {
    connection.subscribe(this.wildcard, (message) => this.#arrived(message));
  }

  /** A fresh reply subject with its waiter; undefined when the node is closing. */
  expect(waiter: ReplyWaiter): ExpectedReply | undefined {
    const waiters = this.#waiters;
    if (waiters === undefined) return undefined;
    const number = this.#next;
    this.#next += 1;
    waiters.set(number, waiter);
    return { number, subject: `${this.#base}.${number}`, end: () => waiters.delete(number) };
  }

  /** Ends every wait, also later ones: the node is closing. */
  abandon(): void {
    const waiters = this.#waiters;
    this.#waiters = undefined;
    for (const waiter of waiters?.values() ?? []) waiter.abandoned();
  }

  /** The number of the request that a message is for. */
  #numberOf(subject: string, isNoResponders: boolean): number | undefined {
    let written = subject.slice(this.#base.length + 1);
    if (this.#isIssued) {
      const dot = written.indexOf(".");
      // The server knows the reply subject alone, and members may publish only with their account behind it.
      if (dot < 0 !== isNoResponders) return undefined;
      if (dot >= 0) written = written.slice(0, dot);
    }
    return /^\d{1,15}$/.test(written) ? Number(written) : undefined;
  }

  #arrived(message: Msg): void {
    const what = setByServer(message);
    const number = this.#numberOf(message.subject, what?.status === 503);
    if (number === undefined) return;
    // The server's message that a subject has no responders has a status, and headers of its own.
    if (what !== undefined && what.status !== 503) {
      this.#logger.warn("ignored a reply with what only the NATS server may set: the history may lack it", { ...what });
      return;
    }
    const waiter = this.#waiters?.get(number);
    if (waiter !== undefined) waiter.arrived(message);
    else if (what === undefined) this.onUnexpected?.(number, message);
  }
}
