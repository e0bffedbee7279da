/** Delivery receipts (PROTOCOL.md section 5.2). */

import { ascii, escaped, type RawJson, RecordReader, trim } from "../json/index.js";
import { readRecord } from "./decode.js";
import { type Envelope, traceOrMessageId } from "./envelope.js";
import type { Reject } from "./reject.js";
import type { Timestamp } from "./time.js";

/** What a receipt says, once its text is trimmed and in lower case. */
export type ReceiptStatus = "accepted" | "processed" | "rejected" | "queued" | "other";

/** One receipt, published to the original sender's receipts subject. */
export interface Receipt {
  /** The message that it is about. */
  messageId: string;
  /** As written: `accepted`, `processed`, `rejected`, `queued` (a registry keeps the message), in any case, or another text. */
  status: string;
  /** When it was issued. */
  eventAt: string;
  /** The receiver that issued it. */
  fromAccountId?: string;
  /** The receiver's session. */
  fromSessionTag?: string;
  /** The original sender. */
  toAccountId?: string;
  /** The message's trace id, else its id. */
  traceId?: string;
  /** The message's thread. */
  threadId?: string;
  /** The parent of the message. */
  parentMessageId?: string;
  /** On rejections: the code of section 12. */
  code?: string;
  /** On rejections: what the code means; on `queued`: why the message is kept, and until when. */
  detail?: string;
  /** A detached signature (section 13.6); always an object. */
  auth?: RawJson;
}

/** The receipt for a message, as its receiver issues it. */
export function receiptFor(
  message: Envelope,
  status: Exclude<ReceiptStatus, "queued" | "other">,
  receiver: { accountId: string; sessionTag: string },
  now: Timestamp,
  reject?: Reject,
): Receipt {
  const receipt: Receipt = { messageId: message.messageId, status, eventAt: now.toString() };
  if (receiver.accountId) receipt.fromAccountId = receiver.accountId;
  if (receiver.sessionTag) receipt.fromSessionTag = receiver.sessionTag;
  if (message.fromAccountId !== undefined) receipt.toAccountId = message.fromAccountId;
  const traceId = traceOrMessageId(message);
  if (traceId !== "") receipt.traceId = traceId;
  if (message.threadId !== undefined) receipt.threadId = message.threadId;
  if (message.parentMessageId !== undefined) receipt.parentMessageId = message.parentMessageId;
  if (reject !== undefined) {
    receipt.code = reject.code;
    receipt.detail = reject.detail;
  }
  return receipt;
}

const READER = new RecordReader([
  "message_id",
  "status",
  "event_at",
  "from_account_id",
  "from_session_tag",
  "to_account_id",
  "trace_id",
  "thread_id",
  "parent_message_id",
  "code",
  "detail",
  "auth",
]);

/**
 * Reads a receipt.
 *
 * @throws {@link JsonError} where the body is not JSON, {@link DecodeError} where it is no object.
 */
export function decodeReceipt(body: Uint8Array | string): Receipt {
  const record = readRecord(READER, body);
  const receipt: Receipt = {
    messageId: record.text("message_id"),
    status: record.text("status"),
    eventAt: record.text("event_at"),
  };
  const fromAccountId = record.text("from_account_id");
  if (fromAccountId !== "") receipt.fromAccountId = fromAccountId;
  const fromSessionTag = record.text("from_session_tag");
  if (fromSessionTag !== "") receipt.fromSessionTag = fromSessionTag;
  const toAccountId = record.text("to_account_id");
  if (toAccountId !== "") receipt.toAccountId = toAccountId;
  const traceId = record.text("trace_id");
  if (traceId !== "") receipt.traceId = traceId;
  const threadId = record.text("thread_id");
  if (threadId !== "") receipt.threadId = threadId;
  const parentMessageId = record.text("parent_message_id");
  if (parentMessageId !== "") receipt.parentMessageId = parentMessageId;
  const code = record.text("code");
  if (code !== "") receipt.code = code;
  const detail = record.text("detail");
  if (detail !== "") receipt.detail = detail;
  const auth = record.get("auth");
  if (auth.kind === "object") receipt.auth = auth.toRaw();
  return receipt;
}

/** The wire text, ASCII. */
export function encodeReceipt(receipt: Receipt): string {
  let out =
    `{"message_id":"${escaped(receipt.messageId)}","status":"${escaped(receipt.status)}"` +
    `,"event_at":"${escaped(receipt.eventAt)}"`;
  const { fromAccountId, fromSessionTag, toAccountId, traceId, threadId, parentMessageId } = receipt;
  if (fromAccountId !== undefined) out += `,"from_account_id":"${escaped(fromAccountId)}"`;
  if (fromSessionTag !== undefined) out += `,"from_session_tag":"${escaped(fromSessionTag)}"`;
  if (toAccountId !== undefined) out += `,"to_account_id":"${escaped(toAccountId)}"`;
  if (traceId !== undefined) out += `,"trace_id":"${escaped(traceId)}"`;
  if (threadId !== undefined) out += `,"thread_id":"${escaped(threadId)}"`;
  if (parentMessageId !== undefined) out += `,"parent_message_id":"${escaped(parentMessageId)}"`;
  const { code, detail, auth } = receipt;
  if (code !== undefined) out += `,"code":"${escaped(code)}"`;
  if (detail !== undefined) out += `,"detail":"${escaped(detail)}"`;
  if (auth !== undefined) out += `,"auth":${ascii(auth.text)}`;
  return `${out}}`;
}

const STATUSES: readonly ReceiptStatus[] = ["accepted", "processed", "rejected", "queued"];

/** What a receipt says: its status, compared trimmed and without case. */
export function receiptStatus(receipt: Receipt): ReceiptStatus {
  const status = trim(receipt.status).toLowerCase();
  return (STATUSES as readonly string[]).includes(status) ? (status as ReceiptStatus) : "other";
}

const FRONT = '{"message_id":"';

/**
 * The message id, where a body begins with it as every writer of receipts puts it: enough to see that no sender waits for the rest,
 * before anything of it is read. `undefined` where it is elsewhere, or has escapes.
 */
export function receiptMessageIdAtFront(body: Uint8Array): string | undefined {
  for (let at = 0; at < FRONT.length; at++) if (body[at] !== FRONT.charCodeAt(at)) return undefined;
  let id = "";
  for (let at = FRONT.length; at < body.length; at++) {
    const byte = body[at] ?? 0;
    if (byte === 0x22) return id;
    // Escapes, and what is not ASCII, are left to the general reader.
    if (byte === 0x5c || byte >= 0x80) return undefined;
    id += String.fromCharCode(byte);
  }
  return undefined;
}
