/** The sending side of a stream (docs/STREAMING_PROTOCOL.md). */

import type { Msg, Subscription } from "@nats-io/nats-core";

import { RawJson } from "../../json/index.js";
import { decodeReply, parseStreamCancel, StreamWriter, Timestamp } from "../../protocol/index.js";
import { InvalidArgumentError, NotRunningError, StreamCancelledError } from "../errors.js";
import { isPending, type ReplyExpectation } from "../identity.js";
import { verifyReply } from "../reply-origin.js";
import type { FrameWriter } from "./frame-writer.js";
import { type OpenEnd, streamsOf } from "./session-streams.js";

/** Code of a stream whose sender was given up before the end. */
const ABANDONED = "stream_abandoned";
/** Code of a stream whose node was closed before the end. */
const SHUTTING_DOWN = "shutting_down";
/** Cancellations of one stream that may be verified at the same time: all but one are forged. */
const VERIFY_CONCURRENCY = 16;

/** What every frame of a stream says of its content. */
export interface StreamContent {
  readonly streamId: string;
  readonly role: string | undefined;
  readonly contentType: string | undefined;
  readonly metadata: RawJson | undefined;
}

/** Ends streams whose sender was collected as garbage: the handler that opened them has forgotten them. */
const forgotten = new FinalizationRegistry<Sending>((sending) => {
  void sending.breakOff(ABANDONED, "the sender dropped the stream before its end");
});

/**
 * Sends one stream: pieces, then its end.
 *
 * ```ts
 * await using stream = await context.replyStream();
 * for (const word of ["roses ", "are ", "red"]) await stream.delta(word);
 * await stream.end();
 * ```
 *
 * It is not tied to the handler that opened it. Disposed before its {@link end}, by `await using` also when the code throws, it
 * tells the reader so: a `stream_error` with the code `stream_abandoned`. Closing the node sends `shutting_down`. Calls that are
 * not awaited keep their order.
 *
 * Every call that sends throws {@link StreamCancelledError} once the reader has cancelled; a handler that lets it out has not failed.
 */
export class StreamSender {
  readonly #sending: Sending;

  private constructor(sending: Sending) {
    this.#sending = sending;
    forgotten.register(this, sending, sending);
  }

  /**
   * Sends the start.
   *
   * @internal
   * @param cancelSubject Where the reader cancels; undefined of a stream that cannot be cancelled.
   */
  static async open(
    writer: FrameWriter,
    content: StreamContent,
    cancelSubject?: string,
    expectation?: ReplyExpectation,
  ): Promise<StreamSender> {
    const sending = new Sending(writer, content);
    sending.begin(cancelSubject, expectation);
    try {
      await sending.send((frames) => frames.start(Timestamp.now(), content.metadata));
    } catch (error) {
      sending.end();
      throw error;
    }
    return new StreamSender(sending);
  }

  /** The stream's id. */
  get streamId(): string {
    return this.#sending.streamId;
  }

  /** Is aborted when the reader cancels, with a {@link StreamCancelledError}. Streams to an inbox are never cancelled. */
  get cancelled(): AbortSignal {
    return this.#sending.cancelled;
  }

  /** Whether the reader has cancelled. */
  get isCancelled(): boolean {
    return this.#sending.cancelled.aborted;
  }

  /**
   * Sends a piece: a text, or any JSON but null.
   *
   * @throws {StreamCancelledError} @throws {JsonError} @throws {NotRunningError} The stream has ended, or the node.
   * @throws {InvalidArgumentError} The piece is null, or larger than a message may be; the stream can go on.
   * @throws as `AgentNode.send`.
   */
  async delta(piece: unknown): Promise<void> {
    const json = RawJson.from(piece);
    if (json.kind === "null") {
      throw new InvalidArgumentError(
        "a piece of a stream is any JSON but null: send nothing where there is nothing to send",
      );
    }
    const sent = this.#sending.send((frames) => frames.delta(json));
    if (sent !== undefined) await sent;
  }

  /**
   * Ends the stream, with a result where one is given: a summary, numbers, what the two sides agree on. The end repeats the whole
   * text, where that fits.
   *
   * @throws as {@link delta}. The reader is then told that the stream was abandoned, once this is disposed.
   */
  async end(result?: unknown): Promise<void> {
    const json = result === undefined ? undefined : RawJson.from(result);
    try {
      await this.#sending.send((frames) => frames.end(Timestamp.now(), json), true);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError && error.code === "message_too_large")) throw error;
      // The whole text does not fit: the pieces have it.
      await this.#sending.send((frames) => frames.endWithoutText(Timestamp.now(), json), true);
    }
    this.#finished();
  }

  /**
   * Ends the stream with an error: a code, and a sentence for people.
   *
   * @throws as {@link delta}.
   */
  async fail(code: string, detail = ""): Promise<void> {
    if (typeof code !== "string" || code.trim() === "") throw new InvalidArgumentError("code is required");
    await this.#sending.send((frames) => frames.error(Timestamp.now(), code, detail), true);
    this.#finished();
  }

