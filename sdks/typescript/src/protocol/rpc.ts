/** The registry's RPCs: how requests are written and replies are read (PROTOCOL.md section 6). */

import { ascii, type JsonObject, type ObjectWriter } from "../json/index.js";
import { decodeAgentInfo, integerOr, writeAgentInfo } from "./agent-info.js";
import { parseSigningScope, type RotateKeyRequest } from "./auth.js";
import { DecodeError, present } from "./decode.js";
import { MAILBOX_PULL } from "./mailbox.js";
import { blobDelete, blobGet, blobPut, blobShare, blobStat } from "./rpc-blobs.js";
import { notEmpty, optInt, rpc } from "./rpc-call.js";
import {
  mailboxAck,
  mailboxAction,
  mailboxExtend,
  mailboxLease,
  mailboxList,
  mailboxPut,
  mailboxStatus,
} from "./rpc-mailbox.js";
import {
  integer,
  objects,
  optional,
  type Profile,
  readAccountHit,
  readHistoryMessage,
  readProfile,
  readThreadSummary,
  text,
} from "./rpc-records.js";
import {
  taskCancel,
  taskClaim,
  taskCreate,
  taskEvents,
  taskFinish,
  taskHeartbeat,
  taskInput,
  taskList,
  taskRetry,
  taskStatus,
} from "./rpc-tasks.js";
import type {
  HistoryPage,
  ListReply,
  ListRequest,
  MessageSearchRequest,
  ProfileRequest,
  RegisterReply,
  RegisterRequest,
  ResolveAccountReply,
  ResolveKeyReply,
  RotateKeyReply,
  SearchReply,
  SearchRequest,
  ThreadLimits,
  ThreadListReply,
  ThreadListRequest,
  ThreadMessagesRequest,
  ThreadStatusReply,
  ThreadStatusRequest,
} from "./rpc-types.js";
import { TASKS_CLAIM } from "./task.js";

function writeLimits(out: ObjectWriter, limits: ThreadLimits): ObjectWriter {
  return optInt(optInt(out, "soft_limit_tokens", limits.softLimitTokens), "hard_limit_tokens", limits.hardLimitTokens);
}

const nextCursor = (object: JsonObject) => present({ nextCursor: optional(object, "next_cursor") });

const register = rpc<RegisterRequest, RegisterReply>(
  "register",
  ["account_id", "session_tag"],
  (request, out) => {
    writeAgentInfo(request.agent, out);
    if (request.auth !== undefined) out.raw("auth", ascii(request.auth.text));
    if (request.keepProfile === true) out.bool("keep_profile", true);
    if (request.pullsMailbox === true) out.text("mailbox", MAILBOX_PULL);
    return request.claimsTasks === true ? out.text("tasks", TASKS_CLAIM) : out;
  },
  (object) => ({
    accountId: notEmpty(object, "account_id"),
    username: text(object, "username"),
    sessionTag: notEmpty(object, "session_tag"),
    heartbeatInterval: object.get("heartbeat_interval").number() ?? 12,
    ttlSeconds: object.get("ttl_seconds").number() ?? 40,
    registeredAt: text(object, "registered_at"),
    ...present({ replyPrefix: optional(object, "reply_prefix") }),
  }),
);

const list = rpc<ListRequest, ListReply>(
  "list",
  ["agents"],
  (request, out) => optInt(out, "limit", request.limit).optText("cursor", request.cursor),
  (object) => ({
    generatedAt: text(object, "generated_at"),
    agents: objects(object.get("agents"), decodeAgentInfo),
    ...nextCursor(object),
  }),
);

const resolveAccount = rpc<{ username: string }, ResolveAccountReply>(
  "resolve_account",
  ["account_id"],
  (request, out) => out.text("username", request.username),
  (object) => ({
    accountId: notEmpty(object, "account_id"),
    username: text(object, "username"),
    resolvedAt: text(object, "resolved_at"),
  }),
);

const resolveKey = rpc<{ accountId: string }, ResolveKeyReply>(
  "resolve_key",
  ["account_id", "public_key"],
  (request, out) => out.text("account_id", request.accountId),
  (object) => ({
    accountId: text(object, "account_id"),
    publicKey: text(object, "public_key"),
    resolvedAt: text(object, "resolved_at"),
    signs: parseSigningScope(text(object, "signs")),
  }),
);

const rotateKey = rpc<RotateKeyRequest, RotateKeyReply>(
  "rotate_key",
  ["account_id", "public_key"],
  (request, out) =>
    out
      .text("account_id", request.accountId)
      .text("new_public_key", request.newPublicKey)
      .raw("auth", ascii(request.auth.text))
      .text("proof", request.proof),
  (object) => ({
    accountId: text(object, "account_id"),
    publicKey: text(object, "public_key"),
    rotatedAt: text(object, "rotated_at"),
  }),
);

