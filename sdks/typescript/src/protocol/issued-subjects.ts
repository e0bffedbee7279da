/**
 * Subjects of the secure mode: their last token is the account that published, which the server proves (PROTOCOL.md section 23.1).
 */

import { CONNECTION_INBOX_PREFIX, isRoutable, REPLY_PREFIX } from "./subjects.js";

/** `<subject>.<issuer>`. */
export function issuedSubject(subject: string, issuer: string): string {
  return `${subject}.${issuer}`;
}

/** What stands before the last token, and the last token: the issuer. Undefined where there is no dot, or nothing on one side of it. */
export function splitIssuer(subject: string): readonly [before: string, issuer: string] | undefined {
  const dot = subject.lastIndexOf(".");
  return dot < 1 || dot === subject.length - 1 ? undefined : [subject.slice(0, dot), subject.slice(dot + 1)];
}

/** `account.<account_id>.control`: where the reader of a stream cancels it; the account is that of the stream's sender. */
export function controlSubject(accountId: string): string {
  return `account.${accountId}.control`;
}

/** `account.<account_id>.mailbox`: where registries deliver the messages of an account's mailbox. */
export function mailboxSubject(accountId: string): string {
  return `account.${accountId}.mailbox`;
}

/** `_AGENTNET.<account_id>`: prefix of the inboxes of an account's connections. */
export function connectionInboxPrefix(accountId: string): string {
  return `${CONNECTION_INBOX_PREFIX}.${accountId}`;
}

/**
 * Whether an agent may answer a message of this issuer on this reply subject: `agentnet.reply.<issuer>.<token>.<n>`. On a reply
 * subject of another account, the answer would look like one to a request of that account (section 23.6).
 */
export function mayReplyToRequester(reply: string, issuer: string): boolean {
  const prefix = `${REPLY_PREFIX}.${issuer}.`;
  if (!isRoutable(issuer) || !reply.startsWith(prefix)) return false;
  const tokens = reply.slice(prefix.length).split(".");
  return tokens.length === 2 && tokens.every(isRoutable);
}
