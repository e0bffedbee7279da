/** {@link AgentNode}: one agent on the network. */

import { type AgentInfo, type BlobRef, blobRefPayload, KIND, type MailboxActionReply, RPC } from "../protocol/index.js";
import { type BlobStore, blobStoreOf } from "./blobs/index.js";
import { optionsOf } from "./checks.js";
import { checkOptions, type NodeConfig } from "./config.js";
import type { Handler } from "./context.js";
import { RotateKeyError } from "./dev-auth/index.js";
import { InvalidArgumentError, NoReplySubjectError, NotRunningError } from "./errors.js";
import { Lifecycle } from "./lifecycle.js";
import { callAsOwner } from "./mailbox/calls.js";
import { checkedChange, type MailboxChange } from "./mailbox/change.js";
import type { Message } from "./message.js";
import type { MetricsSnapshot } from "./metrics.js";
import { NodeRegistryCalls } from "./node-registry-calls.js";
import type { NodeOptions, RegistryCallOptions, ReplyOptions, RequestOptions, SendOptions, Sent } from "./options.js";
import type { RegistryClient } from "./registry-client.js";
import { request } from "./requests.js";
import { send } from "./sender.js";
import { requestedInfo, type Session } from "./session.js";
import {
  type ReplyStream,
  type ReplyStreamOptions,
  replyStream,
  requestStream,
  type SendStreamOptions,
  type StreamRequestOptions,
  type StreamSender,
  sendStream,
} from "./streams/index.js";
import type { TaskHandler } from "./tasks/context.js";
import { createTask, type TaskOptions } from "./tasks/create.js";
import { TaskHandle } from "./tasks/handle.js";
import { throwIfAborted, withDeadline } from "./waits.js";

/**
 * One agent on the network: it registers, keeps its presence, sends, and hands what arrives to its handler.
 *
 * ```ts
 * await using node = await new AgentNode({ agentId: "agent_a", username: "alice" })
 *   .onMessage(async (message, context) => {
 *     if (message.wantsReply) await context.reply({ text: `you said ${message.text}` });
 *   })
 *   .start();
 * const reply = await node.request("@bob", { text: "got it?" });
 * ```
 *
 * While it runs, its connection and its heartbeats keep the process alive; {@link close} is the clean end.
 */
export class AgentNode extends NodeRegistryCalls {
  readonly #config: NodeConfig;
  readonly #lifecycle: Lifecycle;

  /**
   * @throws {InvalidArgumentError} An option is wrong.
   * @throws {ConnectError} The address cannot be used.
   */
  constructor(options: NodeOptions) {
    super();
    this.#config = checkOptions(options);
    this.#lifecycle = new Lifecycle(this, this.#config);
  }

  /**
   * Sets what is done with the messages that arrive. Of a node that runs with a handler it replaces that one at once; a node
   * that was started without takes no messages before its next start.
   */
  onMessage(handler: Handler): this {
    if (typeof handler !== "function") {
      throw new InvalidArgumentError(
        `the handler must be a function of a message and its context, not ${typeof handler}`,
      );
    }
    if (isGenerator(handler)) {
      throw new InvalidArgumentError(
        "the handler must not be a generator function: its values would go nowhere; answer with context.reply(payload)",
      );
    }
    this.#lifecycle.handler = handler;
    return this;
  }

  /**
   * Sets what does the tasks that the node claims: those for its account, and those for one of its capabilities. Up to
   * `taskConcurrency` of them run at the same time. As with {@link onMessage}, a node that was started without claims none before
   * its next start.
   */
  onTask(handler: TaskHandler): this {
    if (typeof handler !== "function" || isGenerator(handler)) {
      throw new InvalidArgumentError(
        "the handler of tasks must be a function of a task and its context that returns the result, or a promise of it",
      );
    }
    this.#lifecycle.taskHandler = handler;
    return this;
  }

