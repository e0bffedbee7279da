/** What an operator, or an account's owner, does to messages of a mailbox (PROTOCOL.md section 21.3). */

import type { MailboxState, SigningKey } from "../../protocol/index.js";
import { described } from "../checks.js";
import { InvalidArgumentError } from "../errors.js";

/** What is done to which messages of a mailbox: those that are named, or those in a state. */
export interface MailboxChange {
  /** `requeue`: deliver dead messages again; `drop`: delete messages, of which their senders are told. */
  readonly action: "requeue" | "drop";
  /** The ids of messages, at most 100. */
  readonly messageIds?: readonly string[] | undefined;
  /** All messages in this state, where none is named. */
  readonly state?: MailboxState | undefined;
}

/** A {@link MailboxChange} in the mailbox of an account. */
export interface AccountMailboxChange extends MailboxChange {
  /** The account. */
  readonly accountId: string;
  /** The account's key, which signs the request; needed on a network with signed identity. */
  readonly key?: SigningKey | undefined;
}

/** Checks a change, and leaves out what does not belong to it. */
export function checkedChange(change: MailboxChange): MailboxChange {
  const { action, messageIds = [], state } = change;
  if (action !== "requeue" && action !== "drop") {
    throw new InvalidArgumentError(`action must be "requeue" or "drop", not ${described(action)}`);
  }
  if (!Array.isArray(messageIds) || messageIds.some((id) => typeof id !== "string")) {
    throw new InvalidArgumentError("messageIds must be an array of strings");
  }
  if (messageIds.length === 0 && state === undefined) throw new InvalidArgumentError("messageIds or state is required");
  return { action, messageIds, state };
}
