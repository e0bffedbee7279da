/** The records of the registry's replies, and how they are read (PROTOCOL.md section 6). */

import { compactInteger, type JsonObject, type JsonView, type RawJson } from "../json/index.js";
import { integerOr, objectOrEmpty } from "./agent-info.js";
import { present } from "./decode.js";

/** An account that a search found. */
export interface AccountHit {
  accountId: string;
  username: string;
  displayName: string;
  capabilities: string[];
  /** A JSON object. */
  metadata: RawJson;
  visibility: string;
  status: string;
  /** How many live sessions it has. */
  onlineSessions: number;
  online: boolean;
}

/** A live session of an account. */
export interface ProfileSession {
  sessionTag: string;
  agentId: string;
  /** The registry that issued it. */
  serverId: string;
  /** Time of its registration (section 3). */
  connectedAt: string;
  /** Time of its last hello (section 3). */
  lastSeen: string;
  capabilities: string[];
  /** A JSON object. */
  metadata: RawJson;
}

/** What the registry knows of an account. */
export interface Profile {
  accountId: string;
  username: string;
  displayName: string;
  bio: string;
  capabilities: string[];
  /** A JSON object. */
  metadata: RawJson;
  visibility: string;
  status: string;
  createdAt: string;
  updatedAt: string;
  /** Its live sessions, the one heard last first. */
  onlineSessions: ProfileSession[];
  online: boolean;
}

/** The counters of a thread (section 8). */
export interface ThreadSummary {
  threadId: string;
  /** The sender of the message that was received first. */
  createdByAccountId?: string;
  /** The accounts that take part; at most 256 are recorded. */
  participants: string[];
  createdAt: string;
  updatedAt: string;
  messageCount: number;
  /** Bytes of all payloads. */
  byteCount: number;
  approxTokens: number;
  latestCheckpointEnd: number;
  lastMessageAt?: string;
  /** `ok` from this project's registries. */
  status: string;
  /** Messages since the last checkpoint. */
  pendingMessages: number;
}

/** A message of the history. */
export interface HistoryMessage {
  messageId: string;
  threadId: string;
  parentMessageId?: string;
  fromAccountId?: string;
  fromSessionTag?: string;
  toAccountId?: string;
  toAgent: string;
  kind: string;
  schemaVersion: string;
  idempotencyKey?: string;
  /** The payload as its exact text; null where it was too large for the reply, see `metadata`. */
  payload: RawJson;
  traceId?: string;
  sentAt: string;
  receivedAt: string;
  status: string;
  /** A JSON object. */
  metadata: RawJson;
  fromAgent?: string;
  ttlMs?: number | bigint;
  expiresAt?: string;
}

/** A text; empty where the member is missing. */
export const text = (object: JsonObject, name: string): string => object.get(name).text();
/** A text; absent where it is empty. */
export const optional = (object: JsonObject, name: string): string | undefined => object.get(name).optText();
/** An integer; 0 where the member is missing or unusable. */
export const integer = (object: JsonObject, name: string): number => integerOr(object.get(name), 0n);
/** The texts of an array. */
export const texts = (view: JsonView): string[] => (view.asArray() ?? []).map((item) => item.text());

/** The objects of an array; other items are passed over. */
export function objects<T>(view: JsonView, read: (object: JsonObject) => T): T[] {
  return (view.asArray() ?? []).flatMap((item) => {
    const object = item.asObject();
    return object === undefined ? [] : [read(object)];
  });
}

/** Reads an account that a search found. */
export function readAccountHit(object: JsonObject): AccountHit {
  return {
    accountId: text(object, "account_id"),
    username: text(object, "username"),
    displayName: text(object, "display_name"),
    capabilities: texts(object.get("capabilities")),
    metadata: objectOrEmpty(object.get("metadata")),
    visibility: text(object, "visibility"),
    status: text(object, "status"),
    onlineSessions: integer(object, "online_sessions"),
    online: object.get("online").isTruthy(),
  };
}

function readSession(object: JsonObject): ProfileSession {
  return {
    sessionTag: text(object, "session_tag"),
    agentId: text(object, "agent_id"),
    serverId: text(object, "server_id"),
    connectedAt: text(object, "connected_at"),
    lastSeen: text(object, "last_seen"),
    capabilities: texts(object.get("capabilities")),
    metadata: objectOrEmpty(object.get("metadata")),
  };
}

/** Reads a profile. */
export function readProfile(object: JsonObject): Profile {
  return {
    accountId: text(object, "account_id"),
    username: text(object, "username"),
    displayName: text(object, "display_name"),
    bio: text(object, "bio"),
    capabilities: texts(object.get("capabilities")),
    metadata: objectOrEmpty(object.get("metadata")),
    visibility: text(object, "visibility"),
    status: text(object, "status"),
    createdAt: text(object, "created_at"),
    updatedAt: text(object, "updated_at"),
    onlineSessions: objects(object.get("online_sessions"), readSession),
    online: object.get("online").isTruthy(),
  };
}

/** Reads the counters of a thread. */
export function readThreadSummary(object: JsonObject): ThreadSummary {
  return {
    threadId: text(object, "thread_id"),
    participants: texts(object.get("participants")),
    createdAt: text(object, "created_at"),
    updatedAt: text(object, "updated_at"),
    messageCount: integer(object, "message_count"),
    byteCount: integer(object, "byte_count"),
    approxTokens: integer(object, "approx_tokens"),
    latestCheckpointEnd: integer(object, "latest_checkpoint_end"),
    status: text(object, "status"),
    pendingMessages: integer(object, "pending_messages"),
    ...present({
      createdByAccountId: optional(object, "created_by_account_id"),
      lastMessageAt: optional(object, "last_message_at"),
    }),
  };
}

/** Reads a message of the history. */
export function readHistoryMessage(object: JsonObject): HistoryMessage {
  return {
    messageId: text(object, "message_id"),
    threadId: text(object, "thread_id"),
    toAgent: text(object, "to_agent"),
    kind: text(object, "kind"),
    schemaVersion: text(object, "schema_version"),
    payload: object.get("payload").toRaw(),
    sentAt: text(object, "sent_at"),
    receivedAt: text(object, "received_at"),
    status: text(object, "status"),
    metadata: objectOrEmpty(object.get("metadata")),
    ...present({
      parentMessageId: optional(object, "parent_message_id"),
      fromAccountId: optional(object, "from_account_id"),
      fromSessionTag: optional(object, "from_session_tag"),
      toAccountId: optional(object, "to_account_id"),
      idempotencyKey: optional(object, "idempotency_key"),
      traceId: optional(object, "trace_id"),
      fromAgent: optional(object, "from_agent"),
      ttlMs: readTtl(object.get("ttl_ms")),
      expiresAt: optional(object, "expires_at"),
    }),
  };
}

function readTtl(view: JsonView): number | bigint | undefined {
  try {
    const ttl = view.int();
    return ttl === undefined ? undefined : compactInteger(ttl);
  } catch {
    return undefined;
  }
}