  /**
   * Joins the network: connects, registers, subscribes, says hello (PROTOCOL.md section 14). Does nothing if the node runs; a
   * second call while it starts waits for the same start, which is given up when the signals of all its callers are aborted.
   *
   * @throws {ConnectError} @throws {RegistryError} @throws {PermissionDeniedError}
   * @throws {NotRunningError} The node was closed while it started. Nothing is left behind then.
   */
  async start(options: { readonly signal?: AbortSignal } = {}): Promise<this> {
    await this.#lifecycle.start(optionsOf(options).signal);
    return this;
  }

  /**
   * Starts, runs until the process gets SIGINT or SIGTERM (in a browser: until the page is left) or the signal is
   * aborted, and closes. A second signal ends the process at once, as usual.
   */
  async startForever(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.#lifecycle.startForever(optionsOf(options).signal);
  }

  /**
   * Leaves the network: takes no new messages, finishes accepted ones within `limits.drainTimeoutMs`, refuses the rest with
   * `shutting_down`, says goodbye. Does nothing if the node does not run. The node may be started again.
   */
  async close(): Promise<void> {
    await this.#lifecycle.close();
  }

  /** Closes the node: `await using node = …`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Whether the node runs. */
  get isRunning(): boolean {
    return this.#lifecycle.session !== undefined;
  }

  /** The account id, while the node runs. */
  override get accountId(): string | undefined {
    return this.#lifecycle.receivingSession?.accountId;
  }

  /** The username that the registry gave, while the node runs. */
  get username(): string | undefined {
    return this.#lifecycle.receivingSession?.username;
  }

  /** The session tag, while the node runs. */
  get sessionTag(): string | undefined {
    return this.#lifecycle.receivingSession?.sessionTag;
  }

  /** The node's description of itself; it has account, username and session while the node runs. */
  info(): AgentInfo {
    return this.#lifecycle.receivingSession?.info() ?? requestedInfo(this.#config);
  }

  /** The node's counters at this moment (PROTOCOL.md section 17). */
  metricsSnapshot(): MetricsSnapshot {
    return this.#lifecycle.metricsSnapshot();
  }

  /**
   * The running session: for the parts of this package that are built on the node.
   *
   * @internal
   * @throws {NotRunningError}
   */
  session(): Session {
    const session = this.#lifecycle.receivingSession;
    if (session === undefined) throw new NotRunningError();
    return session;
  }

  /** @internal */
  get config(): NodeConfig {
    return this.#config;
  }

  /**
   * Sends a message to `@name`, `name`, `acct_…` or `account:<id>` (PROTOCOL.md 11.2), by default until the receiver has
   * accepted it.
   *
   * @throws {DeliveryError} @throws {RegistryError} @throws {ConnectionLostError} @throws {PermissionDeniedError}
   * @throws {TargetError} @throws {JsonError} @throws {InvalidArgumentError} @throws {NotRunningError}
   */
  async send(to: string, payload: unknown, options: SendOptions = {}): Promise<Sent> {
    return await send(this.session(), to, payload, options);
  }

  /** As {@link send}, to an account. */
  async sendToAccount(accountId: string, payload: unknown, options: SendOptions = {}): Promise<Sent> {
    return await send(this.session(), { kind: "account", value: accountId }, payload, options);
  }

  /** As {@link send}, to the account of a username. */
  async sendToUsername(username: string, payload: unknown, options: SendOptions = {}): Promise<Sent> {
    return await send(this.session(), { kind: "username", value: username }, payload, options);
  }

  /** As {@link send}, to one of the agents with a capability. */
  async sendToCapability(capability: string, payload: unknown, options: SendOptions = {}): Promise<Sent> {
    return await send(this.session(), { kind: "capability", value: capability }, payload, options);
  }

  /**
   * Makes a request and returns its reply. An error reply (kind `error`) is returned like any other: see
   * {@link Message.errorCode}.
   *
   * @throws {RequestTimeoutError} @throws {NoRespondersError} @throws {InvalidReplyError} and as {@link send}.
   */
  async request(to: string, payload: unknown, options: RequestOptions = {}): Promise<Message> {
    return await request(this.session(), to, payload, options);
  }

