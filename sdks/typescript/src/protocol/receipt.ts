/** Delivery receipts (PROTOCOL.md section 5.2). */

import { ascii, ObjectWriter, type RawJson, RecordReader, trim } from "../json/index.js";
import { present, readRecord } from "./decode.js";
import { type Envelope, traceOrMessageId } from "./envelope.js";
import type { Reject } from "./reject.js";
import type { Timestamp } from "./time.js";

/** What a receipt says, once its text is trimmed and in lower case. */
export type ReceiptStatus = "accepted" | "processed" | "rejected" | "other";

/** One receipt, published to the original sender's receipts subject. */
export interface Receipt {
  /** The message that it is about. */
  messageId: string;
  /** As written: `accepted`, `processed`, `rejected`, in any case, or another text. */
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
  /** On rejections: what the code means. */
  detail?: string;
  /** A detached signature (section 13.6); always an object. */
  auth?: RawJson;
}

/** The receipt for a message, as its receiver issues it. */
export function receiptFor(
  message: Envelope,
  status: Exclude<ReceiptStatus, "other">,
  receiver: { accountId: string; sessionTag: string },
  now: Timestamp,
  reject?: Reject,
): Receipt {
  return {
    messageId: message.messageId,
    status,
    eventAt: now.toString(),
    ...present({
      fromAccountId: receiver.accountId || undefined,
      fromSessionTag: receiver.sessionTag || undefined,
      toAccountId: message.fromAccountId,
      traceId: traceOrMessageId(message) || undefined,
      threadId: message.threadId,
      parentMessageId: message.parentMessageId,
      code: reject?.code,
      detail: reject?.detail,
    }),
  };
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
  const out = new ObjectWriter()
    .text("message_id", receipt.messageId)
    .text("status", receipt.status)
    .text("event_at", receipt.eventAt)
    .optText("from_account_id", receipt.fromAccountId)
    .optText("from_session_tag", receipt.fromSessionTag)
    .optText("to_account_id", receipt.toAccountId)
    .optText("trace_id", receipt.traceId)
    .optText("thread_id", receipt.threadId)
    .optText("parent_message_id", receipt.parentMessageId)
    .optText("code", receipt.code)
    .optText("detail", receipt.detail);
  if (receipt.auth !== undefined) out.raw("auth", ascii(receipt.auth.text));
  return out.finish();
}

/** What a receipt says: its status, compared trimmed and without case. */
export function receiptStatus(receipt: Receipt): ReceiptStatus {
  const status = trim(receipt.status).toLowerCase();
  return status === "accepted" || status === "processed" || status === "rejected" ? status : "other";
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
