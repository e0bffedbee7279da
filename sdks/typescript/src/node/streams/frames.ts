/**
 * The frames of a stream to an inbox one by one, as the SDK of the Python implementation sends them (docs/STREAMING_PROTOCOL.md, the
 * open form): for programs that keep their own count. `AgentNode.sendStream` numbers, orders and ends a stream by itself.
 */

import { RawJson, trim } from "../../json/index.js";
import {
  DEFAULT_CONTENT_TYPE,
  DEFAULT_ROLE,
  KIND,
  parseStreamFrame,
  type StreamPart,
  streamFramePayload,
  Timestamp,
} from "../../protocol/index.js";
import { InvalidArgumentError } from "../errors.js";
import type { SendOptions, Sent } from "../options.js";
import type { Destination } from "../route.js";
import { send } from "../sender.js";
import type { Session } from "../session.js";

/** The options of a frame. It waits for no receipt unless `until` asks for one. */
export interface FrameOptions extends SendOptions {
  /** Who speaks. Default `assistant`. */
  readonly role?: string | undefined;
  /** What the pieces are. Default `text/plain`. */
  readonly contentType?: string | undefined;
  /** About the stream: a JSON object. A piece has none. */
  readonly metadata?: unknown;
}

/** A frame that was sent. */
export interface SentFrame extends Sent {
  /** The payload that was sent. */
  readonly payload: RawJson;
}

/** Sends the start of a stream; the caller numbers its pieces, from 0 or 1. */
export async function sendStreamStart(
  session: Session,
  to: Destination,
  streamId: string,
  options: FrameOptions = {},
): Promise<SentFrame> {
  const part = { type: "start", numbered: false, startedAt: now(), ...metadataOf(options) } as const;
  return await sendFrame(session, to, { streamId, seq: 0, part }, options);
}

/** Sends a piece of text. */
export async function sendStreamDelta(
  session: Session,
  to: Destination,
  streamId: string,
  delta: unknown,
  options: FrameOptions & { readonly seq: number },
): Promise<SentFrame> {
  const json = RawJson.from(delta);
  if (json.kind === "null") throw new InvalidArgumentError("a piece of a stream is any JSON but null");
  return await sendFrame(session, to, { streamId, seq: options.seq, part: { type: "delta", delta: json } }, options);
}

/** Sends the end; its `text` is the whole text, whatever the pieces contain. */
export async function sendStreamEnd(
  session: Session,
  to: Destination,
  streamId: string,
  options: FrameOptions & { readonly seq: number; readonly text?: string | undefined; readonly result?: unknown },
): Promise<SentFrame> {
  const { text, result } = options;
  const part: StreamPart = { type: "end", finishedAt: now(), ...metadataOf(options) };
  if (text !== undefined) part.text = text;
  if (result !== undefined) part.result = RawJson.from(result);
  return await sendFrame(session, to, { streamId, seq: options.seq, part }, options);
}

/** Sends the error that ends a stream. `seq` is 0 unless it is given. */
export async function sendStreamError(
  session: Session,
  to: Destination,
  streamId: string,
  error: string,
  options: FrameOptions & { readonly seq?: number | undefined; readonly detail?: string | undefined } = {},
): Promise<SentFrame> {
  const part: StreamPart = { type: "error", error, finishedAt: now(), ...metadataOf(options) };
  if (options.detail !== undefined) part.detail = options.detail;
  return await sendFrame(session, to, { streamId, seq: options.seq ?? 0, part }, options);
}

async function sendFrame(
  session: Session,
  to: Destination,
  frame: { readonly streamId: string; readonly seq: number; readonly part: StreamPart },
  options: FrameOptions,
): Promise<SentFrame> {
  const { role, contentType } = options;
  if (!Number.isSafeInteger(frame.seq) || frame.seq < 0) {
    throw new InvalidArgumentError(`seq must be a whole number of 0 or more, not ${String(frame.seq).slice(0, 64)}`);
  }
  const payload = streamFramePayload({
    ...frame,
    streamId: trim(String(frame.streamId)),
    role: role ?? DEFAULT_ROLE,
    contentType: contentType ?? DEFAULT_CONTENT_TYPE,
  });
  // What a reader would refuse is refused here.
  parseStreamFrame(payload.view());
  const sent = await send(session, to, payload, { until: "published", ...options, kind: options.kind ?? KIND.STREAM });
  return { ...sent, payload };
}

function metadataOf({ metadata }: FrameOptions): { metadata?: RawJson } {
  return metadata === undefined || metadata === null ? {} : { metadata: RawJson.from(metadata) };
}

function now(): string {
  return Timestamp.now().toString();
}
