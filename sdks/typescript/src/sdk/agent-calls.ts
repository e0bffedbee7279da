/** The calls that `AgentSDK` and `AgentWrapper` share: receiving, replies, and the registry's. */

import { optionsOf } from "../node/checks.js";
import {
  type AgentNode,
  type BlobStore,
  type GetBlobOptions,
  type Handler,
  InvalidArgumentError,
  type MailboxChange,
  type Message,
  type MetricsSnapshot,
  type PutBlobOptions,
  type RegistryCallOptions,
  type ReplyOptions,
  type ReplyStreamOptions,
  type Sent,
  type StreamSender,
  type TaskHandle,
  type TaskHandler,
  type TaskOptions,
} from "../node/index.js";
import {
  type AccountHit,
  type AgentInfo,
  type BlobRef,
  type MailboxActionReply,
  type MailboxItem,
  type MailboxListReply,
  type MailboxListRequest,
  type MailboxStatusReply,
  type MailboxStatusRequest,
  type MessageSearchRequest,
  type Profile,
  type ProfileRequest,
  parseTarget,
  RPC,
  type SearchReply,
  type SearchRequest,
  type TaskEventsReply,
  type TaskEventsRequest,
  type TaskListReply,
  type TaskListRequest,
  type TaskReply,
  type TaskSnapshot,
  type ThreadListReply,
  type ThreadListRequest,
  type ThreadMessagesRequest,
  type ThreadStatusReply,
  type ThreadStatusRequest,
  type ThreadSummary,
} from "../protocol/index.js";
import { type AnyBlob, blobKey } from "./blobs.js";
import { type HistoryItem, type HistoryItems, historyItems } from "./history-item.js";
import { Paged } from "./paged.js";

/** An agent that runs on a node. */
export abstract class AgentCalls {
  /** The node that does the work. */
  readonly node: AgentNode;

  /** @internal */
  protected constructor(node: AgentNode) {
    this.node = node;
  }

  /** Sets what is done with the messages that arrive: see `AgentNode.onMessage`. */
  receive(handler: Handler): this {
    this.node.onMessage(handler);
    return this;
  }

  /** Sets what does the tasks that the agent claims: see `AgentNode.onTask`. */
  onTask(handler: TaskHandler): this {
    this.node.onTask(handler);
    return this;
  }

  /** Asks for a task to be done: see `AgentNode.task`. @throws {TaskError} @throws {RegistryError} */
  async task(to: string, task: TaskOptions): Promise<TaskHandle> {
    return await this.node.task(to, task);
  }

  /** A task that was asked for, by its id: see `AgentNode.taskHandle`. */
  taskHandle(taskId: string): TaskHandle {
    return this.node.taskHandle(taskId);
  }

  /** Whether the agent is on the network. */
  get isRunning(): boolean {
    return this.node.isRunning;
  }

  /** The account id, while it runs. */
  get accountId(): string | undefined {
    return this.node.accountId;
  }

  /** The username that the registry gave, while it runs. */
  get username(): string | undefined {
    return this.node.username;
  }

  /** The session tag, while it runs. */
  get sessionTag(): string | undefined {
    return this.node.sessionTag;
  }

  /** The agent's description of itself. */
  info(): AgentInfo {
    return this.node.info();
  }

  /** The node's counters at this moment (PROTOCOL.md section 17). */
  metricsSnapshot(): MetricsSnapshot {
    return this.node.metricsSnapshot();
  }

  /** Starts, runs until the process gets SIGINT or SIGTERM or the signal is aborted, and closes: see `AgentNode.startForever`. */
  async startForever(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.node.startForever(options);
  }

  /** Leaves the network at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.node.close();
  }

  /**
   * Answers a message that was received.
   *
   * @throws {NoReplySubjectError} The sender waits for no reply.
   */
  async reply(message: Message, payload: unknown, options?: ReplyOptions): Promise<Sent> {
    return await this.node.reply(message, payload, options);
  }

  /**
   * Answers a message piece by piece, and sends the start: see `AgentNode.replyStream`.
   *
   * @throws {NoReplySubjectError} The sender waits for no reply.
   */
  async replyStream(message: Message, options?: ReplyStreamOptions): Promise<StreamSender> {
    return await this.node.replyStream(message, options);
  }

  /** The agent's blob store, with what these calls leave out: see `AgentNode.blobs`. */
  get blobs(): BlobStore {
    return this.node.blobs;
  }

