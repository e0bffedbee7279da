/** The circuit breaker (PROTOCOL.md section 12): failures in a row open it for a while; there is no half-open state. */

import { monotonic } from "./waits.js";

/** Opens on consecutive failures, and closes by time. */
export class Circuit {
  readonly #threshold: number;
  readonly #resetMs: number;
  #failures = 0;
  #openUntil = -Infinity;

  constructor(threshold: number, resetMs: number) {
    this.#threshold = threshold;
    this.#resetMs = resetMs;
  }

  /** Whether it is open at this time, of the steady clock. */
  isOpen(now = monotonic()): boolean {
    return now < this.#openUntil;
  }

  /** A handler has succeeded: the count starts again. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** A handler has failed or timed out. */
  failed(now = monotonic()): void {
    this.#failures += 1;
    if (this.#failures < this.#threshold) return;
    this.#failures = 0;
    this.#openUntil = now + this.#resetMs;
  }
}
