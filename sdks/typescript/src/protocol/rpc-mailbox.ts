/** The RPCs and the events of the mailbox (PROTOCOL.md sections 21.3 and 21.6). */

import { ascii, type JsonObject, ObjectWriter } from "../json/index.js";
import { integerOr } from "./agent-info.js";
import { present, readBody } from "./decode.js";
import { MAILBOX_LEASE_MS } from "./mailbox.js";
import type {
  LeasedMessage,
  MailboxAckItem,
  MailboxAckReply,
  MailboxAckRequest,
  MailboxActionReply,
  MailboxActionRequest,
  MailboxEvent,
  MailboxExtendRequest,
  MailboxItem,
  MailboxLeaseReply,
  MailboxLeaseRequest,
  MailboxListReply,
  MailboxListRequest,
  MailboxPutReply,
  MailboxPutRequest,
  MailboxStatusReply,
  MailboxStatusRequest,
  SignedRequest,
} from "./mailbox-types.js";
import { notEmpty, optInt, rpc } from "./rpc-call.js";
import { integer, objects, optional, text, texts } from "./rpc-records.js";

/** Keeps a message until its receiver takes it. */
export const mailboxPut = rpc<MailboxPutRequest, MailboxPutReply>(
  "mailbox_put",
  ["message_id", "state"],
  (request, out) => {
    out.raw("envelope", ascii(request.envelope.text));
    return request.direct === true ? out.bool("direct", true) : out;
  },
  (object) => ({
    messageId: text(object, "message_id"),
    state: notEmpty(object, "state"),
    generatedAt: text(object, "generated_at"),
    ...present({
      position: optInteger(object, "position"),
      queuedAt: optional(object, "queued_at"),
      expiresAt: optional(object, "expires_at"),
    }),
  }),
);

/** The next messages of a mailbox, for a session that handles them within the time of the lease. */
export const mailboxLease = rpc<MailboxLeaseRequest, MailboxLeaseReply>(
  "mailbox_lease",
  ["messages"],
  (request, out) => {
    writeOwner(request, out)
      .int("max", request.max ?? 10)
      .int("lease_ms", request.leaseMs ?? MAILBOX_LEASE_MS)
      .int("wait_ms", request.waitMs ?? 0)
      .optText("lease_id", request.leaseId);
    return writeAuth(request, out);
  },
  (object) => ({
    messages: objects(object.get("messages"), readLeased),
    remaining: integer(object, "remaining"),
    generatedAt: text(object, "generated_at"),
  }),
);

/** Ends leases. */
export const mailboxAck = rpc<MailboxAckRequest, MailboxAckReply>(
  "mailbox_ack",
  ["acked"],
  (request, out) =>
    writeAuth(request, writeOwner(request, out).raw("acks", `[${request.acks.map(ackText).join(",")}]`)),
  readAckReply,
);

/** Lets leases last longer. */
export const mailboxExtend = rpc<MailboxExtendRequest, MailboxAckReply>(
  "mailbox_extend",
  ["acked"],
  (request, out) => {
    writeOwner(request, out)
      .texts("leases", request.leases)
      .int("lease_ms", request.leaseMs ?? MAILBOX_LEASE_MS);
    return writeAuth(request, out);
  },
  readAckReply,
);

/** How full the mailbox of an account is, or of all accounts. */
export const mailboxStatus = rpc<MailboxStatusRequest, MailboxStatusReply>(
  "mailbox_status",
  ["queued"],
  (request, out) => out.optText("account_id", request.accountId).optText("username", request.username),
  (object) => ({
    queued: integer(object, "queued"),
    leased: integer(object, "leased"),
    dead: integer(object, "dead"),
    bytes: integer(object, "bytes"),
    limitBytes: integer(object, "limit_bytes"),
    generatedAt: text(object, "generated_at"),
    ...present({
      accountId: optional(object, "account_id"),
      oldestQueuedAt: optional(object, "oldest_queued_at"),
      limitMessages: optInteger(object, "limit_messages"),
    }),
  }),
);