  /** Stores bytes, or a text as UTF-8. @throws {BlobError} */
  async putBlobBytes(bytes: Uint8Array | ArrayBuffer | string, options?: PutBlobOptions): Promise<BlobRef> {
    return await this.blobs.putBytes(bytes, options);
  }

  /** Stores a file, under its own name by default. Not in browsers. @throws {BlobError} */
  async putBlobFile(path: string, options?: PutBlobOptions): Promise<BlobRef> {
    return await this.blobs.putFile(path, options);
  }

  /** A blob's bytes, checked against its hash. @throws {BlobNotFoundError} @throws {BlobError} */
  async getBlobBytes(blob: AnyBlob, options?: GetBlobOptions): Promise<Uint8Array> {
    return await this.blobs.getBytes(blobKey(blob), options);
  }

  /** A blob's text, UTF-8. @throws {BlobNotFoundError} @throws {BlobError} */
  async getBlobText(blob: AnyBlob, options?: GetBlobOptions): Promise<string> {
    return await this.blobs.getText(blobKey(blob), options);
  }

  /** Writes a blob to a file, which appears when the blob is complete and checked. Not in browsers. @throws {BlobError} */
  async getBlobToFile(blob: AnyBlob, path: string, options?: GetBlobOptions): Promise<BlobRef> {
    return await this.blobs.getToFile(blobKey(blob), path, options);
  }

  /** The reference of a blob; undefined where the store does not have it. @throws {BlobError} */
  async headBlob(blob: AnyBlob): Promise<BlobRef | undefined> {
    return await this.blobs.head(blobKey(blob));
  }

  /** Removes a blob; false where the store did not have it. @throws {BlobError} */
  async deleteBlob(blob: AnyBlob): Promise<boolean> {
    return await this.blobs.delete(blobKey(blob));
  }

  /** The account of a username. @throws {RegistryError} `not_found` among others. */
  async resolveUsername(username: string, options?: { readonly signal?: AbortSignal }): Promise<string> {
    return await this.node.resolveUsername(username, options);
  }

  /** All agents that are online, by agent id and session. @throws {RegistryError} */
  async listOnline(options?: RegistryCallOptions): Promise<AgentInfo[]> {
    return await this.node.listOnline(options);
  }

  /** Accounts by a part of their name and by capability, online ones first; a page, or all of them. */
  searchProfiles(filters: SearchRequest = {}, options?: RegistryCallOptions): Paged<SearchReply, AccountHit> {
    const given = optionsOf(filters, "filters");
    return new Paged(
      {
        rpc: RPC.search.name,
        fetch: (cursor) => this.node.searchProfiles(after(given, cursor), options),
        items: (page) => page.results,
        next: (page) => page.nextCursor,
      },
      given.cursor,
    );
  }

  /**
   * One account, by `@name`, `name`, `username:<name>`, `acct_…` or `account:<id>`, or by its members.
   *
   * @throws {RegistryError} `not_found` among others. @throws {InvalidArgumentError} `invalid_target`: a capability.
   * @throws {TargetError}
   */
  async getProfile(who: string | ProfileRequest, options?: RegistryCallOptions): Promise<Profile> {
    return await this.node.getProfile(typeof who === "string" ? profileRequest(who) : who, options);
  }

  /** Threads, latest activity first; a page, or all of them. */
  listThreads(filters: ThreadListRequest = {}, options?: RegistryCallOptions): Paged<ThreadListReply, ThreadSummary> {
    const given = optionsOf(filters, "filters");
    return new Paged(
      {
        rpc: RPC.threadList.name,
        fetch: (cursor) => this.node.listThreads(after(given, cursor), options),
        items: (page) => page.results,
        next: (page) => page.nextCursor,
      },
      given.cursor,
    );
  }

  /** A thread's messages, newest first; a page, or all of them. */
  threadMessages(
    threadId: string,
    page: Omit<ThreadMessagesRequest, "threadId"> = {},
    options?: RegistryCallOptions,
  ): Paged<HistoryItems, HistoryItem> {
    const given = optionsOf(page, "page");
    return historyPages(RPC.threadMessages.name, given.cursor, async (cursor) =>
      historyItems(await this.node.threadMessages(threadId, after(given, cursor), options)),
    );
  }

  /** {@link threadMessages} under its name in the other SDKs. */
  getThreadMessages(
    threadId: string,
    page: Omit<ThreadMessagesRequest, "threadId"> = {},
    options?: RegistryCallOptions,
  ): Paged<HistoryItems, HistoryItem> {
    return this.threadMessages(threadId, page, options);
  }

