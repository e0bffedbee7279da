/** Who has published a message, as the server proves it in secure mode (PROTOCOL.md section 23.6). */

import {
  type Envelope,
  mailboxSubject,
  mayReplyToRequester,
  REGISTRY_ACCOUNT_PREFIX,
  splitIssuer,
} from "../protocol/index.js";

/** What the server proves of a message. */
export interface MessageOrigin {
  /** Who is told what becomes of the message: the account that has published it. */
  readonly sender: string;
  /** Whether the message names another account as its sender, or none. */
  readonly isForged: boolean;
  /** Where a reply may go; null where none is possible. */
  readonly replyTo: string | null;
}

/**
 * The origin of a message in secure mode.
 *
 * @param own The account of the receiver.
 * @param envelope Undefined where the message cannot be read.
 * @param isLeased Whether the receiver has taken it from its mailbox: then the registry has proven the sender.
 */
export function originOf(
  own: string,
  subject: string,
  reply: string | undefined,
  envelope: Readonly<Envelope> | undefined,
  isLeased: boolean,
): MessageOrigin {
  const named = envelope?.fromAccountId;
  const [before = "", issuer = ""] = splitIssuer(subject) ?? [];
  const isByMailbox = isLeased || (before === mailboxSubject(own) && issuer.startsWith(REGISTRY_ACCOUNT_PREFIX));
  const sender = isByMailbox ? (named ?? "") : issuer;
  const asked = reply === undefined || reply === "" ? envelope?.replyTo?.view().asString() : reply;
  return {
    sender,
    isForged: envelope !== undefined && (named === undefined || named !== sender),
    // The server does not check reply subjects: on another account's, the answer would look like one to a request of that account.
    replyTo: asked !== undefined && mayReplyToRequester(asked, sender) ? asked : null,
  };
}
