/** {@link AgentNetClient}: the class of the original's TypeScript SDK. */

import { AgentNetError } from "../errors.js";
import { optionsOf } from "../node/checks.js";
import {
  AgentNode,
  BlobStore,
  CONSOLE_LOGGER,
  Connection,
  DEFAULT_LIMITS,
  InvalidArgumentError,
  RegistryClient,
} from "../node/index.js";
import type { MailboxChange } from "../node/mailbox/change.js";
import { request } from "../node/requests.js";
import { send } from "../node/sender.js";
import type { Session } from "../node/session.js";
import { type MailboxState, parseCompatTarget, parseSdkTarget, type Target } from "../protocol/index.js";
import { blobPayload } from "../sdk/blobs.js";
import type { BlobRef } from "./blob-store.js";
import { notConnected, notRegistered, translated } from "./errors.js";
import { Inbox } from "./inbox.js";
import { agentMessage, registerResponse } from "./messages.js";
import { ClientRegistryCalls } from "./registry-calls.js";
import type {
  AgentMessage,
  AgentNetClientOptions,
  DeliveryResult,
  InboxHandler,
  RegisterResponse,
  RequestOptions,
  SendOptions,
  SubscribeInboxOptions,
} from "./types.js";

/** How long a request waits for its reply by default, in milliseconds. */
const DEFAULT_REQUEST_TIMEOUT_MS = 5_000;

/** What exists between connect and close. */
interface Link {
  readonly connection: Connection;
  readonly registry: RegistryClient;
}

/**
 * An agent with the calls of the original's TypeScript SDK: programs for that run with this one.
 *
 * Records have the member names of the wire. Errors are `AgentNetError`s with the original's codes; their `cause` is the typed
 * error. Sends wait for no receipt unless `requireDeliveryAck` is true. New programs are better off with `AgentSDK`.
 *
 * ```ts
 * const client = new AgentNetClient({ natsUrl: "nats://agentnet_secret_token@localhost:4222", agentId: "a", name: "A" });
 * await client.start();
 * await client.subscribeInbox(async (message, ctx) => {
 *   if (message.reply_to) await ctx.reply({ text: "got it" });
 * });
 * const reply = await client.request("@mesh_agent_1", { text: "Which pick?" }, { threadId: "ops_1" });
 * await client.close();
 * ```
 */
export class AgentNetClient extends ClientRegistryCalls {
  readonly #options: AgentNetClientOptions;
  readonly #requestTimeoutMs: number;
  readonly #ttlMs: number;
  #link: Link | undefined;
  #connecting: Promise<Link> | undefined;
  #connectAbort = new AbortController();
  #closing: Promise<void> | undefined;
  #node: AgentNode | undefined;
  #inbox: { readonly session: Session; readonly inbox: Inbox } | undefined;

  /** @throws {Error} `natsUrl is required`. */
  constructor(options: AgentNetClientOptions) {
    super();
    if (typeof options?.natsUrl !== "string" || options.natsUrl.trim() === "") {
      throw new InvalidArgumentError("natsUrl is required");
    }
    this.#options = { ...optionsOf(options) };
    this.#requestTimeoutMs = options.defaultRequestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS;
    this.#ttlMs = options.limits?.defaultTtlMs ?? options.defaultTtlMs ?? DEFAULT_LIMITS.defaultTtlMs;
  }

  /** Connects, within about three seconds. Does nothing when it is connected. The registry may be asked from then on. */
  async connect(): Promise<void> {
    await this.#connected();
  }

  /**
   * Connects, registers, says hello at once and at every interval, receives receipts. A second call while it starts waits for the
   * first; when it runs, it gives the registration again.
   */
  async start(): Promise<RegisterResponse> {
    const wasConnected = this.#link !== undefined || this.#connecting !== undefined;
    await this.#connected();
    try {
      return await this.register();
    } catch (error) {
      // A connection that this call has opened would keep the process alive.
      if (!wasConnected) await this.close();
      throw error;
    }
  }

