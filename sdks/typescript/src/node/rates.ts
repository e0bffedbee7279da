/**
 * One token bucket a sender (PROTOCOL.md section 12).
 *
 * Buckets sit in two generations that change places every idle time: a bucket that is used moves to the young one, and what is
 * still in the old one at the next change has been idle for at least that long and goes. A generation that is full changes
 * places early: a client that invents so many names gets a full bucket for each anyway.
 */

import { RateLimit, TokenBucket } from "../protocol/index.js";
import { Fingerprints } from "./fingerprint.js";

/** Senders of one generation. */
export const MAX_SENDERS = 50_000;

/** The buckets of all senders. */
export class Rates {
  readonly #limit: RateLimit;
  readonly #idleMs: number;
  readonly #capacity: number;
  readonly #fingerprints = new Fingerprints();
  #changed = 0;
  #young = new Map<string, TokenBucket>();
  #old = new Map<string, TokenBucket>();

  constructor(perSecond: number, burst: number, idleMs: number, capacity = MAX_SENDERS) {
    this.#limit = new RateLimit(perSecond, burst);
    this.#idleMs = idleMs;
    this.#capacity = capacity;
  }

  /** The number of buckets. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** Takes one token of this sender's bucket, if there is one. `now` is in milliseconds of a steady clock. */
  take(sender: string, now: number): boolean {
    const key = this.#fingerprints.of(sender);
    if (now - this.#changed >= this.#idleMs || this.#young.size >= this.#capacity) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#changed = now;
    }
    const seconds = now / 1_000;
    const young = this.#young.get(key);
    if (young !== undefined) return young.take(this.#limit, seconds);
    const bucket = this.#old.get(key) ?? new TokenBucket(this.#limit, seconds);
    this.#old.delete(key);
    this.#young.set(key, bucket);
    return bucket.take(this.#limit, seconds);
  }
}
