/** The mailbox: what a message, a session and a receipt say of it (PROTOCOL.md section 21). */

import { type JsonView, trim } from "../json/index.js";
import type { Receipt } from "./receipt.js";
import { REGISTRY_ACCOUNT_PREFIX } from "./subjects.js";

/** The member `mailbox` of a registration and a hello whose session takes the messages of its account's mailbox itself. */
export const MAILBOX_PULL = "pull";
/** How long a message lives that its sender leaves in a mailbox without naming a time, in milliseconds: seven days. */
export const DEFAULT_MAILBOX_TTL_MS = 7 * 24 * 3_600 * 1_000;
/** How long a lease lasts, in milliseconds. */
export const MAILBOX_LEASE_MS = 30_000;
/** The longest delay of a message that is returned, in milliseconds. */
export const MAX_MAILBOX_DELAY_MS = 600_000;
/** The most acknowledgements in one request. */
export const MAX_MAILBOX_ACKS = 100;
/** Bytes of the text that explains why a message was not handled. */
export const MAX_MAILBOX_DETAIL_BYTES = 1_024;

/** When a message of a mailbox counts as delivered: when its receiver has accepted it, or when its handler has finished with it. */
export type MailboxAck = "accepted" | "processed";

/** Codes of a rejection after which a message is worth keeping: its receiver will take it later. */
export const MAILBOX_RETRIABLE_CODES: readonly string[] = [
  "busy",
  "rate_limited",
  "shutting_down",
  "service_degraded",
  "recipient_offline",
];
/** Codes of a failed attempt that does not count: the receiver had no time for the message. */
export const MAILBOX_FREE_CODES: readonly string[] = ["busy", "rate_limited", "shutting_down", "service_degraded"];

/** Reads the member `mailbox` of an envelope: `true` or an object. Anything else asks for nothing. */
export function readMailboxAck(value: JsonView): MailboxAck | undefined {
  if (value.raw === "true") return "accepted";
  const object = value.asObject();
  if (object === undefined) return undefined;
  return trim(object.get("ack").text()).toLowerCase() === "processed" ? "processed" : "accepted";
}

/** The member `mailbox` of an envelope, as JSON. */
export function mailboxAckText(ack: MailboxAck): string {
  return ack === "accepted" ? "true" : '{"ack":"processed"}';
}

/** Whether a code is one of the mailbox's. */
export function isMailboxCode(code: string): boolean {
  return code.startsWith("mailbox_");
}

/** Whether a registry issued a receipt, as far as its account tells. */
export function isReceiptOfRegistry(receipt: Receipt): boolean {
  return receipt.fromAccountId?.startsWith(REGISTRY_ACCOUNT_PREFIX) === true;
}

/** The code and the sentence of an error of the mailbox's requests, `code: sentence`; undefined of other texts. */
export function mailboxErrorOf(text: string): { readonly code: string; readonly detail: string } | undefined {
  const match = /^((?:mailbox|auth)_[a-z0-9_]{1,56})(?:: (.*))?$/s.exec(text);
  return match?.[1] === undefined ? undefined : { code: match[1], detail: match[2] ?? "" };
}
