/** The calls of the registry that a node offers (PROTOCOL.md sections 6, 21.3 and 22.3). */

import type { JsonObject } from "../json/index.js";
import {
  type AgentInfo,
  type HistoryPage,
  type MailboxListReply,
  type MailboxListRequest,
  type MailboxStatusReply,
  type MailboxStatusRequest,
  type MessageSearchRequest,
  type Profile,
  type ProfileRequest,
  RPC,
  type SearchReply,
  type SearchRequest,
  type TaskEventsReply,
  type TaskEventsRequest,
  type TaskListReply,
  type TaskListRequest,
  type TaskReply,
  type ThreadListReply,
  type ThreadListRequest,
  type ThreadMessagesRequest,
  type ThreadStatusReply,
  type ThreadStatusRequest,
} from "../protocol/index.js";
import { optionsOf } from "./checks.js";
import type { RegistryCallOptions } from "./options.js";
import * as lookups from "./registry.js";
import type { RegistryClient } from "./registry-client.js";
import * as tasks from "./tasks/registry.js";

/** What an `AgentNode` asks its registry. */
export abstract class NodeRegistryCalls {
  /** The client of the registry on the node's connection. @throws {NotRunningError} */
  abstract get registry(): RegistryClient;

  /** The account id, while the node runs. */
  abstract get accountId(): string | undefined;

  /** All agents that are online, by agent id and session. @throws {RegistryError} */
  async listOnline(options?: RegistryCallOptions): Promise<AgentInfo[]> {
    return await this.registry.listOnline(options);
  }

  /** Accounts by name and capability. @throws {RegistryError} */
  async searchProfiles(filters: SearchRequest = {}, options?: RegistryCallOptions): Promise<SearchReply> {
    return await lookups.searchProfiles(this.registry, filters, options);
  }

  /** One account by id or username. @throws {RegistryError} `not_found` among others. */
  async getProfile(who: ProfileRequest, options?: RegistryCallOptions): Promise<Profile> {
    return await lookups.getProfile(this.registry, who, options);
  }

  /** Threads, latest activity first. @throws {RegistryError} */
  async listThreads(filters: ThreadListRequest = {}, options?: RegistryCallOptions): Promise<ThreadListReply> {
    return await lookups.listThreads(this.registry, filters, options);
  }

  /** One thread's counters. @throws {RegistryError} `not_found` among others. */
  async threadStatus(
    threadId: string,
    limits: Omit<ThreadStatusRequest, "threadId"> = {},
    options?: RegistryCallOptions,
  ): Promise<ThreadStatusReply> {
    return await lookups.getThreadStatus(this.registry, { ...limits, threadId }, options);
  }

  /** One page of a thread, newest first. @throws {RegistryError} */
  async threadMessages(
    threadId: string,
    page: Omit<ThreadMessagesRequest, "threadId"> = {},
    options?: RegistryCallOptions,
  ): Promise<HistoryPage> {
    return await lookups.getThreadMessages(this.registry, { ...page, threadId }, options);
  }

  /** Messages by filters, newest first. @throws {RegistryError} */
  async searchMessages(filters: MessageSearchRequest = {}, options?: RegistryCallOptions): Promise<HistoryPage> {
    return await lookups.searchMessages(this.registry, filters, options);
  }

  /** The counters of the registry that answers. @throws {RegistryError} */
  async registryMetrics(options?: RegistryCallOptions): Promise<JsonObject> {
    return await this.registry.call(RPC.metrics, {}, options);
  }

  /** How full a mailbox is, by default the account's own; of `{}` all mailboxes together. @throws {RegistryError} */
  async mailboxStatus(who?: MailboxStatusRequest, options?: RegistryCallOptions): Promise<MailboxStatusReply> {
    const { registry, accountId } = this;
    return await lookups.mailboxStatus(registry, who ?? { accountId }, options);
  }

  /** Messages of a mailbox, by default of the account's own, the oldest first. @throws {RegistryError} */
  async mailboxList(filters: MailboxListRequest = {}, options?: RegistryCallOptions): Promise<MailboxListReply> {
    const { registry, accountId } = this;
    const asked = optionsOf(filters, "filters");
    const isNamed = asked.accountId !== undefined || asked.username !== undefined;
    return await lookups.mailboxList(registry, isNamed ? asked : { ...asked, accountId }, options);
  }

  /** One task. @throws {RegistryError} `not_found` among others. */
  async taskStatus(taskId: string, options?: RegistryCallOptions): Promise<TaskReply> {
    return await tasks.taskStatus(this.registry, taskId, options);
  }

  /** Tasks, the last changed first. @throws {RegistryError} */
  async taskList(filters: TaskListRequest = {}, options?: RegistryCallOptions): Promise<TaskListReply> {
    return await tasks.taskList(this.registry, filters, options);
  }

  /** What happened to a task, in order. @throws {RegistryError} `not_found` among others. */
  async taskEvents(
    taskId: string,
    page: Omit<TaskEventsRequest, "taskId"> = {},
    options?: RegistryCallOptions,
  ): Promise<TaskEventsReply> {
    return await tasks.taskEvents(this.registry, { ...page, taskId }, options);
  }
}
