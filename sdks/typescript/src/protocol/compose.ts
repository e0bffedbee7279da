/** Composing messages: defaults, replies and error replies (PROTOCOL.md sections 5.4, 11.1 and 11.6). Ids and time are passed in. */

import { ObjectWriter, RawJson, trim } from "../json/index.js";
import { type Envelope, KIND, SCHEMA_VERSION, traceOrMessageId } from "./envelope.js";
import { defaultThreadId } from "./ids.js";
import type { MailboxAck } from "./mailbox.js";
import type { Reject } from "./reject.js";
import type { Timestamp } from "./time.js";

/** Time to live when the sender names none, in milliseconds. */
export const DEFAULT_TTL_MS = 30_000;

/** Agent, account and session that send a message. */
export interface Sender {
  /** The role label. */
  agentId: string;
  /** The account. */
  accountId: string;
  /** The session. */
  sessionTag: string;
}

/** What the caller may choose of a message; absent members get the defaults of section 11.1. */
export interface Draft {
  /** The target as it stands in the envelope: an account id or `capability:<name>`. */
  toAgent: string;
  /** The target's account, unless a capability is addressed. */
  toAccountId?: string | undefined;
  /** Any JSON value. */
  payload: RawJson;
  /** Default `direct`. */
  kind?: string | undefined;
  /** Time to live in milliseconds, raised to 1; default {@link DEFAULT_TTL_MS}. A fraction is dropped. */
  ttlMs?: number | undefined;
  /** Default: the message id. */
  traceId?: string | undefined;
  /** Default: `thread_` and the lower-case trace id. */
  threadId?: string | undefined;
  /** The message that this one follows. */
  parentMessageId?: string | undefined;
  /** Trimmed; blank means none. */
  idempotencyKey?: string | undefined;
  /** Default {@link SCHEMA_VERSION}. */
  schemaVersion?: string | undefined;
  /** Keep the message for a receiver that cannot take it now, and when it counts as delivered (section 21.1). */
  mailbox?: MailboxAck | undefined;
  /** Chosen where a repetition has to be recognised. Default: a new one. */
  messageId?: string | undefined;
}

/** The finished, unsigned message of a draft. */
export function compose(draft: Draft, sender: Sender, messageId: string, now: Timestamp): Envelope {
  const traceId = draft.traceId || messageId;
  const ttlMs = Math.max(1, Math.trunc(draft.ttlMs ?? DEFAULT_TTL_MS) || 0);
  const ttl = Number.isSafeInteger(ttlMs) ? ttlMs : Number.MAX_SAFE_INTEGER;
  const envelope: Envelope = {
    messageId,
    fromAgent: sender.agentId,
    toAgent: draft.toAgent,
    payload: draft.payload,
    sentAt: now.toString(),
    kind: draft.kind || KIND.DIRECT,
    schemaVersion: draft.schemaVersion || SCHEMA_VERSION,
    fromSessionTag: sender.sessionTag,
    fromAccountId: sender.accountId,
    ttlMs: ttl,
    expiresAt: now.addMillis(ttl).toString(),
    traceId,
    threadId: draft.threadId || defaultThreadId(traceId),
  };
  if (draft.toAccountId) envelope.toAccountId = draft.toAccountId;
  if (draft.parentMessageId) envelope.parentMessageId = draft.parentMessageId;
  const idempotencyKey = trim(draft.idempotencyKey ?? "");
  if (idempotencyKey !== "") envelope.idempotencyKey = idempotencyKey;
  if (draft.mailbox !== undefined) envelope.mailbox = draft.mailbox;
  return envelope;
}

/** A draft that answers a request: target, trace, thread, parent and kind `reply` where it names none (section 11.6). */
export function answering(draft: Omit<Draft, "toAgent" | "toAccountId">, request: Envelope): Draft {
  // Member by member: to copy them all and replace some takes longer than to write the message.
  return {
    toAgent: (request.fromAccountId ?? request.fromAgent) || "unknown",
    toAccountId: request.fromAccountId,
    payload: draft.payload,
    kind: draft.kind || KIND.REPLY,
    ttlMs: draft.ttlMs,
    traceId: draft.traceId ?? (traceOrMessageId(request) || undefined),
    threadId: draft.threadId ?? request.threadId,
    parentMessageId: draft.parentMessageId ?? (request.messageId || undefined),
    idempotencyKey: draft.idempotencyKey,
    schemaVersion: draft.schemaVersion,
    mailbox: draft.mailbox,
    messageId: draft.messageId,
  };
}

/** The error reply to a refused request, unsigned (section 5.4). */
export function errorReply(
  request: Envelope,
  reject: Reject,
  sender: Sender,
  messageId: string,
  now: Timestamp,
): Envelope {
  const payload = new ObjectWriter()
    .text("error", reject.code)
    .text("detail", reject.detail)
    .text("request_message_id", request.messageId)
    .text("trace_id", traceOrMessageId(request))
    .finish();
  const draft = answering({ payload: RawJson.trusted(payload), kind: KIND.ERROR }, request);
  return compose({ ...draft, toAgent: request.fromAgent }, sender, messageId, now);
}
