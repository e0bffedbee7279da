/** The options of a node and of its calls. */

import type { NatsConnection } from "@nats-io/nats-core";

import type { IdentityRecord, MailboxAck, MemberIdentity, Receipt } from "../protocol/index.js";
import type { BlobOptions } from "./blobs/settings.js";
import type { IdentityProvider } from "./identity.js";
import type { Limits } from "./limits.js";
import type { Logger } from "./logger.js";

/** What an `AgentNode` is made of. Only `agentId` is required. */
export interface NodeOptions {
  /** The role label. */
  readonly agentId: string;
  /** Display name. Default: the agent id. */
  readonly name?: string | undefined;
  /** The name to register with. Default: the registry derives one from the agent id. */
  readonly username?: string | undefined;
  /** The account to register as. Default: the username's. */
  readonly accountId?: string | undefined;
  /** What the agent can do; with a handler, messages to `capability:<name>` reach it. */
  readonly capabilities?: readonly string[] | undefined;
  /** An object that others see. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  /** Keep the display name, capabilities and metadata of an account that exists (0.10). Default false. */
  readonly keepProfile?: boolean | undefined;
  /**
   * The broker: `nats://TOKEN@host:port`, several separated by commas, or `ws://…` and `wss://…`; or `identity:FILE`, the
   * identity file of a member of a network in secure mode. Default: the servers of `identity`, else the environment's
   * `AGENTNET_NATS_URL`, else `NATS_URL`, else `nats://agentnet_secret_token@localhost:4222`.
   */
  readonly natsUrl?: string | undefined;
  /** The same as a list, in the place of `natsUrl`. */
  readonly servers?: readonly string[] | undefined;
  /** A connection that the caller has opened and closes, in the place of an address. */
  readonly connection?: NatsConnection | undefined;
  /**
   * The member of a network in secure mode (PROTOCOL.md section 23) that the node is: for programs without files, the content of its
   * identity file. With `natsUrl` or `servers` its servers do not count, with `connection` the caller has logged in as the member.
   */
  readonly identity?: MemberIdentity | IdentityRecord | undefined;
  /** Limits that differ from the defaults. */
  readonly limits?: Partial<Limits> | undefined;
  /**
   * Signed identity (PROTOCOL.md section 13): true for a key in a file, or a `DevAuth`. Default: the environment's `DEV_AUTH`, else
   * none.
   */
  readonly devAuth?: boolean | IdentityProvider | undefined;
  /** Where the node keeps blobs (docs/BLOBS.md). Default: the environment's `AGENTNET_BLOB_…`, else a directory. */
  readonly blobs?: BlobOptions | undefined;
  /** The schema version of messages sent. Default `1.1`. */
  readonly schemaVersion?: string | undefined;
  /**
   * Take the messages that were left in the account's mailbox (PROTOCOL.md section 21.4), in their order and at the node's own
   * pace, first of all at the start. False: the registry sends them to the inbox, one by one. Default true.
   */
  readonly pullMailbox?: boolean | undefined;
  /** With a handler for tasks: how many of them run at the same time (PROTOCOL.md section 22.4). Default 1. */
  readonly taskConcurrency?: number | undefined;
  /** Where failures of handlers and the like are reported. Default: warnings and errors to the console. */
  readonly logger?: Logger | undefined;
}

/** The options that sends, requests, replies and streams share. */
export interface MessageOptions {
  /** The thread of the message. Default: one of its own. */
  readonly threadId?: string | undefined;
  /** The message that this one follows. */
  readonly parentMessageId?: string | undefined;
  /** Correlates the message with others. Default: its own id. */
  readonly traceId?: string | undefined;
  /** Names the logical operation, so that the receiver handles it once. A blank key is none. */
  readonly idempotencyKey?: string | undefined;
  /**
   * Time to live in milliseconds, at least 1. Default: `limits.defaultTtlMs`; of a request its timeout, if that is longer, at most
   * 600,000.
   */
  readonly ttlMs?: number | undefined;
  /** The kind of message, any text. Default: `direct` of sends, `request` of requests, `reply` of replies. */
  readonly kind?: string | undefined;
}

/**
 * How far a send waits: until the message is published; until the receiver has accepted it (PROTOCOL.md 11.4); or until the
 * receiver's handler has finished with it. While 4 MiB are on their way to the server, publishing waits for it too.
 */
export type Until = "published" | "accepted" | "processed";

/** How a message is left in its receiver's mailbox. */
export interface MailboxOptions {
  /**
   * How long it may wait, in milliseconds; the registry keeps it for a week at most by default. Default: `ttlMs` of the send, else
   * seven days.
   */
  readonly ttlMs?: number | undefined;
  /**
   * When it counts as delivered: once the receiver has accepted it, or once the receiver's handler has finished with it (it then
   * comes again where the handler fails). Default: `processed` with `until: "processed"`, else `accepted`.
   */
  readonly ack?: MailboxAck | undefined;
}

/** The options of a send. */
export interface SendOptions extends MessageOptions {
  /** How far to wait. Default `accepted`. */
  readonly until?: Until | undefined;
  /** False means `until: "published"`, true `until: "accepted"`; `until` overrides it. */
  readonly requireDeliveryAck?: boolean | undefined;
  /** How often to repeat when no receipt comes. Default: `limits.sendRetryAttempts`. */
  readonly retryAttempts?: number | undefined;
  /** How long to wait for each receipt, in milliseconds, at least 200. Default: `limits.receiptTimeoutMs`. */
  readonly receiptTimeoutMs?: number | undefined;
  /** How long to wait for the end of the handling after the acceptance. Default: `limits.processingTimeoutMs`. */
  readonly processingTimeoutMs?: number | undefined;
  /** Ends the wait: the call rejects with the signal's reason. The message may have been published. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Leave the message in the receiver's mailbox if the receiver cannot take it now (PROTOCOL.md section 21): the registry keeps it
   * until the receiver comes back, and `delivery` of the result says `queued`. It is published once, `retryAttempts` has no
   * effect, and there is no `until: "published"`. Default false.
   */
  readonly mailbox?: boolean | MailboxOptions | undefined;
}

/** The options of a request. */
export interface RequestOptions extends MessageOptions {
  /** How long to wait for the reply, in milliseconds. Default 5,000. */
  readonly timeoutMs?: number | undefined;
  /** Ends the wait: the call rejects with the signal's reason. The request may have been published. */
  readonly signal?: AbortSignal | undefined;
}

/** How long a request waits for its reply by default, in milliseconds. */
export const DEFAULT_REQUEST_TIMEOUT_MS = 5_000;

/** The options of a reply. */
export interface ReplyOptions extends MessageOptions {
  /**
   * Ends the wait for a connection that is lost: the call rejects with the signal's reason. The reply goes out all the same when
   * the connection is back.
   */
  readonly signal?: AbortSignal | undefined;
}

/** The ids of a message that was sent. */
export interface Sent {
  /** The id of the message. */
  readonly messageId: string;
  /** The id of its thread. */
  readonly threadId: string;
  /** The id of its trace. */
  readonly traceId: string;
  /** The receipt that ended the wait; absent of a send until `published`, and where the registry answered in its place. */
  readonly receipt?: Receipt;
  /** Of a send with `mailbox`: whether the receiver has it, or the registry keeps it. */
  readonly delivery?: "delivered" | "queued";
  /** Of a message that is queued: why, and until when. */
  readonly detail?: string;
}

/** The options of a call of the registry. */
export interface RegistryCallOptions {
  /** How long the call may take, all attempts together, in milliseconds. Default 2,000. */
  readonly timeoutMs?: number | undefined;
  /** Ends the wait: the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}
