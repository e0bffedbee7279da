/** {@link AgentSDK}: the high-level calls (PROTOCOL.md section 17). */

import type { RawJson } from "../json/index.js";
import { optionsOf } from "../node/checks.js";
import {
  AgentNode,
  InvalidArgumentError,
  type NodeOptions,
  type RegistryCallOptions,
  type RequestOptions,
  type SendOptions,
  type SendStreamOptions,
  type StreamRequestOptions,
  type StreamSender,
} from "../node/index.js";
import { request } from "../node/requests.js";
import { send } from "../node/sender.js";
import { requestStream, sendStream } from "../node/streams/index.js";
import { type BlobRef, KIND, newUlid, parseTarget } from "../protocol/index.js";
import { AgentCalls } from "./agent-calls.js";
import { AnswerStream } from "./answer-stream.js";
import { type BlobRefPayload, blobPayload } from "./blobs.js";
import {
  deltaFrame,
  endFrame,
  errorFrame,
  type FrameOptions,
  type StreamDeltaOptions,
  type StreamEndOptions,
  type StreamErrorOptions,
  startFrame,
} from "./frames.js";
import { answerResult, checkedText, reportedError, type SDKResult, sentResult, textPayload } from "./result.js";
import {
  type AgentStatus,
  agentStatus,
  assignment,
  type DelegateTaskOptions,
  progress,
  type ReportProgressOptions,
  type TaskDraft,
} from "./tasks.js";
import { ThreadSession } from "./thread.js";

/** How long an ask waits for its answer by default, in milliseconds. */
const DEFAULT_ASK_TIMEOUT_MS = 60_000;
/** The shortest wait for an answer. */
const MIN_ASK_TIMEOUT_MS = 100;
/** What the ids of threads begin with that the SDK makes up. */
const DEFAULT_THREAD_PREFIX = "thread_sdk";

/** The options of an {@link AgentSDK} beside those of its node. */
export interface SDKSettings {
  /** How long an ask waits for its answer by default, in milliseconds, at least 100. Default 60,000. */
  readonly defaultRequestTimeoutMs?: number | undefined;
  /** What the ids of threads begin with that the SDK makes up. Default `thread_sdk`. */
  readonly defaultThreadPrefix?: string | undefined;
}

/** What an {@link AgentSDK} is made of. Only `agentId` is required. */
export interface SDKOptions extends NodeOptions, SDKSettings {}

/**
 * An agent with the high-level calls: text in and out, threads, typed errors.
 *
 * Targets are written `@name`, `name`, `username:<name>`, `acct_…`, `account:<id>` or `capability:<name>` (PROTOCOL.md 11.2).
 *
 * ```ts
 * await using sdk = await new AgentSDK({ agentId: "agent_a", name: "Agent A" }).start();
 * const answer = await sdk.askText("@mesh_agent_1", "Which pick?", { threadId: "ops_1" });
 * console.log(answer.text);
 * ```
 */
export class AgentSDK extends AgentCalls {
  /** How long an ask waits for its answer by default, in milliseconds. */
  readonly defaultRequestTimeoutMs: number;
  /** What the ids of threads begin with that the SDK makes up. */
  readonly defaultThreadPrefix: string;

  /**
   * @throws {InvalidArgumentError} An option is wrong.
   * @throws {ConnectError} The address cannot be used.
   */
  constructor(options: SDKOptions) {
    const given = optionsOf(options);
    super(nodeOf(given));
    this.defaultRequestTimeoutMs = askTimeout(given.defaultRequestTimeoutMs ?? DEFAULT_ASK_TIMEOUT_MS);
    this.defaultThreadPrefix = given.defaultThreadPrefix?.trim() || DEFAULT_THREAD_PREFIX;
  }

  /** The high-level calls on a node that is there, such as `context.node`. */
  static on(node: AgentNode, settings: SDKSettings = {}): AgentSDK {
    return new AgentSDK({ agentId: node.info().agentId, ...settings, [NODE]: node } as SDKOptions);
  }

  /** Joins the network: see `AgentNode.start`. */
  async start(options: { readonly signal?: AbortSignal } = {}): Promise<this> {
    await this.node.start(options);
    return this;
  }

  /** Leaves the network: see `AgentNode.close`. */
  async stop(): Promise<void> {
    await this.node.close();
  }

  /** A new thread id: the prefix, `_` and a lower-case ULID (PROTOCOL.md section 3). */
  newThreadId(): string {
    return `${this.defaultThreadPrefix}_${newUlid().toLowerCase()}`;
  }

  /**
   * A conversation in one thread, in which each message has the one before as its parent.
   *
   * @param parentMessageId The parent of the first message.
   */
  thread(threadId: string, parentMessageId?: string): ThreadSession {
    return new ThreadSession(this, threadId, parentMessageId);
  }

