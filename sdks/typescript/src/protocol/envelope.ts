/** The envelope: one message on the wire (PROTOCOL.md section 5.1). */

import { ascii, compactInteger, escaped, integer, type JsonView, type RawJson, RecordReader } from "../json/index.js";
import { present, readRecord } from "./decode.js";
import { type MailboxAck, mailboxAckText, readMailboxAck } from "./mailbox.js";

/** The conventional kinds of a message; any other text is allowed. */
export const KIND = {
  /** A one-way message. */
  DIRECT: "direct",
  /** A message whose sender waits for a reply. */
  REQUEST: "request",
  /** The answer to a request. */
  REPLY: "reply",
  /** A refusal or failure, sent to the reply subject (section 5.4). */
  ERROR: "error",
  /** Sent by the registry. */
  SYSTEM: "system",
  /** A part of a streamed reply. */
  STREAM: "stream",
} as const;

/** The schema version that this implementation sends. */
export const SCHEMA_VERSION = "1.1";
/** The schema version of a message that names none. */
export const DEFAULT_SCHEMA_VERSION = "1.0";

/** One message on the wire. Times are texts of section 3, not checked when read. */
export interface Envelope {
  /** Unique id; where it is empty, the message cannot be deduplicated. */
  messageId: string;
  /** The sender's role label. */
  fromAgent: string;
  /** The target: an account id, `capability:<name>`, or on replies the requester. */
  toAgent: string;
  /** Any JSON value, as its exact text. */
  payload: RawJson;
  /** When it was sent. */
  sentAt: string;
  /** `direct`, `request`, `reply`, `error`, `system`, `stream`, or another text; `direct` where the body names none. */
  kind: string;
  /** `1.0` where the body names none. */
  schemaVersion: string;
  /** The sender's session. */
  fromSessionTag?: string;
  /** The sender's account. */
  fromAccountId?: string;
  /** The receiver's account; absent on capability sends. */
  toAccountId?: string;
  /** Time to live in milliseconds from `sentAt`; may be zero or less. A bigint beyond the safe integers. */
  ttlMs?: number | bigint;
  /** When it expires. */
  expiresAt?: string;
  /** Correlates the messages of one exchange. */
  traceId?: string;
  /** The thread (conversation) that it belongs to. */
  threadId?: string;
  /** The message that it answers or follows. */
  parentMessageId?: string;
  /** Suppresses a second run of one logical operation. */
  idempotencyKey?: string;
  /** A reply subject in the body; the NATS reply subject takes precedence (section 0.7). */
  replyTo?: RawJson;
  /** Asks the registry to keep the message while its receiver cannot take it, and says when it is delivered (section 21.1). */
  mailbox?: MailboxAck;
  /** The signature (section 13.4); always an object. */
  auth?: RawJson;
}

/** An envelope as a plain object, in the spelling of the wire. */
export interface AgentMessageObject {
  message_id: string;
  from_agent: string;
  to_agent: string;
  payload: unknown;
  sent_at: string;
  kind: string;
  schema_version: string;
  from_session_tag?: string;
  from_account_id?: string;
  to_account_id?: string;
  ttl_ms?: number;
  expires_at?: string;
  trace_id?: string;
  thread_id?: string;
  parent_message_id?: string;
  idempotency_key?: string;
  reply_to?: unknown;
  mailbox?: true | { ack: "processed" };
  auth?: unknown;
}

const READER = new RecordReader([
  "message_id",
  "from_agent",
  "to_agent",
  "payload",
  "sent_at",
  "kind",
  "schema_version",
  "from_session_tag",
  "from_account_id",
  "to_account_id",
  "ttl_ms",
  "expires_at",
  "trace_id",
  "thread_id",
  "parent_message_id",
  "idempotency_key",
  "reply_to",
  "mailbox",
  "auth",
]);

/**
 * Reads a message body with the coercions of section 5.1; an empty body is `{}`.
 *
 * @throws {@link JsonError} where the body is not JSON or `ttl_ms` is infinite, {@link DecodeError} where it is no object. The message
 * of the error is the detail of a `message_invalid` refusal.
 */
