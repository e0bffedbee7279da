/**
 * The texts that were seen lately. Entries live equally long, so they expire in the order in which they came: each call drops the
 * expired ones at the front and is O(1) amortised. Of each text a fingerprint is kept, not the text.
 */

import { Fingerprints } from "./fingerprint.js";

/** Texts that are remembered at most. Of more that come within the time to live, the oldest are forgotten early. */
export const MAX_REMEMBERED = 500_000;
/** Dropped entries at the front of the row before it is compacted. */
const COMPACT_AFTER = 4_096;

/** Remembers texts for a while. */
export class Dedupe {
  readonly #ttlMs: number;
  readonly #capacity: number;
  readonly #fingerprints = new Fingerprints();
  /** The number of each known text's entry in the row. */
  readonly #known = new Map<string, number>();
  /** The row: fingerprints and times of expiry in the order in which they came. */
  #order: string[] = [];
  #expires: number[] = [];
  /** Entries at the front of the row that are gone. */
  #head = 0;
  /** The number of the row's first entry. */
  #first = 0;

  constructor(ttlMs: number, capacity = MAX_REMEMBERED) {
    this.#ttlMs = ttlMs;
    this.#capacity = capacity;
  }

  /** The number of texts that are known. */
  get size(): number {
    return this.#known.size;
  }

  /** Whether this text was remembered less than the time to live ago. Empty text never was. `now` is in milliseconds. */
  seen(text: string, now: number): boolean {
    this.#expire(now);
    return text !== "" && this.#known.has(this.#fingerprints.of(text));
  }

  /** Remembers a text, unless it is known or empty. */
  remember(text: string, now: number): void {
    if (text === "") return;
    const fingerprint = this.#fingerprints.of(text);
    if (this.#known.has(fingerprint)) return;
    if (this.#order.length - this.#head >= this.#capacity) this.#dropOldest();
    this.#known.set(fingerprint, this.#first + this.#order.length);
    this.#order.push(fingerprint);
    this.#expires.push(now + this.#ttlMs);
  }

  /** As if a text had never been seen. */
  forget(text: string): void {
    this.#known.delete(this.#fingerprints.of(text));
  }

  #expire(now: number): void {
    for (;;) {
      const expires = this.#expires[this.#head];
      if (expires === undefined || expires > now) return;
      this.#dropOldest();
    }
  }

  #dropOldest(): void {
    const fingerprint = this.#order[this.#head];
    if (fingerprint === undefined) return;
    // A text that was forgotten and came again has another number, and lives until its new time.
    if (this.#known.get(fingerprint) === this.#first + this.#head) this.#known.delete(fingerprint);
    this.#head += 1;
    if (this.#head < COMPACT_AFTER || this.#head * 2 < this.#order.length) return;
    this.#order = this.#order.slice(this.#head);
    this.#expires = this.#expires.slice(this.#head);
    this.#first += this.#head;
    this.#head = 0;
  }
}