  /** As {@link request}, to an account. */
  async requestAccount(accountId: string, payload: unknown, options: RequestOptions = {}): Promise<Message> {
    return await request(this.session(), { kind: "account", value: accountId }, payload, options);
  }

  /** As {@link request}, to the account of a username. */
  async requestUsername(username: string, payload: unknown, options: RequestOptions = {}): Promise<Message> {
    return await request(this.session(), { kind: "username", value: username }, payload, options);
  }

  /** As {@link request}, to one of the agents with a capability. */
  async requestCapability(capability: string, payload: unknown, options: RequestOptions = {}): Promise<Message> {
    return await request(this.session(), { kind: "capability", value: capability }, payload, options);
  }

  /**
   * Answers a message that was received (PROTOCOL.md 11.6). The reply is neither acknowledged nor repeated.
   *
   * @throws {NoReplySubjectError} The sender waits for no reply. @throws {ConnectionLostError} @throws {NotRunningError}
   */
  async reply(message: Message, payload: unknown, options: ReplyOptions = {}): Promise<Sent> {
    if (message.replyTo === undefined) throw new NoReplySubjectError();
    const given = optionsOf(options);
    throwIfAborted(given.signal);
    const session = this.session();
    const draft = session.composer.draft(payload, given, KIND.REPLY);
    const composing = session.composer.composeAnswer(message.envelope, draft);
    const { envelope, body } = composing instanceof Promise ? await composing : composing;
    const published = session.connection.publishSoon(message.replyTo, body);
    if (published !== undefined) await withDeadline(published, Infinity, given.signal);
    return {
      messageId: envelope.messageId,
      threadId: envelope.threadId ?? "",
      traceId: envelope.traceId ?? "",
    };
  }

  /**
   * Makes a request at once and reads its reply piece by piece; an ordinary reply counts as one piece. What goes wrong is thrown
   * by reading the stream.
   *
   * @throws {NotRunningError} @throws {JsonError} @throws {InvalidArgumentError}
   */
  requestStream(to: string, payload: unknown, options: StreamRequestOptions = {}): ReplyStream {
    return requestStream(this.session(), to, payload, options);
  }

  /** As {@link requestStream}, to an account. */
  requestStreamAccount(accountId: string, payload: unknown, options: StreamRequestOptions = {}): ReplyStream {
    return requestStream(this.session(), { kind: "account", value: accountId }, payload, options);
  }

  /** As {@link requestStream}, to the account of a username. */
  requestStreamUsername(username: string, payload: unknown, options: StreamRequestOptions = {}): ReplyStream {
    return requestStream(this.session(), { kind: "username", value: username }, payload, options);
  }

  /** As {@link requestStream}, to one of the agents with a capability. */
  requestStreamCapability(capability: string, payload: unknown, options: StreamRequestOptions = {}): ReplyStream {
    return requestStream(this.session(), { kind: "capability", value: capability }, payload, options);
  }

  /**
   * Answers a message with a stream, and sends its start (docs/STREAMING_PROTOCOL.md).
   *
   * @throws {NoReplySubjectError} The sender waits for no reply. @throws {ConnectionLostError} @throws {NotRunningError}
   */
  async replyStream(message: Message, options: ReplyStreamOptions = {}): Promise<StreamSender> {
    return await replyStream(this.session(), message, options);
  }

  /**
   * Opens a stream to the inbox of a target, whose handler gets every frame as a message ({@link Message.streamFrame}). A frame
   * waits for its receipt, and is sent again when the receiver refuses it as `rate_limited` or `busy`: with the receiver's default
   * limits that is 10 frames at once and then 5 a second.
   *
   * @throws as {@link send}.
   */
  async sendStream(to: string, options: SendStreamOptions = {}): Promise<StreamSender> {
    return await sendStream(this.session(), to, options);
  }

