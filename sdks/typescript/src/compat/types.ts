/**
 * The types of the original's TypeScript client, by its names: records have the member names of the wire. They are not readonly,
 * so that programs may fill them in step by step.
 */

import type { Msg } from "@nats-io/nats-core";
import type { BlobOptions, IdentityProvider, Limits, Logger, MailboxOptions, Message, Until } from "../node/index.js";
import type { IdentityRecord, MailboxState, MemberIdentity } from "../protocol/index.js";

/** One agent process as the registry knows it (PROTOCOL.md section 5.3). */
export interface AgentInfo {
  agent_id: string;
  name: string;
  account_id?: string;
  username?: string;
  session_tag?: string;
  capabilities?: string[];
  metadata?: Record<string, unknown>;
  last_seen?: string;
}

/** A message (PROTOCOL.md section 5.1). `exactMessage` of it gives the payload's exact text. */
export interface AgentMessage {
  message_id: string;
  from_agent: string;
  to_agent: string;
  payload: unknown;
  sent_at: string;
  from_account_id?: string;
  to_account_id?: string;
  from_session_tag?: string;
  ttl_ms?: number;
  expires_at?: string;
  trace_id?: string;
  thread_id?: string;
  parent_message_id?: string;
  kind?: string;
  schema_version?: string;
  idempotency_key?: string;
  /** Where a reply goes; absent where the sender waits for none. */
  reply_to?: string;
  auth?: Record<string, unknown>;
}

/** A receipt (PROTOCOL.md section 5.2). */
export interface DeliveryReceipt {
  message_id: string;
  status: string;
  event_at: string;
  from_account_id?: string;
  from_session_tag?: string;
  to_account_id?: string;
  trace_id?: string;
  thread_id?: string;
  parent_message_id?: string;
  code?: string;
  detail?: string;
}

/** What has become of a message that {@link AgentNetClient.deliver} has sent. */
export interface DeliveryResult {
  message_id: string;
  thread_id: string;
  trace_id: string;
  /** `delivered`: the receiver has it. `queued`, only with `mailbox`: the registry keeps it until the receiver takes it. */
  delivery: "delivered" | "queued";
  /** Of a message that is queued: why, and until when. */
  detail?: string;
}

/** What a registration gives (PROTOCOL.md section 6). */
export interface RegisterResponse {
  account_id: string;
  username: string;
  session_tag: string;
  /** Seconds between two hellos. */
  heartbeat_interval?: number;
  /** Seconds of silence that end a session. */
  ttl_seconds?: number;
  [key: string]: unknown;
}

/** The options of a send; of `AgentNode` and `AgentSDK` too. */
export interface SendOptions {
  /** The kind of message. Default `direct` of sends, `request` of requests, `reply` of replies. */
  kind?: string;
  /** Time to live in milliseconds. Default 30,000, or what the client sets. */
  ttlMs?: number;
  /** Correlates the message with others. Default: its own id. */
  traceId?: string;
  /** The thread of the message. Default: one of its own. */
  threadId?: string;
  /** The message that this one follows. */
  parentMessageId?: string;
  /** Names the logical operation, so that the receiver handles it once. */
  idempotencyKey?: string;
  /** Whether to wait for the receiver's receipt. Default false of `AgentNetClient`, true of the other classes. */
  requireDeliveryAck?: boolean;
  /** How often to repeat when no receipt comes. Default 2. */
  retryAttempts?: number;
  /** How long to wait for each receipt, in milliseconds, at least 200. Default 1,500. */
  receiptTimeoutMs?: number;
  /** How far to wait; overrides `requireDeliveryAck`. */
  until?: Until;
  /** How long to wait for the end of the handling after the acceptance, with `until: "processed"`. Default 60,000. */
  processingTimeoutMs?: number;
  /** Ends the wait: the call rejects with the signal's reason. The message may have been published. */
  signal?: AbortSignal;
  /**
   * Leave the message in the receiver's mailbox if the receiver cannot take it now (PROTOCOL.md section 21); this waits for the
   * receipt. {@link AgentNetClient.deliver} says whether it was delivered or is kept. Default false.
   */
  mailbox?: boolean | MailboxOptions;
}

/** The options of a request. Those about receipts have no effect: a request is answered by its reply. */
export interface RequestOptions extends SendOptions {
  /** How long to wait for the reply, in milliseconds. Default 5,000, or what the client sets. */
  timeoutMs?: number;
}

