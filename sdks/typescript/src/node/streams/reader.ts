/** The reading side of a stream (docs/STREAMING_PROTOCOL.md). */

import { type RawJson, trim } from "../../json/index.js";
import {
  AssembleError,
  type Envelope,
  KIND,
  parseStreamFrame,
  pieceText,
  StreamAssembler,
  type StreamFrame,
  type StreamLimits,
  type StreamPart,
  UNREACHABLE_CODES,
} from "../../protocol/index.js";
import { NoRespondersError, NotRunningError, StreamCancelledError, StreamError } from "../errors.js";
import { Message } from "../message.js";
import type { Sent } from "../options.js";
import { type Deferred, deferred, monotonic, timerDelay } from "../waits.js";
import { Delta, StreamReply } from "./delta.js";
import { nothingCame, senderFailed, tooSlow, wentSilent } from "./failures.js";
import type { Arrived, Inflow } from "./inflow.js";

/** How long the reader of a stream waits, in milliseconds. */
export interface StreamWaits {
  /** For the first frame, from the moment that the request is published. */
  readonly firstMs: number;
  /** For each further one. */
  readonly idleMs: number;
  /** For the whole stream. */
  readonly totalMs: number;
}

/** What the reader of a stream is made of. */
export interface ReaderParts {
  readonly waits: StreamWaits;
  readonly limits: Partial<StreamLimits>;
  readonly signal: AbortSignal | undefined;
  /** Sends the request. What it throws is what reading the stream throws. */
  start(stream: ReplyStream): Promise<RequestOnItsWay>;
}

/** A request for a stream that was published, or is about to be. */
export interface RequestOnItsWay {
  readonly sent: Sent;
  readonly subject: string;
  readonly inflow: Inflow;
  /** The account of the username that was asked could not be reached. */
  unreachable(): void;
  /** Nothing is read any more; `cancel` where the sender has to be told. Never rejects. */
  end(cancel: { readonly streamId: string | undefined } | undefined): Promise<void>;
}

/**
 * The pieces of a streamed reply, in order, each once, whatever the network did to them.
 *
 * ```ts
 * for await (const piece of node.requestStream("@poet", { text: "a poem" })) process.stdout.write(piece.text ?? "");
 * ```
 *
 * The request is sent at once. A stream can be read by one loop; {@link finish} and {@link text} read the rest and include what
 * was read before. Leaving the loop, {@link cancel}, the signal and `await using` cancel the stream at its sender before the end;
 * so does an error that is not the sender's own. After the first error, and after the end, nothing more comes.
 */
export class ReplyStream implements AsyncIterableIterator<Delta> {
  readonly #waits: StreamWaits;
  readonly #signal: AbortSignal | undefined;
  readonly #assembler: StreamAssembler;
  readonly #request = deferred<Sent>();
  #way: RequestOnItsWay | undefined;
  /** The end of what was begun with the request: the cancellation was published where there is one. */
  #ended: Promise<void> | undefined;
  /** How the stream ended: in order, or with an error. */
  #outcome: { readonly error?: unknown } | undefined;
  #hasThrown = false;
  #firstDeadline = Infinity;
  #deadline = Infinity;
  readonly #totalDeadline: number;
  #woken: Deferred<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The sender has sent its last frame. */
  #isOver = false;
  #deltas = 0;
  #metadata: RawJson | undefined;
  #result: RawJson | undefined;
  /** The end carried the whole text, which may be empty. */
  #hasWholeText = false;
  #last: Message | undefined;
  readonly #onAbort = (): void => this.fail(this.#signal?.reason);

