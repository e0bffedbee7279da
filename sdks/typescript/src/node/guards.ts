/**
 * The ordered checks of a receiver (PROTOCOL.md section 12, with the two phases of section 0.7). Size, form, headers, schema and
 * signature (rows 1 to 4) come before and are made by the receiver; rows 5 to 11 are here, one line a check, the first rejection
 * wins. Nothing is remembered until the slot in the backlog is certain, so that a `busy` refusal never burns a message id or an
 * idempotency key.
 */

import {
  type Envelope,
  idempotencyScope,
  judgeExpiry,
  REJECT,
  type Reject,
  rateBucketKey,
  senderFields,
  Timestamp,
} from "../protocol/index.js";
import { Dedupe } from "./dedupe.js";
import type { Limits } from "./limits.js";
import { Rates } from "./rates.js";

/** What the receiver is able to do right now. */
export interface Capacity {
  /** Whether new work is taken at all. */
  readonly isAccepting: boolean;
  /** Whether the circuit breaker is open. */
  readonly isCircuitOpen: boolean;
  /** Whether the backlog has no slot left. */
  readonly isBacklogFull: boolean;
}

/** Whom the guards protect. */
export interface Guarded {
  readonly accountId: string;
  readonly agentId: string;
  /** Whether the sender's account is proven: its session tag is not, so the account's rate counts. */
  readonly isSigned: boolean;
}

/** The checks and what they remember. */
export class Guards {
  readonly #guarded: Guarded;
  readonly #clockSkewMs: number;
  readonly #rates: Rates;
  readonly #ids: Dedupe;
  readonly #scopes: Dedupe;

  constructor(guarded: Guarded, limits: Limits) {
    this.#guarded = guarded;
    this.#clockSkewMs = limits.clockSkewMs;
    this.#rates = new Rates(limits.rateLimitPerSenderPerSec, limits.rateLimitBurst, limits.dedupeTtlMs);
    this.#ids = new Dedupe(limits.dedupeTtlMs);
    this.#scopes = new Dedupe(limits.dedupeTtlMs);
  }

  /**
   * Why a message is refused; undefined where it is admitted. Then its id and idempotency scope are remembered. The rate of its
   * sender does not count where the receiver has fetched it.
   */
  admit(
    message: Envelope,
    capacity: Capacity,
    now: number,
    wall: Timestamp = Timestamp.now(),
    isFetched = false,
  ): Reject | undefined {
    if (!capacity.isAccepting) return REJECT.shuttingDown;
    if (capacity.isCircuitOpen) return REJECT.serviceDegraded;
    const expiry = judgeExpiry(message, wall, this.#clockSkewMs);
    if (expiry !== undefined) return expiry;
    if (!isFetched && !this.#rates.take(this.#sender(message), now)) return REJECT.rateLimited;
    if (this.#ids.seen(message.messageId, now)) return REJECT.duplicateMessage;
    const scope = this.#scope(message);
    if (scope !== undefined && this.#scopes.seen(scope, now)) return REJECT.duplicateKey;
    if (capacity.isBacklogFull) return REJECT.busy;
    this.#ids.remember(message.messageId, now);
    if (scope !== undefined) this.#scopes.remember(scope, now);
    return undefined;
  }

  /** The handling of an admitted message failed: when it is sent again, it is handled again. */
  forget(message: Readonly<Envelope>): void {
    this.#ids.forget(message.messageId);
    const scope = this.#scope(message);
    if (scope !== undefined) this.#scopes.forget(scope);
  }

  /** Tells of other messages whether this one repeats them: by its id, or its idempotency scope. */
  repetitionOf(message: Readonly<Envelope>): (other: Readonly<Envelope>) => boolean {
    const { messageId } = message;
    const scope = this.#scope(message);
    return (other) =>
      (messageId !== "" && other.messageId === messageId) || (scope !== undefined && this.#scope(other) === scope);
  }

  #sender(message: Envelope): string {
    const proven = this.#guarded.isSigned ? message.fromAccountId : undefined;
    return proven ?? rateBucketKey(senderFields(message));
  }

  #scope(message: Readonly<Envelope>): string | undefined {
    if (message.idempotencyKey === undefined) return undefined;
    const { accountId, agentId } = this.#guarded;
    return idempotencyScope(message.idempotencyKey, senderFields(message), accountId, agentId);
  }
}