const search = rpc<SearchRequest, SearchReply>(
  "search",
  ["results"],
  (request, out) =>
    out
      .text("query", request.query ?? "")
      .nullableText("capability", request.capability)
      .int("limit", request.limit ?? 20)
      .bool("online_only", request.onlineOnly ?? false)
      .optText("cursor", request.cursor),
  (object) => ({
    query: text(object, "query"),
    limit: integer(object, "limit"),
    onlineOnly: object.get("online_only").isTruthy(),
    results: objects(object.get("results"), readAccountHit),
    generatedAt: text(object, "generated_at"),
    ...present({ capability: optional(object, "capability") }),
    ...nextCursor(object),
  }),
);

const profile = rpc<ProfileRequest, Profile>(
  "profile",
  ["profile"],
  (request, out) => out.optText("account_id", request.accountId).optText("username", request.username),
  (object) => {
    const members = object.get("profile").asObject();
    if (members === undefined) throw DecodeError.ofMember("profile", "must be an object");
    return readProfile(members);
  },
);

const threadStatus = rpc<ThreadStatusRequest, ThreadStatusReply>(
  "thread_status",
  ["thread_id"],
  (request, out) => writeLimits(out.text("thread_id", request.threadId), request),
  (object) => ({
    ...readThreadSummary(object),
    softLimitTokens: integer(object, "soft_limit_tokens"),
    hardLimitTokens: integer(object, "hard_limit_tokens"),
    threadKeepTailMessages: integer(object, "thread_keep_tail_messages"),
    tokenEstimateCharsPerToken: object.get("token_estimate_chars_per_token").number() ?? 4,
    generatedAt: text(object, "generated_at"),
    participantsFull: object.get("participants_full").raw === "true",
  }),
);

const threadList = rpc<ThreadListRequest, ThreadListReply>(
  "thread_list",
  ["results"],
  (request, out) => {
    out
      .text("query", request.query ?? "")
      .int("limit", request.limit ?? 20)
      .optText("participant_account_id", request.participantAccountId)
      .optText("participant_username", request.participantUsername);
    return writeLimits(out, request).optText("cursor", request.cursor);
  },
  (object) => ({
    query: text(object, "query"),
    limit: integer(object, "limit"),
    results: objects(object.get("results"), readThreadSummary),
    generatedAt: text(object, "generated_at"),
    ...present({
      participantAccountId: optional(object, "participant_account_id"),
      participantUsername: object.get("participant_username").asString(),
    }),
    ...limitsInForce(object),
    ...nextCursor(object),
  }),
);

function limitsInForce(object: JsonObject): Partial<ThreadListReply> {
  const charsPerToken = object.get("token_estimate_chars_per_token").number();
  if (charsPerToken === undefined) return {};
  return {
    softLimitTokens: integer(object, "soft_limit_tokens"),
    hardLimitTokens: integer(object, "hard_limit_tokens"),
    tokenEstimateCharsPerToken: charsPerToken,
  };
}

function readPage(object: JsonObject): HistoryPage {
  return {
    limit: integerOr(object.get("limit"), 0n),
    messages: objects(object.get("messages"), readHistoryMessage),
    generatedAt: text(object, "generated_at"),
    ...present({ threadId: optional(object, "thread_id"), cursor: optional(object, "cursor") }),
    ...nextCursor(object),
  };
}

const threadMessages = rpc<ThreadMessagesRequest, HistoryPage>(
  "thread_messages",
  ["messages"],
  (request, out) =>
    out
      .text("thread_id", request.threadId)
      .int("limit", request.limit ?? 50)
      .optText("cursor", request.cursor),
  readPage,
);

const messageSearch = rpc<MessageSearchRequest, HistoryPage>(
  "message_search",
  ["messages"],
  (request, out) =>
    out
      .optText("message_id", request.messageId)
      .optText("thread_id", request.threadId)
      .optText("from_account_id", request.fromAccountId)
      .optText("to_account_id", request.toAccountId)
      .optText("kind", request.kind)
      .optText("from_ts", request.fromTs)
      .optText("to_ts", request.toTs)
      .int("limit", request.limit ?? 50)
      .optText("cursor", request.cursor),
  readPage,
);

const metrics = rpc<Record<string, never>, JsonObject>(
  "metrics",
  ["latency_ms", "handlers"],
  (_request, out) => out,
  (object) => object,
);

/** Every RPC of the registry. */
export const RPC = {
  register,
  list,
  resolveAccount,
  resolveKey,
  rotateKey,
  search,
  profile,
  threadStatus,
  threadList,
  threadMessages,
  messageSearch,
  metrics,
  mailboxPut,
  mailboxLease,
  mailboxAck,
  mailboxExtend,
  mailboxStatus,
  mailboxList,
  mailboxAction,
  taskCreate,
  taskClaim,
  taskHeartbeat,
  taskFinish,
  taskCancel,
  taskInput,
  taskRetry,
  taskStatus,
  taskList,
  taskEvents,
  blobPut,
  blobGet,
  blobStat,
  blobDelete,
  blobShare,
} as const;