  /** @internal */
  constructor(parts: ReaderParts) {
    this.#waits = parts.waits;
    this.#signal = parts.signal;
    this.#assembler = new StreamAssembler({ limits: parts.limits });
    this.#totalDeadline = monotonic() + parts.waits.totalMs;
    if (parts.signal?.aborted === true) {
      this.fail(parts.signal.reason);
      return;
    }
    parts.signal?.addEventListener("abort", this.#onAbort, { once: true });
    parts.start(this).then(
      ({ sent }) => this.#request.resolve(sent),
      (error: unknown) => this.fail(error),
    );
  }

  /** The request's ids, once it is published. Rejects with what kept it from being published. */
  get request(): Promise<Sent> {
    return this.#request.promise;
  }

  /** The stream's id, once a frame has come. */
  get streamId(): string | undefined {
    return this.#assembler.streamId;
  }

  /** The metadata of the stream's start, once it was read. */
  get metadata(): unknown {
    return this.#metadata?.value();
  }

  /** The text of all pieces that were read so far. */
  get textSoFar(): string {
    return this.#assembler.text;
  }

  /** The stream itself: only one loop reads it. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * The next piece.
   *
   * @throws {StreamError} @throws {RequestTimeoutError} and as `AgentNode.send`: the request could not be sent.
   * @throws the reason of the signal.
   */
  async next(): Promise<IteratorResult<Delta, undefined>> {
    for (;;) {
      const delta = this.#outcome === undefined ? this.#pop() : undefined;
      if (delta !== undefined) return { done: false, value: delta };
      const outcome = this.#outcome;
      if (outcome === undefined) {
        await this.#advance();
        continue;
      }
      if (!("error" in outcome) || this.#hasThrown) return { done: true, value: undefined };
      this.#hasThrown = true;
      throw outcome.error;
    }
  }

  /** Cancels the stream: what leaving a loop does. */
  async return(): Promise<IteratorResult<Delta, undefined>> {
    await this.cancel();
    return { done: true, value: undefined };
  }

  /**
   * Reads to the end and gives the whole, also what was read before.
   *
   * @throws as {@link next}, also what was thrown before. @throws {StreamCancelledError} The stream was cancelled.
   */
  async finish(): Promise<StreamReply> {
    while ((await this.next()).done !== true);
    const outcome = this.#outcome;
    if (outcome !== undefined && "error" in outcome) throw outcome.error;
    if (this.#last === undefined) throw new NotRunningError("the stream ended without its last message");
    let text = this.#assembler.text;
    if (text === "" && !this.#hasWholeText && this.#result !== undefined) text = pieceText(this.#result) ?? "";
    return new StreamReply({
      text,
      deltas: this.#deltas,
      streamId: this.#assembler.streamId ?? "",
      message: this.#last,
      result: this.#result,
      metadata: this.#metadata,
    });
  }

  /** Reads to the end and gives the whole text: see {@link finish}. */
  async text(): Promise<string> {
    return (await this.finish()).text;
  }

  /** Stops reading, and tells the sender so; resolves when that is published. Does nothing after the end. Never rejects. */
  async cancel(): Promise<void> {
    if (this.#outcome === undefined) {
      this.#hasThrown = true;
      this.fail(new StreamCancelledError());
    }
    await this.#ended;
  }

  /** Cancels the stream, if it has not ended: `await using stream = …`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.cancel();
  }

  /** The request is ready: what comes from now on is the stream's. @internal */
  expecting(way: RequestOnItsWay): boolean {
    this.#way = way;
    if (this.#outcome !== undefined) {
      // It was cancelled before anything was published.
      this.#isOver = true;
      this.#settle();
      return false;
    }
    way.inflow.onChange = () => this.#wake();
    return true;
  }

  /** The request was published: the wait for the first frame begins. @internal */
  published(): void {
    this.#firstDeadline = monotonic() + this.#waits.firstMs;
    this.#deadline = this.#firstDeadline;
    this.#wake();
  }

  /** The node is closing. @internal */
  async closed(): Promise<void> {
    this.fail(new StreamError("the node was closed in the middle of the stream", "closed"));
    await this.#ended;
  }

  /** Ends the stream with an error. @internal */
  fail(error: unknown): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = { error };
    this.#request.reject(error);
    this.#settle();
  }

  /** Whether the stream has ended. @internal */
  get hasEnded(): boolean {
    return this.#outcome !== undefined;
  }

  #settle(): void {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    clearTimeout(this.#timer);
    const way = this.#way;
    if (way !== undefined) {
      const wasPublished = this.#firstDeadline !== Infinity;
      const streamId = this.#assembler.streamId;
      this.#ended ??= way.end(wasPublished && !this.#isOver ? { streamId } : undefined);
    }
    this.#wake();
  }

  #wake(): void {
    this.#woken?.resolve();
    this.#woken = undefined;
  }

  /** Takes in the next message, or waits for one. */
  async #advance(): Promise<void> {
    const inflow = this.#way?.inflow;
    const arrived = inflow?.shift();
    if (arrived !== undefined) {
      this.#take(arrived);
      // All frames have come, and those that were still to be verified are not part of the stream.
      if (inflow?.pending === 0) this.#assembler.endHere();
      return;
    }
    if (inflow?.pending === 0) {
      if (inflow.noResponders) return this.#noResponders();
      if (inflow.isOverrun) return this.fail(tooSlow());
    }
    const now = monotonic();
    if (now >= this.#totalDeadline) {
      const seconds = this.#waits.totalMs / 1_000;
      this.fail(new StreamError(`the stream did not end within ${seconds} s`, "timeout"));
      return;
    }
    if (now >= this.#deadline) {
      if (!this.#assembler.doWithoutStart() && !this.#assembler.endHere()) this.fail(this.#timedOut());
      return;
    }
    this.#woken ??= deferred();
    const { promise } = this.#woken;
    clearTimeout(this.#timer);
    const deadline = Math.min(this.#deadline, this.#totalDeadline);
    // Timers may fire a little early.
    if (deadline !== Infinity) this.#timer = setTimeout(() => this.#wake(), timerDelay(deadline - now + 1));
    await promise;
    clearTimeout(this.#timer);
  }

  /** The next piece that is in order; or takes note of what ends the stream. */
  #pop(): Delta | undefined {
    for (;;) {
      const frame = this.#assembler.pop();
      if (frame === undefined) return undefined;
      const { part } = frame;
      if (part.type === "delta") {
        this.#deltas += 1;
        return new Delta(frame.seq, part.delta);
      }
      this.#given(part);
    }
  }

  #given(part: Exclude<StreamPart, { type: "delta" }>): void {
    switch (part.type) {
      case "start":
        this.#metadata = part.metadata;
        return;
      case "end":
        this.#result = part.result;
        this.#hasWholeText = part.text !== undefined;
        this.#isOver = true;
        this.#outcome ??= {};
        this.#settle();
        return;
      case "error":
        this.#failed(part.error, part.detail ?? "");
    }
  }

  /** The sender reports a failure. */
  #failed(code: string, detail: string): void {
    this.#isOver = true;
    if (UNREACHABLE_CODES.includes(code)) this.#way?.unreachable();
    this.fail(senderFailed(code, detail));
  }

  #noResponders(): void {
    this.#isOver = true;
    this.#way?.unreachable();
    this.fail(new NoRespondersError(this.#way?.subject ?? ""));
  }

  /** Takes a message: a frame, an ordinary reply, or an error reply. */
  #take({ envelope, at }: Arrived): void {
    let frame: StreamFrame | undefined;
    try {
      frame = parseStreamFrame(envelope.payload.view());
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const text = `a frame in reply to message ${this.#messageId} cannot be read: ${why}`;
      this.fail(new StreamError(text, "invalid", why, cause));
      return;
    }
    if (frame !== undefined) {
      this.#takeFrame(frame, envelope, at);
    } else if (envelope.kind === KIND.ERROR) {
      const message = new Message(envelope, null);
      this.#failed(message.errorCode ?? "error", message.errorDetail ?? "");
    } else if (envelope.kind !== KIND.STREAM && this.#assembler.highestSeq === undefined) {
      this.#takeWhole(envelope, at);
    }
    // Else an ordinary reply within a stream, or a type of a stream that this version does not know.
  }

  #takeFrame(frame: StreamFrame, envelope: Envelope, at: number): void {
    let isNew: boolean;
    try {
      isNew = this.#assembler.push(frame);
    } catch (error) {
      if (!(error instanceof AssembleError)) throw error;
      if (error.code !== "stream_other") this.fail(new StreamError(error.message, "too_large", error.code, error));
      return;
    }
    if (!isNew) return;
    this.#deadline = at + this.#waits.idleMs;
    if (frame.part.type === "end" || frame.part.type === "error") this.#last = new Message(envelope, null);
  }

  /** An ordinary reply is one piece and the end. */
  #takeWhole(envelope: Envelope, at: number): void {
    const streamId = trim(envelope.messageId) === "" ? "reply" : trim(envelope.messageId);
    const frame = { streamId, role: "assistant", contentType: "text/plain" };
    const delta = envelope.payload;
    if (delta.kind !== "null") this.#takeFrame({ ...frame, seq: 0, part: { type: "delta", delta } }, envelope, at);
    this.#takeFrame({ ...frame, seq: 1, part: { type: "end", result: delta } }, envelope, at);
  }

  get #messageId(): string {
    return this.#way?.sent.messageId ?? "";
  }

  /** Why nothing more is waited for. */
  #timedOut(): Error {
    const failure = this.#assembler.failure;
    if (failure !== undefined) {
      this.#isOver = true;
      return senderFailed(failure.error, failure.detail ?? "");
    }
    const { inflow } = this.#way ?? {};
    if (this.#assembler.highestSeq !== undefined) return wentSilent(this.#assembler, this.#waits.idleMs, inflow);
    this.#way?.unreachable();
    return nothingCame(this.#messageId, this.#waits.firstMs, inflow);
  }
}