export function decodeEnvelope(body: Uint8Array | string): Envelope {
  const record = readRecord(READER, body);
  const envelope: Envelope = {
    messageId: record.text("message_id"),
    fromAgent: record.text("from_agent"),
    toAgent: record.text("to_agent"),
    payload: record.raw("payload"),
    sentAt: record.text("sent_at"),
    kind: record.optText("kind") ?? KIND.DIRECT,
    schemaVersion: record.optText("schema_version") ?? DEFAULT_SCHEMA_VERSION,
  };
  // One by one: to copy them from an object with all of them takes longer than to read them.
  const fromSessionTag = record.text("from_session_tag");
  if (fromSessionTag !== "") envelope.fromSessionTag = fromSessionTag;
  const fromAccountId = record.text("from_account_id");
  if (fromAccountId !== "") envelope.fromAccountId = fromAccountId;
  const toAccountId = record.text("to_account_id");
  if (toAccountId !== "") envelope.toAccountId = toAccountId;
  const ttlMs = readTtl(record.get("ttl_ms"));
  if (ttlMs !== undefined) envelope.ttlMs = ttlMs;
  const expiresAt = record.text("expires_at");
  if (expiresAt !== "") envelope.expiresAt = expiresAt;
  const traceId = record.text("trace_id");
  if (traceId !== "") envelope.traceId = traceId;
  const threadId = record.text("thread_id");
  if (threadId !== "") envelope.threadId = threadId;
  const parentMessageId = record.text("parent_message_id");
  if (parentMessageId !== "") envelope.parentMessageId = parentMessageId;
  const idempotencyKey = record.text("idempotency_key");
  if (idempotencyKey !== "") envelope.idempotencyKey = idempotencyKey;
  const replyTo = record.get("reply_to");
  if (!replyTo.isNull()) envelope.replyTo = replyTo.toRaw();
  const mailbox = readMailboxAck(record.get("mailbox"));
  if (mailbox !== undefined) envelope.mailbox = mailbox;
  const auth = record.get("auth");
  if (auth.kind === "object") envelope.auth = auth.toRaw();
  return envelope;
}

const SHORT_INTEGER = /^[0-9]{1,15}$/;

function readTtl(view: JsonView): number | bigint | undefined {
  if (SHORT_INTEGER.test(view.raw)) return Number(view.raw);
  const ttl = view.int();
  return ttl === undefined ? undefined : compactInteger(ttl);
}

/**
 * The wire text: ASCII, so that its length is its size in bytes; members in the order of section 5.1, absent ones left out. The
 * payload's numbers, member order and spelling stay as they are.
 */
export function encodeEnvelope(envelope: Envelope): string {
  // The names need no escapes: written out, they are not looked through for each message.
  let out =
    `{"message_id":"${escaped(envelope.messageId)}","from_agent":"${escaped(envelope.fromAgent)}"` +
    `,"to_agent":"${escaped(envelope.toAgent)}","payload":${ascii(envelope.payload.text)}` +
    `,"sent_at":"${escaped(envelope.sentAt)}","kind":"${escaped(envelope.kind)}"` +
    `,"schema_version":"${escaped(envelope.schemaVersion)}"`;
  const { fromSessionTag, fromAccountId, toAccountId, ttlMs, expiresAt, traceId, threadId } = envelope;
  if (fromSessionTag !== undefined) out += `,"from_session_tag":"${escaped(fromSessionTag)}"`;
  if (fromAccountId !== undefined) out += `,"from_account_id":"${escaped(fromAccountId)}"`;
  if (toAccountId !== undefined) out += `,"to_account_id":"${escaped(toAccountId)}"`;
  if (ttlMs !== undefined) out += `,"ttl_ms":${integer("ttl_ms", ttlMs)}`;
  if (expiresAt !== undefined) out += `,"expires_at":"${escaped(expiresAt)}"`;
  if (traceId !== undefined) out += `,"trace_id":"${escaped(traceId)}"`;
  if (threadId !== undefined) out += `,"thread_id":"${escaped(threadId)}"`;
  const { parentMessageId, idempotencyKey, replyTo, mailbox, auth } = envelope;
  if (parentMessageId !== undefined) out += `,"parent_message_id":"${escaped(parentMessageId)}"`;
  if (idempotencyKey !== undefined) out += `,"idempotency_key":"${escaped(idempotencyKey)}"`;
  if (replyTo !== undefined) out += `,"reply_to":${ascii(replyTo.text)}`;
  if (mailbox !== undefined) out += `,"mailbox":${mailboxAckText(mailbox)}`;
  if (auth !== undefined) out += `,"auth":${ascii(auth.text)}`;
  return `${out}}`;
}

/** The trace id, else the message id: what receipts and replies carry as trace. */
export function traceOrMessageId(envelope: Envelope): string {
  return envelope.traceId ?? envelope.messageId;
}

/** As a plain object in the spelling of the wire; the payload as ordinary JavaScript values. */
export function envelopeToObject(envelope: Envelope): AgentMessageObject {
  return {
    message_id: envelope.messageId,
    from_agent: envelope.fromAgent,
    to_agent: envelope.toAgent,
    payload: envelope.payload.value(),
    sent_at: envelope.sentAt,
    kind: envelope.kind,
    schema_version: envelope.schemaVersion,
    ...present({
      from_session_tag: envelope.fromSessionTag,
      from_account_id: envelope.fromAccountId,
      to_account_id: envelope.toAccountId,
      ttl_ms: envelope.ttlMs === undefined ? undefined : Number(envelope.ttlMs),
      expires_at: envelope.expiresAt,
      trace_id: envelope.traceId,
      thread_id: envelope.threadId,
      parent_message_id: envelope.parentMessageId,
      idempotency_key: envelope.idempotencyKey,
      reply_to: envelope.replyTo?.value(),
      mailbox: mailboxObject(envelope.mailbox),
      auth: envelope.auth?.value(),
    }),
  };
}

function mailboxObject(ack: MailboxAck | undefined): AgentMessageObject["mailbox"] {
  return ack === "processed" ? { ack } : ack && true;
}