  /**
   * Leaves the network: takes no new messages, finishes accepted ones within 20 s, refuses the rest with `shutting_down`, says
   * goodbye. Does nothing when it is closed. The client may be started again.
   */
  async close(): Promise<void> {
    this.#closing ??= this.#leave().finally(() => {
      this.#closing = undefined;
    });
    await this.#closing;
  }

  /** Closes the client: `await using client = …`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Registers, as {@link start} does, on a connection that is there.
   *
   * @throws {AgentNetError} `not_connected`, `missing_agent_id`, `missing_name`, `register_failed` with the registry's text.
   */
  async register(): Promise<RegisterResponse> {
    const { connection } = this.#requireLink();
    return await translated(async () => {
      this.#node ??= this.#newNode(connection);
      const node = this.#node;
      await node.start();
      return registerResponse(node.session().registration);
    }, "register_failed");
  }

  /** Says hello, which the client does by itself; after {@link publishGoodbye} the session is online again. */
  async publishHello(): Promise<void> {
    await translated(() => this.#requireSession().helloAgain());
  }

  /** Says goodbye: the registry counts the session as offline, and the client says no hello by itself any more. */
  async publishGoodbye(): Promise<void> {
    await translated(() => this.#requireSession().farewell());
  }

  /** The account id; null until the client has started. */
  getAccountId(): string | null {
    return this.#node?.accountId ?? null;
  }

  /** The session tag; null until the client has started. */
  getSessionTag(): string | null {
    return this.#node?.sessionTag ?? null;
  }

  /** The node that does the work, once the client has started: for what this class has no call for. */
  get node(): AgentNode | undefined {
    return this.#node?.isRunning === true ? this.#node : undefined;
  }

  /**
   * Sends to `@name`, `name`, `username:<name>`, `acct_…`, `account:<id>` or `capability:<name>`; gives the id of the message.
   *
   * @throws {AgentNetError} `delivery_rejected`, `delivery_ack_unusable`, `delivery_ack_timeout`: only with `requireDeliveryAck`.
   * `resolve_account_failed`: the name has no account. `not_connected`, `not_registered`.
   */
  async send(to: string, payload: unknown, options: SendOptions = {}): Promise<string> {
    return await this.#send(() => clientTarget(to), payload, options);
  }

  /** As {@link send}, to the account of a username. */
  async sendToUsername(username: string, payload: unknown, options: SendOptions = {}): Promise<string> {
    return await this.#send(() => ({ kind: "username", value: username }), payload, options);
  }

  /** As {@link send}, to an account. */
  async sendToAccount(accountId: string, payload: unknown, options: SendOptions = {}): Promise<string> {
    return await this.#send(() => ({ kind: "account", value: accountId }), payload, options);
  }

  /**
   * As {@link send}, waits until the receiver has accepted the message, and tells what has become of it. With `mailbox` one that the
   * receiver cannot take now is kept by the registry, and the result says `queued`.
   *
   * @throws {AgentNetError} as {@link send}; with `mailbox` also the registry's `mailbox_…` codes: the message is not kept.
   */
  async deliver(to: string, payload: unknown, options: SendOptions = {}): Promise<DeliveryResult> {
    const session = this.#requireSession();
    return await translated(async () => {
      const { requireDeliveryAck = true, until } = optionsOf(options);
      if (until === "published" || (until === undefined && !requireDeliveryAck)) {
        throw new InvalidArgumentError("deliver waits until the message is accepted: send does not");
      }
      const given = { ...options, requireDeliveryAck: true };
      const { messageId, threadId, traceId, delivery, detail } = await send(session, clientTarget(to), payload, given);
      return {
        message_id: messageId,
        thread_id: threadId,
        trace_id: traceId,
        delivery: delivery ?? "delivered",
        ...(detail === undefined ? {} : { detail }),
      };
    });
  }

  /** Delivers dead messages of the own mailbox again: those named, at most 100, or all. Gives their number. */
  async requeueMailbox(messageIds?: readonly string[]): Promise<number> {
    return await this.#changeMailbox({ action: "requeue", messageIds, state: "dead" });
  }

  /** Deletes messages of the own mailbox: those named, at most 100, or all in a state, and notifies their senders. Gives their number. */
  async dropMailbox(which: { messageIds?: readonly string[]; state?: MailboxState }): Promise<number> {
    return await this.#changeMailbox({ ...which, action: "drop" });
  }

  /** Sends a reference to a blob: see {@link send}. The receiver needs access to the store that has the blob. */
  async sendBlobRef(to: string, blob: BlobRef, options: SendOptions = {}): Promise<string> {
    const payload = await translated(async () => blobPayload(blob));
    return await this.send(to, payload, options);
  }

  /**
   * Makes a request and gives its reply. An error reply (kind `error`) is given like any other.
   *
   * @throws {AgentNetError} `request_timeout`, `no_responders`, `invalid_message`, and as {@link send}.
   */
  async request(to: string, payload: unknown, options: RequestOptions = {}): Promise<AgentMessage> {
    return await this.#request(() => clientTarget(to), payload, options);
  }

  /** As {@link request}, to the account of a username. */
  async requestUsername(username: string, payload: unknown, options: RequestOptions = {}): Promise<AgentMessage> {
    return await this.#request(() => ({ kind: "username", value: username }), payload, options);
  }

  /** As {@link request}, to an account. */
  async requestAccount(accountId: string, payload: unknown, options: RequestOptions = {}): Promise<AgentMessage> {
    return await this.#request(() => ({ kind: "account", value: accountId }), payload, options);
  }

  /**
   * Receives messages. Handlers run concurrently, up to four; each is acknowledged, checked and reported as PROTOCOL.md section
   * 12 says. One that throws is reported to the sender as `handler_error`, and the subscription goes on.
   *
   * @param queueGroup Default: the account's own, so that several processes of an account share its messages.
   */
  async subscribeInbox(handler: InboxHandler, queueGroup?: string, options: SubscribeInboxOptions = {}): Promise<void> {
    const session = this.#requireSession();
    const node = this.#node;
    if (node === undefined) throw notRegistered();
    if (this.#inbox?.session !== session) this.#inbox = { session, inbox: new Inbox(node, session) };
    const { inbox } = this.#inbox;
    await translated(async () => inbox.subscribe(handler, queueGroup, optionsOf(options)));
  }

  async #send(target: () => Target, payload: unknown, options: SendOptions): Promise<string> {
    const session = this.#requireSession();
    return await translated(async () => {
      const { mailbox } = optionsOf(options);
      // Whether a message is kept is known only once there is a receipt, or none.
      const { requireDeliveryAck = mailbox !== undefined && mailbox !== false } = optionsOf(options);
      return (await send(session, target(), payload, { ...options, requireDeliveryAck })).messageId;
    });
  }

  async #changeMailbox(change: MailboxChange): Promise<number> {
    this.#requireSession();
    // An empty list means no message, not all of them.
    if (change.messageIds?.length === 0) return 0;
    return await translated(
      async () => (await this.#node?.mailboxAction(change))?.changed ?? 0,
      "mailbox_action_failed",
    );
  }

  async #request(target: () => Target, payload: unknown, options: RequestOptions): Promise<AgentMessage> {
    const session = this.#requireSession();
    return await translated(async () => {
      // The original's client gives a request the lifetime of a send, however long it waits.
      const { timeoutMs = this.#requestTimeoutMs, ttlMs = this.#ttlMs } = optionsOf(options);
      return agentMessage(await request(session, target(), payload, { ...options, timeoutMs, ttlMs }));
    });
  }

  async #leave(): Promise<void> {
    this.#connectAbort.abort(notConnected());
    this.#connectAbort = new AbortController();
    await this.#connecting?.catch(() => undefined);
    const link = this.#link;
    await this.#node?.close();
    this.#link = undefined;
    this.#node = undefined;
    this.#inbox = undefined;
    link?.registry.close();
    await link?.connection.close();
  }

  async #connected(): Promise<Link> {
    // A start during a close comes after it.
    while (this.#closing !== undefined) await this.#closing;
    if (this.#link !== undefined && !this.#link.connection.isEnded) return this.#link;
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = undefined;
    });
    return await this.#connecting;
  }

  async #open(): Promise<Link> {
    // A client that has ended for good leaves a node behind.
    const node = this.#node;
    const { signal } = this.#connectAbort;
    this.#node = undefined;
    await node?.close();
    const { agentId, identity, natsUrl, logger = CONSOLE_LOGGER } = this.#options;
    const name = `agentnet-${agentId ?? "client"}`;
    const connection = await translated(() => Connection.open(natsUrl, { name, logger, identity, signal }));
    this.#link = { connection, registry: new RegistryClient(connection, logger) };
    return this.#link;
  }

  #newNode(connection: Connection): AgentNode {
    const { agentId, name, limits, defaultTtlMs, defaultSchemaVersion, ...options } = this.#options;
    if (!agentId?.trim()) throw new AgentNetError("agentId is required to register", { code: "missing_agent_id" });
    if (!name?.trim()) throw new AgentNetError("name is required to register", { code: "missing_name" });
    return new AgentNode({
      agentId,
      name,
      username: options.username,
      accountId: options.accountId,
      capabilities: options.capabilities,
      metadata: options.metadata,
      devAuth: options.devAuth,
      blobs: options.blobs,
      pullMailbox: options.pullMailbox,
      logger: options.logger,
      connection: connection.nats,
      identity: connection.member,
      limits: defaultTtlMs === undefined ? limits : { defaultTtlMs, ...limits },
      schemaVersion: defaultSchemaVersion,
    });
  }

  #requireLink(): Link {
    if (this.#link === undefined) throw notConnected();
    return this.#link;
  }

  #requireSession(): Session {
    this.#requireLink();
    if (this.#node?.isRunning !== true) throw notRegistered();
    return this.#node.session();
  }

  /** @internal */
  protected override get blobStore(): BlobStore {
    return this.node?.blobs ?? new BlobStore(this.#options.blobs);
  }

  /** @internal */
  protected override get registry(): RegistryClient {
    return this.#requireLink().registry;
  }
}

/**
 * Reads a target as the original does, but for `capability:<name>`, which it took for a username: no account can have that name.
 *
 * @throws {TargetError}
 */
function clientTarget(to: string): Target {
  if (typeof to !== "string")
    throw new InvalidArgumentError(`the target must be a string, not ${typeof to}`, "invalid_target");
  const target = parseCompatTarget(to);
  return target.kind === "username" && target.value.startsWith("capability:") ? parseSdkTarget(to) : target;
}