  /** Messages by filters, newest first; a page, or all of them. */
  searchMessages(filters: MessageSearchRequest = {}, options?: RegistryCallOptions): Paged<HistoryItems, HistoryItem> {
    const given = optionsOf(filters, "filters");
    return historyPages(RPC.messageSearch.name, given.cursor, async (cursor) =>
      historyItems(await this.node.searchMessages(after(given, cursor), options)),
    );
  }

  /** One thread's counters. @throws {RegistryError} `not_found` among others. */
  async threadStatus(
    threadId: string,
    limits: Omit<ThreadStatusRequest, "threadId"> = {},
    options?: RegistryCallOptions,
  ): Promise<ThreadStatusReply> {
    return await this.node.threadStatus(threadId, limits, options);
  }

  /**
   * How full a mailbox is: by default the agent's own; another by target or by its members; of `{}` all together.
   *
   * @throws {RegistryError} @throws {TargetError}
   */
  async mailboxStatus(who?: string | MailboxStatusRequest, options?: RegistryCallOptions): Promise<MailboxStatusReply> {
    return await this.node.mailboxStatus(typeof who === "string" ? profileRequest(who) : who, options);
  }

  /** Messages of a mailbox, by default of the agent's own, the oldest first; a page, or all of them. */
  mailboxList(filters: MailboxListRequest = {}, options?: RegistryCallOptions): Paged<MailboxListReply, MailboxItem> {
    const given = optionsOf(filters, "filters");
    return new Paged(
      {
        rpc: RPC.mailboxList.name,
        fetch: (cursor) => this.node.mailboxList(after(given, cursor), options),
        items: (page) => page.messages,
        next: (page) => page.nextCursor,
      },
      given.cursor,
    );
  }

  /** Delivers dead messages of the agent's own mailbox again, or deletes messages of it. @throws {RegistryError} */
  async mailboxAction(change: MailboxChange, options?: RegistryCallOptions): Promise<MailboxActionReply> {
    return await this.node.mailboxAction(change, options);
  }

  /** One task. @throws {RegistryError} `not_found` among others. */
  async taskStatus(taskId: string, options?: RegistryCallOptions): Promise<TaskReply> {
    return await this.node.taskStatus(taskId, options);
  }

  /** Tasks, the last changed first; a page, or all of them. */
  taskList(filters: TaskListRequest = {}, options?: RegistryCallOptions): Paged<TaskListReply, TaskSnapshot> {
    const given = optionsOf(filters, "filters");
    return new Paged(
      {
        rpc: RPC.taskList.name,
        fetch: (cursor) => this.node.taskList(after(given, cursor), options),
        items: (page) => page.tasks,
        next: (page) => page.nextCursor,
      },
      given.cursor,
    );
  }

  /** {@link taskList} under its name in the other SDKs. */
  listTasks(filters: TaskListRequest = {}, options?: RegistryCallOptions): Paged<TaskListReply, TaskSnapshot> {
    return this.taskList(filters, options);
  }

  /** What happened to a task, in order: see `TaskHandle.events`. @throws {RegistryError} `not_found` among others. */
  async taskEvents(
    taskId: string,
    page: Omit<TaskEventsRequest, "taskId"> = {},
    options?: RegistryCallOptions,
  ): Promise<TaskEventsReply> {
    return await this.node.taskEvents(taskId, page, options);
  }

  /** The counters of the registry that answers, as it sent them. @throws {RegistryError} */
  async registryMetrics(options?: RegistryCallOptions): Promise<Record<string, unknown>> {
    return (await this.node.registryMetrics(options)).value();
  }
}

function after<Request extends { cursor?: string | undefined }>(request: Request, cursor: string | undefined): Request {
  return cursor === undefined ? request : { ...request, cursor };
}

function historyPages(
  rpc: string,
  cursor: string | undefined,
  fetch: (cursor: string | undefined) => Promise<HistoryItems>,
): Paged<HistoryItems, HistoryItem> {
  return new Paged({ rpc, fetch, items: (page) => page.messages, next: (page) => page.nextCursor }, cursor);
}

function profileRequest(target: string): ProfileRequest {
  const { kind, value } = parseTarget(target);
  if (kind === "capability") {
    throw new InvalidArgumentError(
      "a capability has no profile and no mailbox: search for it with searchProfiles({ capability })",
      "invalid_target",
    );
  }
  return kind === "account" ? { accountId: value } : { username: value };
}