/** The filters of {@link AgentNetClient.searchProfiles}. */
export interface SearchProfilesOptions {
  /** A part of a username or display name. */
  query?: string;
  capability?: string;
  /** 1 to 100; default 20. */
  limit?: number;
  onlineOnly?: boolean;
  timeoutMs?: number;
}

/** The limits that a thread's status is asked for with. */
export interface ThreadStatusOptions {
  softLimitTokens?: number;
  hardLimitTokens?: number;
  timeoutMs?: number;
}

/** The filters of {@link AgentNetClient.listThreads}. */
export interface ListThreadsOptions {
  participantAccountId?: string;
  participantUsername?: string;
  /** A part of the thread id. */
  query?: string;
  /** 1 to 100; default 20. */
  limit?: number;
  softLimitTokens?: number;
  hardLimitTokens?: number;
  timeoutMs?: number;
}

/** The page of {@link AgentNetClient.getThreadMessages}. */
export interface ThreadMessagesOptions {
  /** 1 to 200; default 50. */
  limit?: number;
  /** The `next_cursor` of the page before. */
  cursor?: string | undefined;
  timeoutMs?: number;
}

/** The filters of {@link AgentNetClient.searchMessages}. */
export interface SearchMessagesOptions {
  threadId?: string;
  fromAccountId?: string;
  toAccountId?: string;
  kind?: string;
  /** Earliest time of sending, ISO 8601. */
  fromTs?: string;
  /** Latest time of sending, ISO 8601. */
  toTs?: string;
  /** 1 to 200; default 50. */
  limit?: number;
  /** The `next_cursor` of the page before. */
  cursor?: string | undefined;
  timeoutMs?: number;
}

/** The filters of {@link AgentNetClient.listMailbox}. */
export interface ListMailboxOptions {
  accountId?: string;
  username?: string;
  state?: MailboxState;
  /** 1 to 200; default 50. */
  limit?: number;
  /** The `next_cursor` of the page before. */
  cursor?: string | undefined;
  timeoutMs?: number;
}

/** What an {@link AgentNetClient} is made of. Only `natsUrl` is required to connect; to start, `agentId` and `name` are too. */
export interface AgentNetClientOptions {
  /** The broker: `nats://TOKEN@host:port`, or `ws://…` and `wss://…`; or `identity:FILE`, a member of a network in secure mode. */
  natsUrl: string;
  /** The member of a network in secure mode, in the place of its file: the address is then of the servers alone. */
  identity?: MemberIdentity | IdentityRecord;
  /** The role label. */
  agentId?: string;
  /** Display name. */
  name?: string;
  username?: string;
  accountId?: string;
  capabilities?: string[];
  metadata?: Record<string, unknown>;
  /** Time to live of messages, in milliseconds. Default 30,000. */
  defaultTtlMs?: number;
  /** How long requests wait for their reply, in milliseconds. Default 5,000. */
  defaultRequestTimeoutMs?: number;
  /** The schema version of messages sent. Default `1.1`. */
  defaultSchemaVersion?: string;
  /** Limits of the agent that differ from the defaults. */
  limits?: Partial<Limits>;
  /** Signed identity (PROTOCOL.md section 13), as of an `AgentNode`. Default: what `DEV_AUTH` of the environment says. */
  devAuth?: boolean | IdentityProvider;
  /** Where blobs are kept (docs/BLOBS.md). Default: the environment's `AGENTNET_BLOB_…`, else a directory. */
  blobs?: BlobOptions;
  /** Take the messages of the account's mailbox once the inbox is subscribed to; false: the registry sends them. Default true. */
  pullMailbox?: boolean;
  /** Where failures of handlers and the like are reported. Default: warnings and errors to the console. */
  logger?: Logger;
}

/** What a handler can do with its message. */
export interface InboxContext {
  /**
   * Answers the message; gives the id of the reply.
   *
   * @throws {AgentNetError} `missing_reply_to`: the sender waits for no reply.
   */
  reply(payload: unknown, options?: SendOptions): Promise<string>;
  /** The NATS message. */
  raw: Msg;
  /** The message with its exact payload. */
  message: Message;
  /** Is aborted when the result of the handler is no longer needed. */
  signal: AbortSignal;
}

/** Handles a message of the inbox. */
export type InboxHandler = (message: AgentMessage, ctx: InboxContext) => unknown;

/** What differs from a full receiver. */
export interface SubscribeInboxOptions {
  /** Whether receipts are sent, as PROTOCOL.md section 12 asks. Default true; the original sent none. */
  receipts?: boolean;
  /** Whether life, rate and repetition of messages are checked. Default true; the original checked nothing. */
  guards?: boolean;
}
