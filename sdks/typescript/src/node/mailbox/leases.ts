/** The leases that a session has, and their extension while handlers run (PROTOCOL.md section 21.3). */

import { type LeasedMessage, MAILBOX_LEASE_MS, MAX_MAILBOX_ACKS, RPC } from "../../protocol/index.js";
import type { Session } from "../session.js";
import { type Deferred, deferred } from "../waits.js";
import { callAsOwner } from "./calls.js";
import type { LeaseEnd } from "./lease-end.js";

/** How often leases are extended: two extensions may fail before a lease is over. */
const EXTEND_INTERVAL_MS = MAILBOX_LEASE_MS / 3;
const REQUEST_TIMEOUT_MS = 2_000;

/** A leased message that this session has not acknowledged yet. */
export interface Held {
  readonly messageId: string;
  attempt: number;
  /** The lease; another one once the first was over and the message came again. */
  lease: string;
  /** How its handling ends; after {@link Leases.end} it may never. */
  readonly ended: Deferred<LeaseEnd>;
}

/** The leases of one session. */
export class Leases {
  readonly #session: Session;
  /** By message id. */
  readonly #held = new Map<string, Held>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  /** How many messages are held. */
  get size(): number {
    return this.#held.size;
  }

  /** All messages that are held. */
  get all(): readonly Held[] {
    return [...this.#held.values()];
  }

  /** Holds a message. One that is held already, and has come again, keeps the new lease. */
  hold(messageId: string, { lease, attempt }: LeasedMessage): { readonly held: Held; readonly isNew: boolean } {
    const known = this.#held.get(messageId);
    if (known !== undefined) {
      known.lease = lease;
      known.attempt = attempt;
      return { held: known, isNew: false };
    }
    const held: Held = { messageId, attempt, lease, ended: deferred() };
    this.#held.set(messageId, held);
    this.#timer ??= setTimeout(() => this.#extend(), EXTEND_INTERVAL_MS);
    return { held, isNew: true };
  }

  /** Whether a message is held; it is not any more from now on. */
  release(held: Held): boolean {
    if (this.#held.get(held.messageId) !== held) return false;
    this.#held.delete(held.messageId);
    return true;
  }

  /** Forgets all leases: the session has ended. */
  end(): void {
    clearTimeout(this.#timer);
    this.#held.clear();
  }

  #extend(): void {
    this.#timer = undefined;
    if (this.#held.size === 0) return;
    this.#timer = setTimeout(() => this.#extend(), EXTEND_INTERVAL_MS);
    const leases = this.all.map(({ lease }) => lease);
    const { accountId, ended, logger, sessionTag } = this.#session;
    for (let first = 0; first < leases.length; first += MAX_MAILBOX_ACKS) {
      const request = { accountId, sessionTag, leases: leases.slice(first, first + MAX_MAILBOX_ACKS) };
      const options = { timeoutMs: REQUEST_TIMEOUT_MS, signal: ended };
      callAsOwner(this.#session, RPC.mailboxExtend, request, options).catch((error: unknown) => {
        if (!ended.aborted) logger.debug("leases of the mailbox could not be extended", { error });
      });
    }
  }
}