  /**
   * Sends `{"text": text}`, by default until the receiver has accepted it. Without a thread it opens one of its own.
   *
   * @throws {DeliveryError} and what `AgentNode.send` throws.
   */
  async sendText(to: string, text: string, options: SendOptions = {}): Promise<SDKResult> {
    return await this.sendJson(to, textPayload(checkedText(text)), options);
  }

  /** Sends any JSON: see {@link sendText}. */
  async sendJson(to: string, data: unknown, options: SendOptions = {}): Promise<SDKResult> {
    return await this.#send(to, data, options);
  }

  /** Sends a reference to a blob. The receiver needs access to the store that has the blob: see {@link sendText}. */
  async sendBlobRef(to: string, blob: BlobRef | BlobRefPayload, options: SendOptions = {}): Promise<SDKResult> {
    return await this.sendJson(to, blobPayload(blob), options);
  }

  /**
   * Sends the start of a stream to an inbox. `sendStream` numbers, orders and ends a stream by itself; these four calls are for
   * programs that keep their own count. None of them waits for a receipt by default, and `data` of the result is the payload.
   *
   * @throws {StreamFrameError} @throws {InvalidArgumentError} and what `AgentNode.send` throws.
   */
  async sendStreamStart(to: string, streamId: string, options: FrameOptions & SendOptions = {}): Promise<SDKResult> {
    const given = optionsOf(options);
    return await this.#sendFrame(to, startFrame(streamId, given), given);
  }

  /** Sends a piece of a stream: see {@link sendStreamStart}. */
  async sendStreamDelta(
    to: string,
    streamId: string,
    delta: unknown,
    options: StreamDeltaOptions & SendOptions,
  ): Promise<SDKResult> {
    const given = optionsOf(options);
    return await this.#sendFrame(to, deltaFrame(streamId, delta, given), given);
  }

  /** Sends the end of a stream: see {@link sendStreamStart}. Its `text` is the whole text, whatever the pieces contain. */
  async sendStreamEnd(to: string, streamId: string, options: StreamEndOptions & SendOptions): Promise<SDKResult> {
    const given = optionsOf(options);
    return await this.#sendFrame(to, endFrame(streamId, given), given);
  }

  /** Sends the error that ends a stream: see {@link sendStreamStart}. */
  async sendStreamError(
    to: string,
    streamId: string,
    error: string,
    options: StreamErrorOptions & SendOptions = {},
  ): Promise<SDKResult> {
    const given = optionsOf(options);
    return await this.#sendFrame(to, errorFrame(streamId, error, given), given);
  }

  /**
   * Sends `{"text": text}` as a request and waits for the answer. Without a thread it opens one of its own.
   *
   * @throws {AgentRequestError} The answer reports an error; there is a class for each code of PROTOCOL.md section 12.
   * @throws {RequestTimeoutError} No answer came in time. @throws {NoRespondersError} and what `AgentNode.request` throws.
   */
  async askText(to: string, text: string, options: RequestOptions = {}): Promise<SDKResult> {
    return await this.askJson(to, textPayload(checkedText(text)), options);
  }

  /** Sends any JSON as a request and waits for the answer: see {@link askText}. */
  async askJson(to: string, data: unknown, options: RequestOptions = {}): Promise<SDKResult> {
    const given = optionsOf(options);
    const session = this.node.session();
    const threadId = this.threadIdOr(given.threadId);
    const timeoutMs = askTimeout(given.timeoutMs ?? this.defaultRequestTimeoutMs);
    const answer = await request(session, parseTarget(to), data, { ...given, threadId, timeoutMs });
    const error = reportedError(answer);
    if (error !== undefined) throw error;
    const { parentMessageId, traceId } = given;
    return answerResult(answer, { threadId, parentMessageId, traceId });
  }

  /**
   * Asks `{"text": text}` and reads the answer piece by piece; an agent that answers at once gives one piece.
   *
   * ```ts
   * for await (const piece of sdk.askStream("@poet", "a poem")) process.stdout.write(piece.text ?? "");
   * ```
   *
   * `timeoutMs` is the wait for the answer to begin, by default that of an ask.
   */
  askStream(to: string, text: string, options: StreamRequestOptions = {}): AnswerStream {
    return this.askJsonStream(to, textPayload(checkedText(text)), options);
  }

  /** As {@link askStream}, with any JSON as the question. */
  askJsonStream(to: string, data: unknown, options: StreamRequestOptions = {}): AnswerStream {
    return this.answerStream(to, data, options);
  }

