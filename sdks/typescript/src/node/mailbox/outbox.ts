/** The accounts whose mailboxes hold messages of this session (PROTOCOL.md section 21.2). */

import type { RegistryError } from "../errors.js";
import { Turns } from "./turns.js";

/** Accounts that are remembered at most. Of more, the one that was used longest ago is forgotten: its next message is published. */
const MAX_ACCOUNTS = 10_000;

/**
 * Once a message was queued, further ones to the same account go to its mailbox too, until nothing waits there: published to the
 * inbox, they could arrive before it.
 */
export class Outbox {
  /** Turns of messages that are being composed, by their destination. */
  readonly composing = new Turns();
  /** Turns of messages that are on their way, by account; left is that the registry did not answer. */
  readonly sending = new Turns<RegistryError>();
  readonly #accounts = new Set<string>();

  /** Whether messages of this session may wait for this account. */
  isQueuing(accountId: string): boolean {
    return this.#accounts.has(accountId);
  }

  /** A message was queued. */
  queued(accountId: string): void {
    this.#accounts.delete(accountId);
    this.#accounts.add(accountId);
    if (this.#accounts.size <= MAX_ACCOUNTS) return;
    const oldest = this.#accounts.values().next();
    if (oldest.done !== true) this.#accounts.delete(oldest.value);
  }

  /** Nothing waits for this account any more. */
  emptied(accountId: string): void {
    this.#accounts.delete(accountId);
  }
}
