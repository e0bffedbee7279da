/**
 * Waits that nearly always end before their time is over, on one timer for all of the same length: to begin and to end a timer
 * for each takes longer than much of what is waited for.
 */

import { monotonic, timerDelay } from "./waits.js";

/** Lengths with a timer of their own for all their waits. A wait of another length gets its own timer. */
const MAX_ROWS = 16;
/** Timers count the beginnings of milliseconds, and may be over that much early. */
const EARLY_MS = 1;

/** A wait with an end. */
export interface Deadline {
  /** Ends the wait: its callback is not called any more. It may be called again. */
  cancel(): void;
}

/** The waits of one session. */
export class Deadlines {
  readonly #rows = new Map<number, Row>();
  #isEnded = false;

  /** Calls back once when so many milliseconds have passed. */
  add(milliseconds: number, passed: () => void): Deadline {
    const delay = timerDelay(milliseconds);
    let row = this.#rows.get(delay);
    if (row === undefined) {
      if (this.#isEnded || this.#rows.size >= MAX_ROWS) return alone(delay, passed);
      row = new Row(delay, () => this.#rows.delete(delay));
      this.#rows.set(delay, row);
    }
    return row.add(passed);
  }

  /** From now on no timer runs for which nothing waits. */
  end(): void {
    this.#isEnded = true;
    for (const row of this.#rows.values()) row.end();
  }
}

function alone(delay: number, passed: () => void): Deadline {
  const timer = setTimeout(passed, delay);
  return { cancel: () => clearTimeout(timer) };
}

/** The waits of one length, in the order in which they began, which is that of their ends. */
class Row {
  readonly #delay: number;
  readonly #emptied: () => void;
  #first: Wait | undefined;
  #last: Wait | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isEnded = false;

  constructor(delay: number, emptied: () => void) {
    this.#delay = delay;
    this.#emptied = emptied;
  }

  add(passed: () => void): Wait {
    const wait = new Wait(this, monotonic() + this.#delay, passed, this.#last);
    if (this.#last === undefined) this.#first = wait;
    else this.#last.next = wait;
    this.#last = wait;
    this.#timer ??= setTimeout(() => this.#run(), this.#delay);
    return wait;
  }

  remove(wait: Wait): void {
    if (wait.previous === undefined) this.#first = wait.next;
    else wait.previous.next = wait.next;
    if (wait.next === undefined) this.#last = wait.previous;
    else wait.next.previous = wait.previous;
    if (this.#isEnded) this.end();
  }

  end(): void {
    this.#isEnded = true;
    if (this.#first === undefined) this.#stop();
  }

  #run(): void {
    this.#timer = undefined;
    const now = monotonic() + EARLY_MS;
    try {
      for (let wait = this.#first; wait !== undefined && wait.due <= now; wait = this.#first) {
        wait.cancel();
        wait.passed();
      }
    } finally {
      // The first one may have begun long after the timer.
      if (this.#first === undefined) this.#stop();
      else this.#timer ??= setTimeout(() => this.#run(), timerDelay(this.#first.due - monotonic()));
    }
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#emptied();
  }
}

class Wait implements Deadline {
  readonly due: number;
  readonly passed: () => void;
  previous: Wait | undefined;
  next: Wait | undefined;
  #row: Row | undefined;

  constructor(row: Row, due: number, passed: () => void, previous: Wait | undefined) {
    this.#row = row;
    this.due = due;
    this.passed = passed;
    this.previous = previous;
  }

  cancel(): void {
    const row = this.#row;
    this.#row = undefined;
    row?.remove(this);
  }
}
