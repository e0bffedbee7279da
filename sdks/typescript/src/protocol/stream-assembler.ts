/** Puts the payloads of a stream in order again, each once (docs/STREAMING_PROTOCOL.md). Without a clock. */

import { AgentNetError } from "../errors.js";
import { utf8Length } from "../json/index.js";
import { frameText, partSize, type StreamFrame } from "./stream-frame.js";

/** How much an assembler may hold. */
export interface StreamLimits {
  /** Frames that wait for an earlier one. Default 65,536. */
  heldFrames: number;
  /** Bytes of JSON in the frames that wait. Default 64 MiB. */
  heldBytes: number;
  /** Bytes of text in all pieces together, as JSON. Default 64 MiB. */
  textBytes: number;
}

const DEFAULT_LIMITS: StreamLimits = { heldFrames: 65_536, heldBytes: 64 << 20, textBytes: 64 << 20 };

/**
 * A frame that was not taken; the assembler stays as it was. Codes: `stream_other` (a frame of another stream), `stream_full` (too
 * much waits for a frame that has not come), `stream_text_too_long`.
 */
export class AssembleError extends AgentNetError {
  constructor(code: "stream_other" | "stream_full" | "stream_text_too_long", message: string) {
    super(message, { code });
    this.name = "AssembleError";
  }
}

/** How the frames are numbered: `unknown` until the start has come. */
type Form = "unknown" | "numbered" | "open";

/**
 * Takes the frames of one stream in any order and any number of times, and gives each once and in order.
 *
 * A numbered stream is complete when its end and every number before it have come. A stream whose start has no number, or shares
 * it with a piece, is in the open form: its pieces count from 0 or 1. It is complete with an end that gives the whole text, whatever
 * is missing then. Without that text it is complete when no number between its pieces is missing and the end's number is no higher
 * than the next one; {@link StreamAssembler.endHere} lifts the last condition.
 *
 * Frames must be taken out with {@link StreamAssembler.pop} until there is none, after every push.
 */
export class StreamAssembler {
  private readonly limits: StreamLimits;
  private id: string | undefined;
  private form: Form = "unknown";
  /** The start, until it is given. */
  private start: StreamFrame | undefined;
  private started = false;
  /** The number of the next piece. A start has number 0, unless a piece has it. */
  private next = 0;
  /** Whether a piece with number 0 was taken. */
  private zero = false;
  /** Whether a piece was given. */
  private given = false;
  private readonly held = new Map<number, StreamFrame>();
  /** The numbers in {@link held}, highest first, once the lowest one was asked for. */
  private descending: number[] | undefined;
  private heldBytes = 0;
  private highestPiece: number | undefined;
  private highest: number | undefined;
  private last: StreamFrame | undefined;
  /** The end's number, if it says which pieces come before it. 0 has no meaning: programs of Python give it to errors. */
  private place: number | undefined;
  private assembled = "";
  private textBytes = 0;
  private complete = false;

  /** Of the stream with this id, or of the first frame. */
  constructor(options: { streamId?: string; limits?: Partial<StreamLimits> } = {}) {
    // Null is how programs without types leave the options out.
    const { streamId, limits } = options ?? {};
    this.id = streamId ?? undefined;
    this.limits = { ...DEFAULT_LIMITS, ...limits };
  }

  /**
   * Takes a frame; false where it adds nothing: it was there before, or lies behind the end. Of two different frames with one number
   * the first counts.
   *
   * @throws {@link AssembleError}
   */
  push(frame: StreamFrame): boolean {
    if (this.id !== undefined && this.id !== frame.streamId) {
      throw new AssembleError(
        "stream_other",
        `a frame of stream ${JSON.stringify(frame.streamId)} among those of ${JSON.stringify(this.id)}`,
      );
    }
    this.id = frame.streamId;
    if (this.complete) return false;
    const taken = this.take(frame);
    if (taken) this.highest = Math.max(this.highest ?? 0, frame.seq);
    return taken;
  }

