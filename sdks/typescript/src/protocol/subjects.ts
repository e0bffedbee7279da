/** Subjects and queue groups, built and checked in one place (PROTOCOL.md section 2). */

import { isUnicodeSpace, utf8Length } from "../json/index.js";
import { isAccountId } from "./ids.js";

/** The registry's subjects. */
export const REGISTRY_SUBJECTS = {
  register: "registry.register",
  hello: "registry.hello",
  goodbye: "registry.goodbye",
  list: "registry.list",
  resolveAccount: "registry.resolve_account",
  resolveKey: "registry.resolve_key",
  rotateKey: "registry.rotate_key",
  search: "registry.search",
  profile: "registry.profile",
  threadStatus: "registry.thread_status",
  threadList: "registry.thread_list",
  threadMessages: "registry.thread_messages",
  messageSearch: "registry.message_search",
  metrics: "registry.metrics",
  mailboxPut: "registry.mailbox_put",
  mailboxLease: "registry.mailbox_lease",
  mailboxAck: "registry.mailbox_ack",
  mailboxExtend: "registry.mailbox_extend",
  mailboxStatus: "registry.mailbox_status",
  mailboxList: "registry.mailbox_list",
  mailboxAction: "registry.mailbox_action",
  taskCreate: "registry.task_create",
  taskClaim: "registry.task_claim",
  taskHeartbeat: "registry.task_heartbeat",
  taskFinish: "registry.task_finish",
  taskCancel: "registry.task_cancel",
  taskInput: "registry.task_input",
  taskRetry: "registry.task_retry",
  taskStatus: "registry.task_status",
  taskList: "registry.task_list",
  taskEvents: "registry.task_events",
  blobPut: "registry.blob_put",
  blobGet: "registry.blob_get",
  blobStat: "registry.blob_stat",
  blobDelete: "registry.blob_delete",
  blobShare: "registry.blob_share",
} as const;

/** Prefix of the inboxes of this package's connections; never in the history. */
export const CONNECTION_INBOX_PREFIX = "_AGENTNET";
/** Prefix of the reply subjects that registries offer. */
export const REPLY_PREFIX = "agentnet.reply";
/** Prefix of the subjects of events that concern one account (sections 21.6 and 22.5). */
export const EVENTS_PREFIX = "agentnet.events.";
/** Account ids with this prefix belong to registries (section 13.7). */
export const REGISTRY_ACCOUNT_PREFIX = "acct_registry_";
/** The longest text that is put into a subject, in bytes (section 0.5). */
export const MAX_ROUTABLE_BYTES = 1024;

/** `account.<account_id>.inbox`. */
export function inboxSubject(accountId: string): string {
  return `account.${accountId}.inbox`;
}

/** `account.<account_id>.receipts`. */
export function receiptsSubject(accountId: string): string {
  return `account.${accountId}.receipts`;
}

/** `agentnet.events.<account_id>.mailbox`: what happens to messages in this account's mailbox, and to those that it has left. */
export function mailboxEventsSubject(accountId: string): string {
  return `${EVENTS_PREFIX}${accountId}.mailbox`;
}

/** `agentnet.events.<account_id>.task`: what happens to tasks that this account asked for, or that are for it (section 22.5). */
export function taskEventsSubject(accountId: string): string {
  return `${EVENTS_PREFIX}${accountId}.task`;
}

/** `agent.capability.<capability>`. */
export function capabilitySubject(capability: string): string {
  return `agent.capability.${capability}`;
}

/** The queue group that all sessions of an account share for its inbox. */
export function inboxGroup(accountId: string): string {
  return `agentnet-account-${accountId}`;
}

/** The queue group that all agents with a capability share. */
export function capabilityGroup(capability: string): string {
  return `agentnet-capability-${capability}`;
}

/** `<prefix>.<account_id>.<token>`: where the reply to one request goes. */
export function replySubject(prefix: string, accountId: string, token: string): string {
  return `${prefix}.${accountId}.${token}`;
}

/** `<reply subject>.cancel`: where the requester cancels a streamed reply. */
export function cancelSubject(reply: string): string {
  return `${reply}.cancel`;
}

/** Visible characters of ASCII but `*`, `.` and `>`. */
const PLAIN_TOKEN = /^[\x21-\x29\x2b-\x2d\x2f-\x3d\x3f-\x7e]+$/;

/**
 * Whether a capability or an account id can stand in a subject (section 0.5): 1 to 1,024 bytes, without white space, control
 * characters, `.`, `*` and `>`.
 */
export function isRoutable(token: string): boolean {
  // Every receipt and every send asks: what is usual is decided by one regular expression.
  if (token.length <= MAX_ROUTABLE_BYTES && PLAIN_TOKEN.test(token)) return true;
  const bytes = utf8Length(token);
  return bytes >= 1 && bytes <= MAX_ROUTABLE_BYTES && !/[.*>]/.test(token) && !hasSpaceOrControl(token);
}

function hasSpaceOrControl(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0x20 || (unit >= 0x7f && unit < 0xa0) || isUnicodeSpace(text.charAt(at))) return true;
  }
  return false;
}

/**
 * Whether the member `reply_to` of a body names a reply subject of this network (section 0.7): below `_INBOX.` or `agentnet.reply.`,
 * no wildcard, no empty token.
 */
export function isReplySubject(subject: string): boolean {
  const below = ["_INBOX.", `${REPLY_PREFIX}.`].some((prefix) => subject.startsWith(prefix));
  return below && !/[*>]/.test(subject) && !hasSpaceOrControl(subject) && !subject.split(".").includes("");
}

const REFUSED_REPLY_PREFIXES = ["$", "account.", "agent.", "registry.", "agentnet.registry.", EVENTS_PREFIX];

/**
 * Whether an answer or a reply may be published to this NATS reply subject (section 0.11): the sender that chooses it would publish
 * there with the rights of who answers.
 */
export function mayReplyTo(subject: string): boolean {
  return !REFUSED_REPLY_PREFIXES.some((prefix) => subject.startsWith(prefix));
}

/** Whether a header steers the server (`Nats-Expected-Stream`, `Nats-TTL`, …); no message of this network has one (section 12). */
export function isServerHeader(name: string): boolean {
  return name.slice(0, 5).toLowerCase() === "nats-";
}

/** The reply prefix to use for requests of this account: the offered one where the account id fits into a subject. */
export function usableReplyPrefix(offered: string | undefined, accountId: string): string | undefined {
  return isAccountId(accountId) ? offered || undefined : undefined;
}
