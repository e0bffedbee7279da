/** {@link ThreadSession}: a conversation in one thread (PROTOCOL.md section 17). */

import { optionsOf } from "../node/checks.js";
import {
  InvalidArgumentError,
  type RegistryCallOptions,
  type RequestOptions,
  type SendOptions,
  type SendStreamOptions,
  type StreamRequestOptions,
  type StreamSender,
} from "../node/index.js";
import type { BlobRef, ThreadMessagesRequest, ThreadStatusReply, ThreadStatusRequest } from "../protocol/index.js";
import type { AnswerStream } from "./answer-stream.js";
import type { BlobRefPayload } from "./blobs.js";
import type { FrameOptions, StreamDeltaOptions, StreamEndOptions, StreamErrorOptions } from "./frames.js";
import type { HistoryItem, HistoryItems } from "./history-item.js";
import type { Paged } from "./paged.js";
import { checkedText, type SDKResult, textPayload } from "./result.js";
import type { AgentSDK } from "./sdk.js";

/** The options of a send in a thread. */
export type ThreadSendOptions = Omit<SendOptions, "threadId">;
/** The options of an ask in a thread whose answer is a stream. */
export type ThreadStreamRequestOptions = Omit<StreamRequestOptions, "threadId">;
/** The options of an ask in a thread. */
export type ThreadRequestOptions = Omit<RequestOptions, "threadId">;

/**
 * Sends and asks in one thread, each with the message before as its parent: the message that was sent last, or the answer that
 * came last. Where several calls of it run at the same time, the last one that ends is the next one's parent.
 *
 * ```ts
 * const thread = sdk.thread("ops_1");
 * const draft = await thread.askText("@writer", "Draft the report");
 * await thread.sendText("@reviewer", draft.text ?? "");
 * for await (const message of thread.messages()) console.log(message.sentAt, message.payloadText);
 * ```
 */
export class ThreadSession {
  /** The thread. */
  readonly threadId: string;
  /** The message that the next one follows; undefined for none. */
  parentMessageId: string | undefined;
  readonly #sdk: AgentSDK;

  /** @internal Made by `AgentSDK.thread`. */
  constructor(sdk: AgentSDK, threadId: string, parentMessageId?: string) {
    this.threadId = typeof threadId === "string" ? threadId.trim() : "";
    if (this.threadId === "") throw new InvalidArgumentError("threadId is required");
    this.#sdk = sdk;
    this.parentMessageId = parentMessageId;
  }

  /** Sets the parent of the next message; undefined for none. */
  setParent(messageId: string | undefined): this {
    this.parentMessageId = messageId;
    return this;
  }

  /** As `AgentSDK.sendText`. */
  async sendText(to: string, text: string, options: ThreadSendOptions = {}): Promise<SDKResult> {
    return this.#follow(await this.#sdk.sendText(to, text, this.#inThread(options)));
  }

  /** As `AgentSDK.sendJson`. */
  async sendJson(to: string, data: unknown, options: ThreadSendOptions = {}): Promise<SDKResult> {
    return this.#follow(await this.#sdk.sendJson(to, data, this.#inThread(options)));
  }

  /** As `AgentSDK.sendBlobRef`. */
  async sendBlobRef(to: string, blob: BlobRef | BlobRefPayload, options: ThreadSendOptions = {}): Promise<SDKResult> {
    return this.#follow(await this.#sdk.sendBlobRef(to, blob, this.#inThread(options)));
  }

  /** As `AgentSDK.askText`. */
  async askText(to: string, text: string, options: ThreadRequestOptions = {}): Promise<SDKResult> {
    return this.#follow(await this.#sdk.askText(to, text, this.#inThread(options)));
  }

  /** As `AgentSDK.askJson`. */
  async askJson(to: string, data: unknown, options: ThreadRequestOptions = {}): Promise<SDKResult> {
    return this.#follow(await this.#sdk.askJson(to, data, this.#inThread(options)));
  }

  /** As `AgentSDK.askStream`. Once the answer is read to its end, it is the parent of the next message. */
  askStream(to: string, text: string, options: ThreadStreamRequestOptions = {}): AnswerStream {
    return this.askJsonStream(to, textPayload(checkedText(text)), options);
  }

  /** As `AgentSDK.askJsonStream`: see {@link askStream}. */
  askJsonStream(to: string, data: unknown, options: ThreadStreamRequestOptions = {}): AnswerStream {
    return this.#sdk.answerStream(to, data, this.#inThread(options), (answer) => void this.#follow(answer));
  }

  /** As `AgentSDK.sendStream`: its messages follow the last one. */
  async sendStream(to: string, options: Omit<SendStreamOptions, "threadId"> = {}): Promise<StreamSender> {
    return await this.#sdk.sendStream(to, this.#inThread(options));
  }

  /** As `AgentSDK.sendStreamStart`. */
  async sendStreamStart(
    to: string,
    streamId: string,
    options: FrameOptions & ThreadSendOptions = {},
  ): Promise<SDKResult> {
    return this.#follow(await this.#sdk.sendStreamStart(to, streamId, this.#inThread(options)));
  }

  /** As `AgentSDK.sendStreamDelta`. */
  async sendStreamDelta(
    to: string,
    streamId: string,
    delta: unknown,
    options: StreamDeltaOptions & ThreadSendOptions,
  ): Promise<SDKResult> {
    return this.#follow(await this.#sdk.sendStreamDelta(to, streamId, delta, this.#inThread(options)));
  }

  /** As `AgentSDK.sendStreamEnd`. */
  async sendStreamEnd(to: string, streamId: string, options: StreamEndOptions & ThreadSendOptions): Promise<SDKResult> {
    return this.#follow(await this.#sdk.sendStreamEnd(to, streamId, this.#inThread(options)));
  }

  /** As `AgentSDK.sendStreamError`. */
  async sendStreamError(
    to: string,
    streamId: string,
    error: string,
    options: StreamErrorOptions & ThreadSendOptions = {},
  ): Promise<SDKResult> {
    return this.#follow(await this.#sdk.sendStreamError(to, streamId, error, this.#inThread(options)));
  }

  /** The thread's messages, newest first; a page, or all of them. */
  messages(
    page: Omit<ThreadMessagesRequest, "threadId"> = {},
    options?: RegistryCallOptions,
  ): Paged<HistoryItems, HistoryItem> {
    return this.#sdk.threadMessages(this.threadId, page, options);
  }

  /** The thread's counters. @throws {RegistryError} `not_found`, as long as it has no message. */
  async status(
    limits: Omit<ThreadStatusRequest, "threadId"> = {},
    options?: RegistryCallOptions,
  ): Promise<ThreadStatusReply> {
    return await this.#sdk.threadStatus(this.threadId, limits, options);
  }

  #inThread<Options extends { readonly parentMessageId?: string | undefined }>(
    given: Options,
  ): Options & { readonly threadId: string; readonly parentMessageId: string | undefined } {
    const options = optionsOf(given);
    return { ...options, threadId: this.threadId, parentMessageId: options.parentMessageId ?? this.parentMessageId };
  }

  #follow(result: SDKResult): SDKResult {
    this.parentMessageId = result.messageId || this.parentMessageId;
    return result;
  }
}
