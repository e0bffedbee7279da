/** The calls of the registry of an `AgentNetClient`. */

import type { JsonObject } from "../json/index.js";
import { optionsOf } from "../node/checks.js";
import { InvalidArgumentError, type RegistryCallOptions, type RegistryClient } from "../node/index.js";
import { PageWalk } from "../node/page-walk.js";
import { RPC, type Rpc, usableUsername, usernameLookupKey } from "../protocol/index.js";
import { BlobCalls } from "./blob-store.js";
import { clientError, translated } from "./errors.js";
import type {
  AgentInfo,
  ListMailboxOptions,
  ListThreadsOptions,
  SearchMessagesOptions,
  SearchProfilesOptions,
  ThreadMessagesOptions,
  ThreadStatusOptions,
} from "./types.js";

/** A record of the registry, with the member names of the wire. */
type Json = Record<string, unknown>;

/**
 * What `AgentNetClient` asks the registry, once it is connected. A refusal is an `AgentNetError` whose code names the call
 * (`search_failed`, `profile_failed`, …) and whose message is the registry's text.
 */
export abstract class ClientRegistryCalls extends BlobCalls {
  /** The client of the registry. @throws {AgentNetError} `not_connected`. @internal */
  protected abstract get registry(): RegistryClient;

  /** All agents that are online; follows the pages of a large network. */
  async listOnlineAgents(timeoutMs?: number): Promise<AgentInfo[]> {
    const agents: AgentInfo[] = [];
    const walk = new PageWalk(RPC.list.name);
    let cursor: string | undefined;
    do {
      const request = cursor === undefined ? {} : { cursor };
      const page = await this.#ask(RPC.list, request, "registry_list_failed", timeoutMs);
      const listed = records(page, "agents");
      for (const agent of listed) agents.push(agent as unknown as AgentInfo);
      cursor = await translated(async () => walk.next(page.get("next_cursor").optText(), listed.length));
    } while (cursor !== undefined);
    return agents;
  }

  /** Account id and username of a name. */
  async resolveAccountByUsername(
    username: string,
    timeoutMs?: number,
  ): Promise<{ accountId: string; username: string }> {
    const key = await translated(async () => usernameKey(username));
    const reply = await this.#ask(RPC.resolveAccount, { username: key }, "resolve_account_failed", timeoutMs);
    return { accountId: reply.get("account_id").text(), username: reply.get("username").optText() ?? key };
  }

