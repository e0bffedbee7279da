/** The order of a session's sends by the mailbox (PROTOCOL.md section 21.2): per receiver, that of the calls. */

import { deferred } from "../waits.js";

/** The place of one piece of work among those with the same key. `T` is what an earlier one may leave to the next. */
export interface Turn<T> {
  /** Resolves when all earlier ones have ended, with what the last of them has left. Until then no later one goes on without a wait. */
  begin(): Promise<T | undefined>;
  /** Lets the next one go on. Only the first call counts. */
  end(left?: T): void;
}

interface Row<T> {
  tail: Promise<T | undefined>;
  /** How many wait for their turn. */
  waiting: number;
}

/** Gives turns, in the order in which they are taken. A key that is not in use takes no room. */
export class Turns<T = never> {
  readonly #rows = new Map<string, Row<T>>();

  /** Whether something waits for its turn: what comes now had better wait too. */
  isWaitedFor(key: string): boolean {
    return (this.#rows.get(key)?.waiting ?? 0) > 0;
  }

  /** Takes the next turn. */
  take(key: string): Turn<T> {
    const row = this.#rows.get(key) ?? { tail: Promise.resolve(undefined), waiting: 0 };
    this.#rows.set(key, row);
    const before = row.tail;
    const own = deferred<T | undefined>();
    const tail = before.then(() => own.promise);
    row.tail = tail;
    let isWaiting = false;
    void tail.then(() => {
      if (row.tail === tail) this.#rows.delete(key);
    });
    const waited = (): void => {
      if (isWaiting) row.waiting -= 1;
      isWaiting = false;
    };
    return {
      begin: () => {
        isWaiting = true;
        row.waiting += 1;
        return before.finally(waited);
      },
      end: (left) => {
        waited();
        own.resolve(left);
      },
    };
  }
}
