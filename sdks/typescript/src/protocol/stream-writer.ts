/** Makes the payloads of a stream (docs/STREAMING_PROTOCOL.md). */

import { type RawJson, utf8Length } from "../json/index.js";
import { present } from "./decode.js";
import { DEFAULT_CONTENT_TYPE, DEFAULT_ROLE, pieceText, type StreamPart, streamFramePayload } from "./stream-frame.js";
import type { Timestamp } from "./time.js";

/** Bytes of text that the end of a stream repeats; what a message may have by default. */
const MAX_TEXT_BYTES = 256_000;

/** Makes the payloads of one stream and counts them. */
export class StreamWriter {
  /** Names the stream. */
  readonly streamId: string;
  private readonly role: string;
  private readonly contentType: string;
  private readonly maxTextBytes: number;
  private nextSeq = 0;
  /** The state before the last payload. */
  private before: { seq: number; whole: string | undefined; wholeBytes: number } | undefined;
  /** The text of the pieces so far; given up once it is too long to be repeated. */
  private whole: string | undefined = "";
  private wholeBytes = 0;

  /** `streamId` must not be blank. `maxTextBytes` (default 256,000) bounds the text that the end repeats. */
  constructor(streamId: string, options: { role?: string; contentType?: string; maxTextBytes?: number } = {}) {
    this.streamId = streamId;
    this.role = options.role ?? DEFAULT_ROLE;
    this.contentType = options.contentType ?? DEFAULT_CONTENT_TYPE;
    this.maxTextBytes = options.maxTextBytes ?? MAX_TEXT_BYTES;
  }

  /** The number of the next payload. */
  get seq(): number {
    return this.nextSeq;
  }

  /** The last payload was not sent: the next one gets its number. */
  takeBack(): void {
    if (this.before === undefined) return;
    this.nextSeq = this.before.seq;
    this.whole = this.before.whole;
    this.wholeBytes = this.before.wholeBytes;
    this.before = undefined;
  }

  /** The first payload. */
  start(now: Timestamp, metadata?: RawJson): RawJson {
    return this.next({ type: "start", numbered: true, startedAt: now.toString(), ...present({ metadata }) });
  }

  /** A piece: any JSON but null. */
  delta(delta: RawJson): RawJson {
    const payload = this.next({ type: "delta", delta });
    this.remember(pieceText(delta));
    return payload;
  }

  /** The last payload. It repeats the whole text, or that of the result where no piece had one, if it is not too long. */
  end(now: Timestamp, result?: RawJson): RawJson {
    const text = this.whole || this.ofResult(result);
    return this.next({ type: "end", finishedAt: now.toString(), ...present({ text, result }) });
  }

  /** As {@link end}, without the whole text: with it, the payload was too large. */
  endWithoutText(now: Timestamp, result?: RawJson): RawJson {
    return this.next({ type: "end", finishedAt: now.toString(), ...present({ result }) });
  }

  /** The last payload of a stream that failed. */
  error(now: Timestamp, error: string, detail?: string): RawJson {
    return this.next({ type: "error", error, finishedAt: now.toString(), ...present({ detail }) });
  }

  private remember(text: string | undefined): void {
    if (this.whole === undefined || text === undefined) return;
    this.wholeBytes += utf8Length(text);
    this.whole = this.wholeBytes > this.maxTextBytes ? undefined : this.whole + text;
  }

  private ofResult(result: RawJson | undefined): string | undefined {
    const text = this.whole === undefined || result === undefined ? undefined : pieceText(result);
    return text !== undefined && utf8Length(text) <= this.maxTextBytes ? text : undefined;
  }

  private next(part: StreamPart): RawJson {
    const { streamId, role, contentType, nextSeq, whole, wholeBytes } = this;
    this.before = { seq: nextSeq, whole, wholeBytes };
    this.nextSeq += 1;
    return streamFramePayload({ streamId, seq: nextSeq, role, contentType, part });
  }
}
