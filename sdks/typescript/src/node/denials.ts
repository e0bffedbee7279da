/**
 * What the NATS server does not permit this connection's user.
 *
 * The server drops what it denies and reports that on the connection, not to the call. So each call that publishes or
 * subscribes looks here for a denial since its start, instead of waiting for an answer that cannot come.
 */

import { PermissionDeniedError } from "./errors.js";

/** What was denied. */
export type DeniedAction = "publish" | "subscribe";

/** An operation that the server has denied. */
export interface Denial {
  readonly action: DeniedAction;
  readonly subject: string;
}

/** The error for a denial. */
export function denialError(denial: Denial): PermissionDeniedError {
  const shown = JSON.stringify(denial.subject.slice(0, 256));
  const text = `permissions violation: NATS does not permit this user to ${denial.action} to ${shown}`;
  return new PermissionDeniedError(text, denial.action, denial.subject);
}

/** Denials that are kept to tell a new one from one that was reported before. */
const MAX_KNOWN_DENIALS = 128;

type Listener = (denial: Denial) => void;

/** The denials of one connection. */
export class Denials {
  readonly #known = new Set<string>();
  readonly #listeners = new Set<Listener>();

  /** Tells of a denial; false if the same one was told before. */
  note(denial: Denial): boolean {
    for (const listener of [...this.#listeners]) listener(denial);
    const key = `${denial.action} ${denial.subject}`;
    if (this.#known.has(key)) return false;
    if (this.#known.size >= MAX_KNOWN_DENIALS) {
      for (const oldest of this.#known) {
        this.#known.delete(oldest);
        break;
      }
    }
    this.#known.add(key);
    return true;
  }

  /** Calls back for each denial from now on, until the returned function is called. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