  /** Tells the reader that nothing follows, if the stream has not ended: `stream_abandoned`. Never rejects. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sending.breakOff(ABANDONED, "the sender dropped the stream before its end");
    this.#finished();
  }

  #finished(): void {
    forgotten.unregister(this.#sending);
  }
}

/** A stream on its way. */
class Sending implements OpenEnd {
  readonly streamId: string;
  readonly #writer: FrameWriter;
  readonly #frames: StreamWriter;
  readonly #cancelled = new AbortController();
  /** The last frame was sent, or the stream was given up. */
  #hasEnded = false;
  #isShutDown = false;
  /** The frame that is being sent; the next one waits for it. */
  #sendingNow: Promise<void> | undefined;
  #subscription: Subscription | undefined;
  #forget: () => void = () => undefined;
  #verifying = 0;

  constructor(writer: FrameWriter, content: StreamContent) {
    this.streamId = content.streamId;
    this.#writer = writer;
    const { role, contentType } = content;
    this.#frames = new StreamWriter(content.streamId, {
      maxTextBytes: writer.session.config.limits.maxPayloadBytes,
      ...(role === undefined ? {} : { role }),
      ...(contentType === undefined ? {} : { contentType }),
    });
  }

  get cancelled(): AbortSignal {
    return this.#cancelled.signal;
  }

  /** Subscribes to the cancellation: who sees the start may cancel. */
  begin(cancelSubject: string | undefined, expectation: ReplyExpectation | undefined): void {
    const streams = streamsOf(this.#writer.session);
    if (streams.isClosed) throw new NotRunningError("the node is closing");
    this.#forget = streams.add(this);
    if (cancelSubject === undefined || expectation === undefined) return;
    const take = (message: Msg): void => this.#take(message, expectation);
    this.#subscription = this.#writer.session.connection.subscribe(cancelSubject, take);
  }

  /** Sends the frame that is made when its turn has come. */
  send(make: (frames: StreamWriter) => RawJson, isLast = false): Promise<void> | undefined {
    if (this.#sendingNow === undefined) {
      const sent = this.#sendNow(make, isLast);
      if (sent !== undefined) this.#isBusyUntil(sent);
      return sent;
    }
    const turn = this.#sendingNow.then(
      () => this.#sendNow(make, isLast),
      () => this.#sendNow(make, isLast),
    );
    this.#isBusyUntil(turn);
    return turn;
  }

  #isBusyUntil(sent: Promise<void>): void {
    this.#sendingNow = sent;
    const done = (): void => {
      if (this.#sendingNow === sent) this.#sendingNow = undefined;
    };
    sent.then(done, done);
  }

  #sendNow(make: (frames: StreamWriter) => RawJson, isLast: boolean): Promise<void> | undefined {
    this.#check();
    const { seq } = this.#frames;
    const payload = make(this.#frames);
    let sent: Promise<void> | undefined;
    try {
      sent = this.#writer.send(payload, seq, this.cancelled);
    } catch (error) {
      this.#frames.takeBack();
      throw error;
    }
    if (sent === undefined) {
      if (isLast) this.end();
      return undefined;
    }
    return sent.then(
      () => {
        this.cancelled.throwIfAborted();
        if (isLast) this.end();
      },
      (error: unknown) => {
        this.#frames.takeBack();
        throw error;
      },
    );
  }

  #check(): void {
    this.cancelled.throwIfAborted();
    if (this.#isShutDown) throw new NotRunningError("the node was closed before the stream ended");
    if (this.#hasEnded) throw new NotRunningError("the stream has ended: nothing can follow");
  }

  /** Nothing more is sent or heard. */
  end(): void {
    this.#hasEnded = true;
    this.#forget();
    if (this.#subscription?.isClosed() === false) this.#subscription.unsubscribe();
  }

  /** Tells the reader that nothing follows, if it does not know. Never rejects. */
  async breakOff(code: string, detail: string): Promise<void> {
    await this.#sendingNow?.catch(() => undefined);
    if (this.#hasEnded || this.cancelled.aborted) {
      this.end();
      return;
    }
    this.end();
    const { seq } = this.#frames;
    await this.#writer.sendLast(this.#frames.error(Timestamp.now(), code, detail), seq);
  }

  async nodeCloses(): Promise<void> {
    this.#isShutDown = true;
    await this.breakOff(SHUTTING_DOWN, "agent is shutting down");
  }

  /** Takes what came to the cancel subject. */
  #take(message: Msg, expectation: ReplyExpectation): void {
    const { session } = this.#writer;
    const { logger } = session;
    let envelope: ReturnType<typeof decodeReply>;
    try {
      envelope = decodeReply(message.data);
    } catch (error) {
      logger.debug("ignored a cancellation that cannot be read", { error });
      return;
    }
    const cancel = parseStreamCancel(envelope.payload.view());
    if (cancel === undefined || (cancel.streamId !== undefined && cancel.streamId !== this.streamId)) return;
    if (this.#verifying >= VERIFY_CONCURRENCY) return;
    const judged = (why: string | undefined): void => {
      if (why === undefined) this.#cancel();
      else logger.warn("ignored a cancellation by another account", { streamId: this.streamId, why });
    };
    const verdict = verifyReply(session, message.subject, envelope, expectation);
    if (!isPending(verdict)) {
      judged(verdict);
      return;
    }
    this.#verifying += 1;
    verdict
      .then(judged, (error: unknown) => logger.warn("a cancellation could not be verified", { error }))
      .finally(() => {
        this.#verifying -= 1;
      });
  }

  #cancel(): void {
    if (this.#hasEnded) return;
    this.end();
    this.#cancelled.abort(new StreamCancelledError());
  }
}