  /** As {@link sendStream}, to an account. */
  async sendStreamToAccount(accountId: string, options: SendStreamOptions = {}): Promise<StreamSender> {
    return await sendStream(this.session(), { kind: "account", value: accountId }, options);
  }

  /**
   * Asks `@name`, `acct_…` or `capability:<name>` to do a task, which lives in the registry until it has ended (PROTOCOL.md
   * section 22).
   *
   * ```ts
   * const task = await node.task("@coder", { title: "fix #12", text: "…", deadlineMs: 3_600_000, retries: 2, key: "gh-12" });
   * const { state, result } = await task.result();
   * ```
   *
   * @throws {TaskError} @throws {RegistryError} @throws {TargetError} @throws {InvalidArgumentError} @throws {NotRunningError}
   */
  async task(to: string, task: TaskOptions): Promise<TaskHandle> {
    return await createTask(this, to, task);
  }

  /** A task that was asked for, by its id: also by another process, or another account. Nothing is asked yet. */
  taskHandle(taskId: string): TaskHandle {
    if (typeof taskId !== "string" || taskId.trim() === "") throw new InvalidArgumentError("taskId is required");
    return new TaskHandle(this, taskId.trim());
  }

  /**
   * The node's blob store (docs/BLOBS.md). Taken while the node runs, it reaches the network's store until the node is closed; taken
   * before, only the local one.
   *
   * @throws {InvalidArgumentError} A variable of the environment cannot be used.
   */
  get blobs(): BlobStore {
    return blobStoreOf(this.#lifecycle.session, this.#config.blobs);
  }

  /**
   * Sends a reference to a blob, which the receiver must be able to reach: one in the local store is read by agents with the same
   * directory only.
   *
   * @throws as {@link send}.
   */
  async sendBlobRef(to: string, blob: BlobRef, options: SendOptions = {}): Promise<Sent> {
    return await send(this.session(), to, blobRefPayload(blob), options);
  }

  /**
   * Binds a new key to the node's account in the place of its own, and signs with it from then on (PROTOCOL.md section 13.5). Other
   * nodes of the account have to be started again.
   *
   * @returns the new public key.
   * @throws {RotateKeyError} @throws {KeyError} @throws {NotRunningError}
   */
  async rotateKey(): Promise<string> {
    const { identity } = this.session();
    if (identity.rotateKey === undefined) {
      throw new RotateKeyError(
        "the node has no key to rotate: start it with signed identity (devAuth: true)",
        "not_signing",
      );
    }
    return await identity.rotateKey();
  }

  /** The client of the registry on the node's connection. @throws {NotRunningError} */
  override get registry(): RegistryClient {
    return this.session().registry;
  }

  /**
   * Delivers dead messages of the account's own mailbox again, or deletes messages of it; signed where the node signs.
   *
   * @throws {RegistryError} @throws {InvalidArgumentError} @throws {NotRunningError}
   */
  async mailboxAction(change: MailboxChange, options?: RegistryCallOptions): Promise<MailboxActionReply> {
    const { action, messageIds, state } = checkedChange(optionsOf(change, "change"));
    const session = this.session();
    const { accountId, sessionTag } = session;
    const request = { accountId, sessionTag, action, messageIds, state };
    return await callAsOwner(session, RPC.mailboxAction, request, options);
  }

  /** The account behind a username, from the cache or the registry. @throws {RegistryError} `not_found` among others. */
  async resolveUsername(username: string, options: { readonly signal?: AbortSignal } = {}): Promise<string> {
    return await this.session().usernames.resolve(username, optionsOf(options).signal);
  }
}

function isGenerator(handler: Handler | TaskHandler): boolean {
  const tag = Object.prototype.toString.call(handler);
  return tag === "[object GeneratorFunction]" || tag === "[object AsyncGeneratorFunction]";
}