  private take(frame: StreamFrame): boolean {
    switch (frame.part.type) {
      case "start":
        return this.takeStart(frame, frame.part.numbered && frame.seq === 0);
      case "delta":
        return this.takePiece(frame);
      default:
        return this.takeLast(frame);
    }
  }

  private takeStart(start: StreamFrame, numbered: boolean): boolean {
    if (this.started) return false;
    this.started = true;
    this.start = start;
    this.form = numbered && !this.zero ? "numbered" : "open";
    if (!this.zero) this.next = 1;
    return true;
  }

  private takePiece(piece: StreamFrame): boolean {
    const { seq } = piece;
    const isZero = seq === 0 && !this.zero;
    if (this.isBehindTheEnd(seq) || (seq < this.next && !isZero) || this.held.has(seq)) return false;
    const size = partSize(piece.part);
    const full = this.held.size >= this.limits.heldFrames || this.heldBytes + size > this.limits.heldBytes;
    // The frame that all wait for is always welcome.
    if (full && seq !== this.next && !isZero) {
      throw new AssembleError(
        "stream_full",
        `${this.held.size} frames (${this.heldBytes} bytes) wait for frame ${this.next}, which has not come`,
      );
    }
    const text = frameText(piece);
    if (text !== undefined) {
      this.checkText(this.textBytes + size);
      this.textBytes += size;
    }
    this.highestPiece = Math.max(this.highestPiece ?? 0, seq);
    if (isZero && this.isZeroTooLate(text ?? "")) return true;
    this.heldBytes += size;
    this.held.set(seq, piece);
    this.descending = undefined;
    return true;
  }

  /** Takes note of a piece with number 0. Where later pieces were given, its turn is over, but its text still has a place. */
  private isZeroTooLate(text: string): boolean {
    this.zero = true;
    if (this.started) this.form = "open";
    if (this.given) this.assembled = text + this.assembled;
    else this.next = 0;
    return this.given;
  }

  private takeLast(frame: StreamFrame): boolean {
    if (this.last !== undefined) return false;
    if (frame.part.type === "end" && frame.part.text !== undefined) this.checkText(utf8Length(frame.part.text));
    this.last = frame;
    this.place = frame.seq > 0 ? frame.seq : undefined;
    return true;
  }

  private checkText(bytes: number): void {
    const { textBytes } = this.limits;
    if (bytes > textBytes) {
      throw new AssembleError("stream_text_too_long", `the text of the stream exceeds ${textBytes} bytes`);
    }
  }

  private isBehindTheEnd(seq: number): boolean {
    return this.place !== undefined && seq > this.place;
  }

  /** The next frame in order, if it is there; call it until it is not. */
  pop(): StreamFrame | undefined {
    if (this.start !== undefined) {
      const { start } = this;
      this.start = undefined;
      return { ...start, seq: 0 };
    }
    return this.popPiece() ?? this.popLast();
  }

  private popPiece(): StreamFrame | undefined {
    const seq = this.nextPiece();
    const piece = seq === undefined ? undefined : this.held.get(seq);
    if (seq === undefined || piece === undefined) return undefined;
    this.held.delete(seq);
    this.heldBytes -= partSize(piece.part);
    this.next = seq + 1;
    this.given = true;
    this.assembled += frameText(piece) ?? "";
    return piece;
  }

  /** The number of the piece to be given next, if it is there. */
  private nextPiece(): number | undefined {
    let first: number | undefined = this.held.has(this.next) ? this.next : undefined;
    // Once the whole text is known, it does not matter what is missing.
    if (first === undefined && this.form === "open" && this.wholeText() !== undefined) first = this.lowestHeld();
    return first !== undefined && this.isBehindTheEnd(first) ? undefined : first;
  }

  private lowestHeld(): number | undefined {
    this.descending ??= [...this.held.keys()].sort((a, b) => b - a);
    let lowest = this.descending.at(-1);
    while (lowest !== undefined && !this.held.has(lowest)) {
      this.descending.pop();
      lowest = this.descending.at(-1);
    }
    return lowest;
  }

