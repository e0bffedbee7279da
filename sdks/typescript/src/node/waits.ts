/** Waits with a deadline and an `AbortSignal`: none of them leaves a timer or a listener behind. */

import { InvalidArgumentError } from "./errors.js";

/** Throws the reason of a signal that is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw signal.reason;
  if (signal !== undefined && signal !== null && typeof signal.addEventListener !== "function") {
    throw new InvalidArgumentError("signal must be an AbortSignal: of an AbortController, give its member `signal`");
  }
}

/** The result of {@link withDeadline} when the time is over. */
export const TIMED_OUT: unique symbol = Symbol("timed out");

/** The longest delay that a timer takes; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** A delay that timers take: not negative, and not so long that it would fire at once. */
export function timerDelay(milliseconds: number): number {
  return Math.min(Math.max(milliseconds, 0), MAX_TIMER_MS);
}

/**
 * The value of a promise, or {@link TIMED_OUT} when it takes longer.
 *
 * The work behind the promise goes on; its later failure is swallowed.
 *
 * @throws the reason of `signal` when that is aborted first.
 */
export async function withDeadline<T>(
  work: PromiseLike<T>,
  milliseconds: number,
  signal?: AbortSignal,
): Promise<T | typeof TIMED_OUT> {
  throwIfAborted(signal);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let onAbort: (() => void) | undefined;
  try {
    return await new Promise<T | typeof TIMED_OUT>((resolve, reject) => {
      work.then(resolve, reject);
      if (milliseconds !== Infinity) timer = setTimeout(resolve, timerDelay(milliseconds), TIMED_OUT);
      if (signal !== undefined) {
        onAbort = () => reject(signal.reason);
        signal.addEventListener("abort", onAbort, { once: true });
      }
    });
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
  }
}

/** Waits; ends early, without an error, when one of the signals is aborted. */
export function pause(milliseconds: number, ...signals: (AbortSignal | undefined)[]): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      for (const signal of signals) signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, timerDelay(milliseconds));
    for (const signal of signals) {
      if (signal?.aborted === true) return end();
      signal?.addEventListener("abort", end, { once: true });
    }
  });
}

/** A promise that is settled from outside. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** A new {@link Deferred}. A rejection that nobody awaits is no unhandled one. */
export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((resolved, rejected) => {
    resolve = resolved;
    reject = rejected;
  });
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

/** Lets a timer not keep the process alive, where the runtime knows such a thing. */
export function unref(timer: ReturnType<typeof setTimeout>): void {
  if (typeof timer === "object" && "unref" in timer && typeof timer.unref === "function") timer.unref();
}

/** Monotonic time in milliseconds. */
export function monotonic(): number {
  return performance.now();
}
