/**
 * Calls of the registry without an agent (PROTOCOL.md section 6). Each takes an address, for which it opens a connection that it
 * closes again, or something that is connected already: a `RegistryClient`, or a `NatsConnection`.
 */

import type { NatsConnection } from "@nats-io/nats-core";

import type { JsonObject } from "../json/index.js";
import { platform } from "../platform/index.js";
import {
  type AgentInfo,
  type HistoryPage,
  type MailboxActionReply,
  type MailboxActionRequest,
  type MailboxListReply,
  type MailboxListRequest,
  type MailboxStatusReply,
  type MailboxStatusRequest,
  type MessageSearchRequest,
  newNonce,
  type Profile,
  type ProfileRequest,
  type ResolveAccountReply,
  type ResolveKeyReply,
  RPC,
  requestClaims,
  type SearchReply,
  type SearchRequest,
  type ThreadListReply,
  type ThreadListRequest,
  type ThreadMessagesRequest,
  type ThreadStatusReply,
  type ThreadStatusRequest,
  Timestamp,
  usableUsername,
  usernameLookupKey,
} from "../protocol/index.js";
import { optionsOf } from "./checks.js";
import { Connection } from "./connection.js";
import { InvalidArgumentError } from "./errors.js";
import { SILENT_LOGGER } from "./logger.js";
import { type AccountMailboxChange, checkedChange } from "./mailbox/change.js";
import { natsUrlFromEnvironment } from "./nats-url.js";
import type { RegistryCallOptions } from "./options.js";
import { RegistryClient } from "./registry-client.js";

/** Where a registry is asked: an address (undefined: the environment's), or an open connection. */
export type RegistrySource = string | readonly string[] | undefined | RegistryClient | NatsConnection;

/**
 * Runs calls on one client; of an address, on a connection that is closed at the end.
 *
 * @throws {ConnectError} and what the calls throw.
 */
export async function withRegistry<T>(
  source: RegistrySource,
  calls: (registry: RegistryClient) => Promise<T>,
  options: RegistryCallOptions = {},
): Promise<T> {
  const { signal } = optionsOf(options);
  if (source instanceof RegistryClient) return await calls(source);
  const connection =
    source === undefined || source === null || typeof source === "string" || isList(source)
      ? await Connection.open(source ?? natsUrlFromEnvironment(platform.environment), {
          name: "agentnet-registry-client",
          logger: SILENT_LOGGER,
          signal,
        })
      : Connection.on(source, SILENT_LOGGER);
  const registry = new RegistryClient(connection);
  try {
    return await calls(registry);
  } finally {
    registry.close();
    await connection.close();
  }
}

/** All agents that are online, by agent id and session; follows the pages of a large network. */
export async function listOnlineAgents(source?: RegistrySource, options?: RegistryCallOptions): Promise<AgentInfo[]> {
  return await withRegistry(source, (registry) => registry.listOnline(options), options);
}

/** Account id and username of a name. @throws {RegistryError} `not_found` among others. @throws {UsernameError} */
export async function resolveAccountByUsername(
  source: RegistrySource,
  username: string,
  options?: RegistryCallOptions,
): Promise<ResolveAccountReply> {
  const request = { username: usernameKey(username) };
  return await withRegistry(source, (registry) => registry.call(RPC.resolveAccount, request, options), options);
}

/** The public key that is bound to an account. @throws {RegistryError} `not_found` among others. */
export async function resolveKeyByAccount(
  source: RegistrySource,
  accountId: string,
  options?: RegistryCallOptions,
): Promise<ResolveKeyReply> {
  return await withRegistry(source, (registry) => registry.call(RPC.resolveKey, { accountId }, options), options);
}

/** Accounts by a part of their name and by capability, online ones first. */
export async function searchProfiles(
  source: RegistrySource,
  filters: SearchRequest = {},
  options?: RegistryCallOptions,
): Promise<SearchReply> {
  const request = optionsOf(filters, "filters");
  return await withRegistry(source, (registry) => registry.call(RPC.search, request, options), options);
}

/** One account, by id or username. @throws {RegistryError} `not_found` among others. */
export async function getProfile(
  source: RegistrySource,
  who: ProfileRequest,
  options?: RegistryCallOptions,
): Promise<Profile> {
  const { accountId, username } = optionsOf(who, "who");
  const request: ProfileRequest = {};
  if (accountId !== undefined && accountId.trim() !== "") request.accountId = accountId.trim();
  if (username !== undefined && username.trim() !== "") request.username = usernameKey(username);
  if (request.accountId === undefined && request.username === undefined) {
    throw new InvalidArgumentError("accountId or username is required");
  }
  return await withRegistry(source, (registry) => registry.call(RPC.profile, request, options), options);
}

