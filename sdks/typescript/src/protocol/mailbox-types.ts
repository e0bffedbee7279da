/** The requests, replies and events of the mailbox (PROTOCOL.md sections 21.3 and 21.6). Times are texts of section 3. */

import type { RawJson } from "../json/index.js";

/** Where a message in a mailbox stands: it waits; a session has it; it was delivered; it cannot be delivered. */
export type MailboxState = "queued" | "leased" | "done" | "dead";

/** A request that only the account's owner may make under signed identity (section 13.8). */
export interface SignedRequest {
  /** The account that asks. */
  accountId: string;
  /** The session that asks; it may be empty where none is needed. */
  sessionTag: string;
  /** The signature, under signed identity. */
  auth?: RawJson | undefined;
}

/** `registry.mailbox_put`. */
export interface MailboxPutRequest {
  /** The message, an object; kept as it is written. */
  envelope: RawJson;
  /** The message was not published: where a session is online and nothing waits, the registry answers `live`. */
  direct?: boolean | undefined;
}

/** What has become of a message that was put in. */
export interface MailboxPutReply {
  messageId: string;
  /** `queued`, `delivered` (put in before, and delivered), `live` (not kept: publish it), `dead`. */
  state: string;
  /** Messages of the account that wait before it. */
  position?: number;
  queuedAt?: string;
  /** When it is given up. */
  expiresAt?: string;
  generatedAt: string;
}

/** `registry.mailbox_lease`. */
export interface MailboxLeaseRequest extends SignedRequest {
  /** 1 to 100; default 10. */
  max?: number | undefined;
  /** How long the lease lasts: 1,000 to 600,000; default 30,000. */
  leaseMs?: number | undefined;
  /** How long to wait for a message where there is none: 0 to 25,000; default 0. */
  waitMs?: number | undefined;
  /** Names the lease: with the same one the registry gives the same messages again. At most 64 letters, digits, `-` and `_`. */
  leaseId?: string | undefined;
}

/** A message that a session has to handle. */
export interface LeasedMessage {
  /** Names the lease. */
  lease: string;
  /** Place in the order of the mailboxes. */
  seq: number;
  /** Which attempt to deliver it this is, from 1. */
  attempt: number;
  queuedAt: string;
  /** The message, as its sender wrote it. */
  envelope: RawJson;
}

/** Messages to handle, in order. */
export interface MailboxLeaseReply {
  messages: LeasedMessage[];
  /** Messages of the account that are not delivered yet, without these. */
  remaining: number;
  generatedAt: string;
}

/** How a session has dealt with a leased message. */
export interface MailboxAckItem {
  /** The lease. */
  lease: string;
  /** It is delivered; it is to be delivered again; it cannot be handled. */
  outcome: "done" | "retry" | "dead";
  /** Of `retry`: not before so many milliseconds. */
  delayMs?: number | undefined;
  /** The code of the reason. */
  code?: string | undefined;
  /** The reason. */
  detail?: string | undefined;
}

/** `registry.mailbox_ack`. */
export interface MailboxAckRequest extends SignedRequest {
  /** At most 100. */
  acks: readonly MailboxAckItem[];
}

/** `registry.mailbox_extend`. */
export interface MailboxExtendRequest extends SignedRequest {
  /** At most 100. */
  leases: readonly string[];
  /** How long the leases last from now on: 1,000 to 600,000; default 30,000. */
  leaseMs?: number | undefined;
}

/** Which leases were in force. */
export interface MailboxAckReply {
  /** Leases that were ended, or extended. */
  acked: number;
  /** Leases that are over, or of another session. */
  lost: string[];
  generatedAt: string;
}

/** `registry.mailbox_status`: an account by its id, or by a username; without both the whole network. */
export interface MailboxStatusRequest {
  accountId?: string | undefined;
  username?: string | undefined;
}

/** How full a mailbox is, or all of them together. */
export interface MailboxStatusReply {
  /** The account; absent for the whole network. */
  accountId?: string;
  /** Messages that wait. */
  queued: number;
  /** Messages that sessions have. */
  leased: number;
  /** Messages that cannot be delivered. */
  dead: number;
  /** Size of these messages, in bytes. */
  bytes: number;
  /** Since when the oldest message waits. */
  oldestQueuedAt?: string;
  /** The most messages that may wait for one account; absent for the whole network. */
  limitMessages?: number;
  /** The most bytes that may wait. */
  limitBytes: number;
  generatedAt: string;
}

/** `registry.mailbox_list`: messages of one mailbox, by the account's id or its username. */
export interface MailboxListRequest extends MailboxStatusRequest {
  /** Only messages in this state. */
  state?: MailboxState | undefined;
  /** 1 to 200; default 50. */
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** A message of a mailbox. */
export interface MailboxItem {
  messageId: string;
  /** Account of its sender. */
  fromAccountId: string;
  /** Account of its receiver. */
  toAccountId: string;
  threadId?: string;
  kind: string;
  /** Its size in bytes. */
  bytes: number;
  /** A {@link MailboxState}. */
  state: string;
  /** Attempts to deliver it. */
  attempts: number;
  queuedAt: string;
  /** When it is given up. */
  expiresAt: string;
  /** When it was delivered, or given up. */
  doneAt?: string;
  /** The code of the reason why the last attempt failed. */
  lastCode?: string;
  /** Why the last attempt failed. */
  lastDetail?: string;
  /** The beginning of its text. */
  preview: string;
}

/** A page of a mailbox, the message first that was put in first. */
export interface MailboxListReply {
  accountId: string;
  messages: MailboxItem[];
  limit: number;
  /** The next page; absent on the last one. */
  nextCursor?: string;
  generatedAt: string;
}

/** `registry.mailbox_action`: delivers messages again, or deletes them. */
export interface MailboxActionRequest extends SignedRequest {
  /** Deliver dead messages again, or delete messages. */
  action: "requeue" | "drop";
  /** Which messages, at most 100. */
  messageIds?: readonly string[] | undefined;
  /** All messages in this state, where none is named. */
  state?: MailboxState | undefined;
}

/** How many messages were changed. */
export interface MailboxActionReply {
  changed: number;
  generatedAt: string;
}

/** What has happened to a message of a mailbox: on `agentnet.events.<account_id>.mailbox`. */
export interface MailboxEvent {
  /** `queued`, `delivered`, `retry`, `dead`, `expired` or `dropped`. */
  event: string;
  messageId: string;
  /** Account of its sender. */
  fromAccountId: string;
  /** When. */
  at: string;
  /** Attempts to deliver it. */
  attempt: number;
  /** The code of the reason, if there is one. */
  code?: string;
}