  /**
   * Opens a stream to an inbox, and sends its start: see `AgentNode.sendStream`. Without a thread it opens one of its own.
   *
   * @throws {DeliveryError} and what `AgentNode.send` throws.
   */
  async sendStream(to: string, options: SendStreamOptions = {}): Promise<StreamSender> {
    const given = optionsOf(options);
    const threadId = this.threadIdOr(given.threadId);
    return await sendStream(this.node.session(), parseTarget(to), { ...given, threadId });
  }

  /**
   * Sends a message `task.assign`, as the later Python implementation does: for agents that do not claim tasks. The registry makes a
   * task of it, which nothing retries; {@link task} has leases, retries and deadlines. By default it waits for no receipt. `traceId`
   * of the result is the id of the task, `data` the message.
   *
   * @throws {DeliveryError} and what `AgentNode.send` throws.
   */
  async delegateTask(to: string, text: string, options: DelegateTaskOptions = {}): Promise<SDKResult> {
    const given = optionsOf(options);
    const { accountId, username } = this.node.session();
    return await this.#sendTask(to, assignment(text, username || accountId, given), given);
  }

  /** Sends a message `task.progress` to who has sent a `task.assign`: see {@link delegateTask}. */
  async reportProgress(
    to: string,
    taskId: string,
    text: string,
    options: ReportProgressOptions = {},
  ): Promise<SDKResult> {
    const given = optionsOf(options);
    return await this.#sendTask(to, progress(taskId, text, given), given);
  }

  /**
   * Whether an agent is online, and which tasks it has: the last `limit` (1 to 100, default 10).
   *
   * @throws {RegistryError} `not_found` among others. @throws {TargetError}
   */
  async agentStatus(
    target: string,
    options: RegistryCallOptions & { readonly limit?: number | undefined } = {},
  ): Promise<AgentStatus> {
    const { limit = 10, ...call } = optionsOf(options);
    const profile = await this.getProfile(target, call);
    const { tasks } = await this.node.taskList({ assigneeAccountId: profile.accountId, limit }, call);
    return agentStatus(target, profile, tasks);
  }

  /** @internal */
  answerStream(
    to: string,
    data: unknown,
    given: StreamRequestOptions,
    follow?: (answer: SDKResult) => void,
  ): AnswerStream {
    const options = optionsOf(given);
    const session = this.node.session();
    const threadId = this.threadIdOr(options.threadId);
    const timeoutMs = askTimeout(options.timeoutMs ?? this.defaultRequestTimeoutMs);
    const stream = requestStream(session, parseTarget(to), data, { ...options, threadId, timeoutMs });
    const { parentMessageId, traceId } = options;
    return new AnswerStream(stream, { threadId, parentMessageId, traceId }, follow);
  }

  /** The thread id that is given, or a new one. @internal */
  threadIdOr(threadId: string | undefined): string {
    return threadId?.trim() || this.newThreadId();
  }

  async #send(to: string, data: unknown, given: SendOptions, frame?: RawJson): Promise<SDKResult> {
    const options = optionsOf(given);
    const session = this.node.session();
    const threadId = this.threadIdOr(options.threadId);
    const sent = await send(session, parseTarget(to), data, { ...options, threadId });
    return sentResult(sent, options.parentMessageId, frame);
  }

  async #sendTask(to: string, { taskId, payload }: TaskDraft, options: SendOptions): Promise<SDKResult> {
    const until = options.until ?? (options.requireDeliveryAck === true ? "accepted" : "published");
    // A message for the mailbox is never only published.
    const waits = options.mailbox !== undefined && options.mailbox !== false ? {} : { until };
    return await this.#send(to, payload, { ...options, traceId: options.traceId ?? taskId, ...waits }, payload);
  }

  async #sendFrame(to: string, frame: RawJson, options: SendOptions): Promise<SDKResult> {
    const until = options.until ?? (options.requireDeliveryAck === true ? "accepted" : "published");
    return await this.#send(to, frame, { ...options, kind: KIND.STREAM, until }, frame);
  }
}

/** A node that is there, among the options. */
const NODE: unique symbol = Symbol("agentnet.node");

function nodeOf(options: SDKOptions & { readonly [NODE]?: AgentNode }): AgentNode {
  return options[NODE] ?? new AgentNode(options);
}

/** A time to wait, at least the shortest one. */
function askTimeout(milliseconds: number): number {
  if (typeof milliseconds !== "number" || Number.isNaN(milliseconds)) {
    throw new InvalidArgumentError(
      `a timeout must be a number of milliseconds, not ${String(milliseconds).slice(0, 64)}`,
    );
  }
  return Math.max(MIN_ASK_TIMEOUT_MS, milliseconds);
}