/** One thread's counters. @throws {RegistryError} `not_found` among others. */
export async function getThreadStatus(
  source: RegistrySource,
  thread: ThreadStatusRequest,
  options?: RegistryCallOptions,
): Promise<ThreadStatusReply> {
  const asked = optionsOf(thread, "thread");
  const request = { ...asked, threadId: requiredThread(asked.threadId) };
  return await withRegistry(source, (registry) => registry.call(RPC.threadStatus, request, options), options);
}

/** Threads, latest activity first. */
export async function listThreads(
  source: RegistrySource,
  filters: ThreadListRequest = {},
  options?: RegistryCallOptions,
): Promise<ThreadListReply> {
  const request = { ...optionsOf(filters, "filters") };
  if (request.participantUsername !== undefined && request.participantUsername.trim() !== "") {
    request.participantUsername = usernameKey(request.participantUsername);
  }
  return await withRegistry(source, (registry) => registry.call(RPC.threadList, request, options), options);
}

/** One page of a thread, newest message first; `nextCursor` is for the next page. */
export async function getThreadMessages(
  source: RegistrySource,
  page: ThreadMessagesRequest,
  options?: RegistryCallOptions,
): Promise<HistoryPage> {
  const asked = optionsOf(page, "page");
  const request = { ...asked, threadId: requiredThread(asked.threadId) };
  return await withRegistry(source, (registry) => registry.call(RPC.threadMessages, request, options), options);
}

/** Messages by filters, newest first; `nextCursor` is for the next page. */
export async function searchMessages(
  source: RegistrySource,
  filters: MessageSearchRequest = {},
  options?: RegistryCallOptions,
): Promise<HistoryPage> {
  const request = optionsOf(filters, "filters");
  return await withRegistry(source, (registry) => registry.call(RPC.messageSearch, request, options), options);
}

/** How full the mailbox of an account is; without `who` all mailboxes together. @throws {RegistryError} */
export async function mailboxStatus(
  source?: RegistrySource,
  who: MailboxStatusRequest = {},
  options?: RegistryCallOptions,
): Promise<MailboxStatusReply> {
  const request = mailboxOwner(optionsOf(who, "who"));
  return await withRegistry(source, (registry) => registry.call(RPC.mailboxStatus, request, options), options);
}

/** Messages of one mailbox, the oldest first; `nextCursor` is for the next page. @throws {RegistryError} */
export async function mailboxList(
  source: RegistrySource,
  filters: MailboxListRequest,
  options?: RegistryCallOptions,
): Promise<MailboxListReply> {
  const asked = optionsOf(filters, "filters");
  const { accountId: _account, username: _username, ...rest } = asked;
  const owner = mailboxOwner(asked);
  if (owner.accountId === undefined && owner.username === undefined) {
    throw new InvalidArgumentError("accountId or username is required");
  }
  const request = { ...rest, ...owner };
  return await withRegistry(source, (registry) => registry.call(RPC.mailboxList, request, options), options);
}

/** Delivers messages of a mailbox again, or deletes them. @throws {RegistryError} @throws {InvalidArgumentError} */
export async function mailboxAction(
  source: RegistrySource,
  change: AccountMailboxChange,
  options?: RegistryCallOptions,
): Promise<MailboxActionReply> {
  const { key, ...asked } = optionsOf(change, "change");
  const accountId = typeof asked.accountId === "string" ? asked.accountId.trim() : "";
  if (accountId === "") throw new InvalidArgumentError("accountId is required");
  const request: MailboxActionRequest = { ...checkedChange(asked), accountId, sessionTag: "" };
  if (key !== undefined) {
    const { name, encode } = RPC.mailboxAction;
    const now = Timestamp.now();
    const claims = { rpc: name, accountId, sessionTag: "", text: encode(request), now, nonce: newNonce() };
    request.auth = await key.auth(requestClaims(claims));
  }
  return await withRegistry(source, (registry) => registry.call(RPC.mailboxAction, request, options), options);
}

function mailboxOwner({ accountId, username }: MailboxStatusRequest): MailboxStatusRequest {
  const owner: MailboxStatusRequest = {};
  if (accountId !== undefined && accountId.trim() !== "") owner.accountId = accountId.trim();
  if (username !== undefined && username.trim() !== "") owner.username = usernameKey(username);
  return owner;
}

/** The counters of the registry that answers. */
export async function getRegistryMetrics(source?: RegistrySource, options?: RegistryCallOptions): Promise<JsonObject> {
  return await withRegistry(source, (registry) => registry.call(RPC.metrics, {}, options), options);
}

function isList(source: RegistryClient | NatsConnection | readonly string[]): source is readonly string[] {
  return Array.isArray(source);
}

function usernameKey(username: string): string {
  const key = usernameLookupKey(username);
  if (key === "") throw new InvalidArgumentError("username is required");
  usableUsername(username);
  return key;
}

function requiredThread(threadId: string): string {
  const trimmed = typeof threadId === "string" ? threadId.trim() : "";
  if (trimmed === "") throw new InvalidArgumentError("threadId is required");
  return trimmed;
}