/** The messages of a mailbox. */
export const mailboxList = rpc<MailboxListRequest, MailboxListReply>(
  "mailbox_list",
  ["messages"],
  (request, out) =>
    out
      .optText("account_id", request.accountId)
      .optText("username", request.username)
      .optText("state", request.state)
      .int("limit", request.limit ?? 50)
      .optText("cursor", request.cursor),
  (object) => ({
    accountId: text(object, "account_id"),
    messages: objects(object.get("messages"), readItem),
    limit: integer(object, "limit"),
    generatedAt: text(object, "generated_at"),
    ...present({ nextCursor: optional(object, "next_cursor") }),
  }),
);

/** Delivers messages again, or deletes them. */
export const mailboxAction = rpc<MailboxActionRequest, MailboxActionReply>(
  "mailbox_action",
  ["changed"],
  (request, out) => {
    const { action, messageIds = [], state } = request;
    writeOwner(request, out).text("action", action);
    if (messageIds.length > 0) out.texts("message_ids", messageIds);
    return writeAuth(request, out.optText("state", state));
  },
  (object) => ({ changed: integer(object, "changed"), generatedAt: text(object, "generated_at") }),
);

/**
 * Reads an event of the mailbox.
 *
 * @throws {@link JsonError} where the body is not JSON, {@link DecodeError} where it is no object.
 */
export function decodeMailboxEvent(body: Uint8Array | string): MailboxEvent {
  const object = readBody(body);
  return {
    event: text(object, "event"),
    messageId: text(object, "message_id"),
    fromAccountId: text(object, "from_account_id"),
    at: text(object, "at"),
    attempt: integer(object, "attempt"),
    ...present({ code: optional(object, "code") }),
  };
}

/** Writes the account and the session of a request that only the account's owner may make. */
export function writeOwner(request: SignedRequest, out: ObjectWriter): ObjectWriter {
  return out.text("account_id", request.accountId).text("session_tag", request.sessionTag);
}

/** Writes the signature of such a request, behind its other members. */
export function writeAuth(request: SignedRequest, out: ObjectWriter): ObjectWriter {
  return request.auth === undefined ? out : out.raw("auth", ascii(request.auth.text));
}

function ackText(ack: MailboxAckItem): string {
  const out = new ObjectWriter().text("lease", ack.lease).text("outcome", ack.outcome);
  return optInt(out, "delay_ms", ack.delayMs).optText("code", ack.code).optText("detail", ack.detail).finish();
}

function readAckReply(object: JsonObject): MailboxAckReply {
  return {
    acked: integer(object, "acked"),
    lost: texts(object.get("lost")),
    generatedAt: text(object, "generated_at"),
  };
}

function readLeased(object: JsonObject): LeasedMessage {
  return {
    lease: text(object, "lease"),
    seq: integer(object, "seq"),
    attempt: integer(object, "attempt"),
    queuedAt: text(object, "queued_at"),
    envelope: object.get("envelope").toRaw(),
  };
}

function readItem(object: JsonObject): MailboxItem {
  return {
    messageId: text(object, "message_id"),
    fromAccountId: text(object, "from_account_id"),
    toAccountId: text(object, "to_account_id"),
    kind: text(object, "kind"),
    bytes: integer(object, "bytes"),
    state: text(object, "state"),
    attempts: integer(object, "attempts"),
    queuedAt: text(object, "queued_at"),
    expiresAt: text(object, "expires_at"),
    preview: text(object, "preview"),
    ...present({
      threadId: optional(object, "thread_id"),
      doneAt: optional(object, "done_at"),
      lastCode: optional(object, "last_code"),
      lastDetail: optional(object, "last_detail"),
    }),
  };
}

/** An integer; absent where it is null. */
export function optInteger(object: JsonObject, name: string): number | undefined {
  const value = object.get(name);
  return value.isNull() ? undefined : integerOr(value, 0n);
}
