/** {@link AnswerStream}: an answer that comes piece by piece. */

import { RawJson } from "../json/index.js";
import {
  agentRequestError,
  type Delta,
  type ReplyStream,
  RequestTimeoutError,
  type Sent,
  StreamError,
} from "../node/index.js";
import { reportedError, SDKResult } from "./result.js";

/** What is known of the question. */
interface Asked {
  readonly threadId: string;
  readonly parentMessageId: string | undefined;
  readonly traceId: string | undefined;
}

/**
 * The pieces of an answer, in order, each once.
 *
 * ```ts
 * const answer = sdk.askStream("@poet", "a poem");
 * for await (const piece of answer) process.stdout.write(piece.text ?? "");
 * const whole = await answer.finish();
 * ```
 *
 * The question is sent at once. Leaving the loop before the end, {@link cancel}, the signal and `await using` cancel the stream
 * at its sender. Errors are those of an ask: a failure that the other side reports is an `AgentRequestError` of its code, an
 * answer that does not begin in time a `RequestTimeoutError`; a stream that breaks off is a `StreamError`.
 */
export class AnswerStream implements AsyncIterableIterator<Delta> {
  readonly #stream: ReplyStream;
  readonly #asked: Asked;
  #follow: ((answer: SDKResult) => void) | undefined;

  /** @internal */
  constructor(stream: ReplyStream, asked: Asked, follow: ((answer: SDKResult) => void) | undefined) {
    this.#stream = stream;
    this.#asked = asked;
    this.#follow = follow;
  }

  /** The question's ids, once it is published. Rejects with what kept it from being published. */
  get request(): Promise<Sent> {
    return this.#stream.request;
  }

  /** The stream's id, once a frame has come. */
  get streamId(): string | undefined {
    return this.#stream.streamId;
  }

  /** The metadata of the stream's start, once it was read. */
  get metadata(): unknown {
    return this.#stream.metadata;
  }

  /** The text of all pieces that were read so far. */
  get textSoFar(): string {
    return this.#stream.textSoFar;
  }

  /** The stream itself: only one loop reads it. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next piece. @throws {AgentRequestError} @throws {RequestTimeoutError} @throws {StreamError} */
  async next(): Promise<IteratorResult<Delta, undefined>> {
    const next = await this.#translated(() => this.#stream.next());
    // The end, unless an error or a cancel came before it.
    if (next.done === true) await this.finish().catch(() => undefined);
    return next;
  }

  /** Cancels the stream: what leaving a loop does. */
  async return(): Promise<IteratorResult<Delta, undefined>> {
    await this.cancel();
    return { done: true, value: undefined };
  }

  /**
   * Reads to the end and gives the whole, also what was read before: `text` of all pieces, and as `data` the result in the end.
   *
   * @throws as {@link next}, also what was thrown before. @throws {StreamCancelledError} The stream was cancelled.
   */
  async finish(): Promise<SDKResult> {
    const whole = await this.#translated(() => this.#stream.finish());
    const error = reportedError(whole.message);
    if (error !== undefined) throw error;
    const { message, resultText } = whole;
    const result = new SDKResult({
      threadId: message.threadId ?? this.#asked.threadId,
      messageId: message.messageId,
      parentMessageId: message.parentMessageId ?? this.#asked.parentMessageId,
      traceId: message.traceId ?? this.#asked.traceId,
      text: whole.text === "" ? undefined : whole.text,
      data: resultText === undefined ? undefined : RawJson.trusted(resultText),
    });
    this.#follow?.(result);
    this.#follow = undefined;
    return result;
  }

  /** Reads to the end and gives the whole text: see {@link finish}. */
  async text(): Promise<string> {
    return (await this.finish()).text ?? "";
  }

  /** Stops reading, and tells the sender so. Does nothing after the end. Never rejects. */
  async cancel(): Promise<void> {
    await this.#stream.cancel();
  }

  /** Cancels the stream, if it has not ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.cancel();
  }

  async #translated<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw await this.#askError(error);
    }
  }

  /** The error of an ask for one of a stream. */
  async #askError(error: unknown): Promise<unknown> {
    if (!(error instanceof StreamError)) return error;
    const messageId = await this.request.then(
      (sent) => sent.messageId,
      () => "",
    );
    if (error.reason === "failed") {
      return agentRequestError(error.errorCode ?? "stream_failed", error.detail ?? "", { messageId, cause: error });
    }
    const hasBegun = this.streamId !== undefined;
    if (error.reason === "timeout" && !hasBegun) return new RequestTimeoutError(error.message, messageId, error.detail);
    return error;
  }
}