  /** Accounts by a part of their name and by capability, online ones first. */
  async searchProfiles(options: SearchProfilesOptions = {}): Promise<Json[]> {
    const { timeoutMs, ...filters } = givenOf(options);
    const limit = clamped(filters.limit, 20, 100);
    const request = {
      ...filters,
      query: filters.query?.trim(),
      capability: filters.capability?.trim() || undefined,
      limit,
    };
    return records(await this.#ask(RPC.search, request, "search_failed", timeoutMs), "results");
  }

  /** One account, by id or username. */
  async getProfile(who: { accountId?: string; username?: string }, timeoutMs?: number): Promise<Json> {
    const request = await translated(async () => {
      const given = optionsOf(who, "who");
      const accountId = given.accountId?.trim() || undefined;
      const username = given.username?.trim() ? usernameKey(given.username) : undefined;
      if (accountId === undefined && username === undefined) {
        throw new InvalidArgumentError("accountId or username is required");
      }
      return { accountId, username };
    });
    const reply = await this.#ask(RPC.profile, request, "profile_failed", timeoutMs);
    return reply.get("profile").asObject()?.value() ?? {};
  }

  /** One thread's counters. */
  async threadStatus(threadId: string, options: ThreadStatusOptions = {}): Promise<Json> {
    const { timeoutMs, ...limits } = givenOf(options);
    const request = { ...limits, threadId: requiredThread(threadId) };
    return (await this.#ask(RPC.threadStatus, request, "thread_status_failed", timeoutMs)).value();
  }

  /** Threads, latest activity first. */
  async listThreads(options: ListThreadsOptions = {}): Promise<Json[]> {
    const { timeoutMs, ...filters } = givenOf(options);
    const request = { ...filters, query: filters.query?.trim(), limit: clamped(filters.limit, 20, 100) };
    if (request.participantUsername) request.participantUsername = usernameLookupKey(request.participantUsername);
    return records(await this.#ask(RPC.threadList, request, "thread_list_failed", timeoutMs), "results");
  }

  /** One page of a thread, newest message first: `messages`, and `next_cursor` where there are more. */
  async getThreadMessages(threadId: string, options: ThreadMessagesOptions = {}): Promise<Json> {
    const { timeoutMs, cursor, limit } = givenOf(options);
    const request = { threadId: requiredThread(threadId), cursor, limit: clamped(limit, 50, 200) };
    return (await this.#ask(RPC.threadMessages, request, "thread_messages_failed", timeoutMs)).value();
  }

  /** Messages by filters, newest first: `messages`, and `next_cursor` where there are more. */
  async searchMessages(options: SearchMessagesOptions = {}): Promise<Json> {
    const { timeoutMs, ...filters } = givenOf(options);
    const request = { ...filters, limit: clamped(filters.limit, 50, 200) };
    return (await this.#ask(RPC.messageSearch, request, "message_search_failed", timeoutMs)).value();
  }

  /** How full the mailbox of an account is, by id or username; without either, those of all accounts together. */
  async getMailboxStatus(who: { accountId?: string; username?: string } = {}, timeoutMs?: number): Promise<Json> {
    const request = await translated(async () => ownerOf(optionsOf(who, "who")));
    return (await this.#ask(RPC.mailboxStatus, request, "mailbox_status_failed", timeoutMs)).value();
  }

  /** One page of an account's mailbox, oldest message first: `messages`, and `next_cursor` where there are more. */
  async listMailbox(options: ListMailboxOptions = {}): Promise<Json> {
    const { timeoutMs, ...filters } = givenOf(options);
    const owner = await translated(async () => ownerOf(filters));
    const request = { ...filters, ...owner, limit: clamped(filters.limit, 50, 200) };
    return (await this.#ask(RPC.mailboxList, request, "mailbox_list_failed", timeoutMs)).value();
  }

  async #ask<Request, Reply>(
    rpc: Rpc<Request, Reply>,
    request: Request,
    refused: string,
    timeoutMs: number | undefined,
  ): Promise<JsonObject> {
    const { registry } = this;
    const options: RegistryCallOptions = timeoutMs === undefined || timeoutMs === null ? {} : { timeoutMs };
    return await translated(() => registry.callObject(rpc, request, options), refused);
  }
}

/** The options of a call, with the errors of this class. */
function givenOf<Options extends object>(options: Options): Options {
  try {
    return optionsOf(options);
  } catch (error) {
    throw clientError(error);
  }
}

function requiredThread(threadId: string): string {
  const trimmed = typeof threadId === "string" ? threadId.trim() : "";
  if (trimmed === "") throw clientError(new InvalidArgumentError("threadId is required"));
  return trimmed;
}

/** Whose mailbox is meant. */
function ownerOf(who: { accountId?: string; username?: string }): { accountId?: string; username?: string } {
  const accountId = who.accountId?.trim() || undefined;
  const username = who.username?.trim() ? usernameKey(who.username) : undefined;
  return { ...(accountId === undefined ? {} : { accountId }), ...(username === undefined ? {} : { username }) };
}

function usernameKey(username: string): string {
  const key = typeof username === "string" ? usernameLookupKey(username) : "";
  if (key === "") throw new InvalidArgumentError("username is required");
  usableUsername(username);
  return key;
}

/** A limit within the bounds of the registry. */
function clamped(limit: number | undefined, missing: number, most: number): number {
  const wanted = Math.trunc(limit ?? missing);
  return Number.isNaN(wanted) ? missing : Math.min(Math.max(wanted, 1), most);
}

/** The objects of a list in a reply. */
function records(reply: JsonObject, member: string): Json[] {
  const list = reply.get(member).toRaw().value();
  return Array.isArray(list) ? list.filter((item): item is Json => typeof item === "object" && item !== null) : [];
}
