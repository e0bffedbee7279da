/** How much may be on its way to the server before publishers that wait for no answers have to wait for a round trip. */

import { deferred, withDeadline } from "./waits.js";

/** Bytes that may be on their way to the server before a publisher waits. */
const MAX_UNCONFIRMED_BYTES = 4 * 1024 * 1024;
/** How long a publisher waits at most for a server that does not answer. */
const CONFIRM_TIMEOUT_MS = 30_000;

/** A round trip that publishers wait for. */
interface Confirming {
  readonly promise: Promise<void>;
  /** Ends the wait. */
  end(): void;
}

/** Counts the bytes that were published since the last round trip. */
export class Backpressure {
  readonly #roundTrip: () => Promise<void>;
  #unconfirmed = 0;
  #confirming: Confirming | undefined;

  /** @param roundTrip Resolves when the server has what was published before; may reject, or never settle. */
  constructor(roundTrip: () => Promise<void>) {
    this.#roundTrip = roundTrip;
  }

  /** Takes note of a message. */
  published(bytes: number): void {
    this.#unconfirmed += bytes;
  }

  /** Nothing is on its way any more: the connection is a new one. */
  reset(): void {
    this.#unconfirmed = 0;
  }

  /** Ends the wait of all publishers. */
  end(): void {
    this.#confirming?.end();
  }

  /** A wait; undefined while little is on its way. It is rejected with the signal's reason when that is aborted. */
  wait(signal?: AbortSignal): Promise<unknown> | undefined {
    if (this.#unconfirmed < MAX_UNCONFIRMED_BYTES) return undefined;
    this.#confirming ??= this.#confirm();
    const { promise } = this.#confirming;
    return signal === undefined ? promise : withDeadline(promise, Infinity, signal);
  }

  #confirm(): Confirming {
    const { promise, resolve } = deferred<void>();
    const end = (): void => {
      if (this.#confirming !== confirming) return;
      clearTimeout(timer);
      this.#unconfirmed = 0;
      this.#confirming = undefined;
      resolve();
    };
    const timer = setTimeout(end, CONFIRM_TIMEOUT_MS);
    const confirming = { promise, end };
    // Rejected when the connection is lost; not settled when it is closed.
    this.#roundTrip().then(end, end);
    return confirming;
  }
}