  private wholeText(): string | undefined {
    return this.last?.part.type === "end" ? this.last.part.text : undefined;
  }

  private popLast(): StreamFrame | undefined {
    const { last } = this;
    if (last === undefined || !this.isOver(last)) return undefined;
    this.assembled = this.wholeText() ?? this.assembled;
    this.next = Math.max(this.next, last.seq + 1);
    this.complete = true;
    this.last = undefined;
    this.held.clear();
    this.heldBytes = 0;
    return last;
  }

  /** Whether the end is next, when no piece can be given. */
  private isOver(last: StreamFrame): boolean {
    const inPlace = this.place === undefined || this.place <= this.next;
    if (this.form === "open") {
      if (last.part.type === "error" || this.wholeText() !== undefined) return true;
      return inPlace && this.held.size === 0;
    }
    // A number that says nothing: what has come belongs before it.
    if (last.part.type === "end" && this.place === undefined) return this.held.size === 0;
    return inPlace;
  }

  /**
   * Says that nothing comes behind the end: a stream in the open form that lacks no number between its pieces is then complete,
   * whatever number its end has. False for every other stream, and while the end has not come.
   */
  endHere(): boolean {
    const afterThePieces = this.highestPiece === undefined ? this.next : this.highestPiece + 1;
    const withoutGaps = afterThePieces - this.next <= this.held.size;
    if (this.last === undefined || this.form !== "open" || !withoutGaps) return false;
    this.place = undefined;
    return true;
  }

  /** Takes a stream whose start has not come as one without a start, if its end gives the whole text: then it is complete. */
  doWithoutStart(): boolean {
    const isKnown = this.form === "unknown" && this.wholeText() !== undefined;
    if (isKnown) {
      this.started = true;
      this.form = "open";
    }
    return isKnown;
  }

  /** The stream's id, once it is known. */
  get streamId(): string | undefined {
    return this.id;
  }

  /** The text of all pieces that were given so far; after an end that gives the whole text, that text. */
  get text(): string {
    return this.assembled;
  }

  /** Whether the end, or the error, was given. */
  get isComplete(): boolean {
    return this.complete;
  }

  /** Whether the end, or the error, has come. */
  get hasEnd(): boolean {
    return this.complete || this.last !== undefined;
  }

  /** The number of the frame that comes next. */
  get nextSeq(): number {
    return this.next;
  }

  /** The highest number seen; `undefined` before the first frame. */
  get highestSeq(): number | undefined {
    return this.highest;
  }

  /** The first number that has not come, of those before the end or else below the highest seen. */
  get missing(): number | undefined {
    return this.missingNumbers(1)[0];
  }

  /** As {@link StreamAssembler.missing}, in order, at most so many: a sender can name any number. */
  missingNumbers(limit: number): number[] {
    const numbers: number[] = [];
    const end = this.awaitedEnd();
    for (let seq = this.next; seq < end && numbers.length < limit; seq++) {
      if (!this.held.has(seq)) numbers.push(seq);
    }
    return numbers;
  }

  /** How many numbers are missing. */
  get missingCount(): number {
    const end = this.awaitedEnd();
    let present = 0;
    for (const seq of this.held.keys()) if (seq >= this.next && seq < end) present++;
    return Math.max(0, end - this.next - present);
  }

  /** Behind the last number that is known. */
  private awaitedEnd(): number {
    if (this.complete) return 0;
    if (this.place !== undefined && this.form !== "open") return this.place;
    return this.highestPiece === undefined ? 0 : this.highestPiece + 1;
  }

  /** The error that a stream ended with, also while pieces before it are missing. */
  get failure(): { error: string; detail?: string } | undefined {
    const part = this.last?.part;
    if (part?.type !== "error") return undefined;
    return part.detail === undefined ? { error: part.error } : { error: part.error, detail: part.detail };
  }
}
