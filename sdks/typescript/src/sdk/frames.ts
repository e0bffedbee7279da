/** The frames of a stream one by one, for programs that keep their own count (docs/STREAMING_PROTOCOL.md, the open form). */

import { RawJson } from "../json/index.js";
import { InvalidArgumentError } from "../node/index.js";
import {
  DEFAULT_CONTENT_TYPE,
  DEFAULT_ROLE,
  parseStreamFrame,
  type StreamPart,
  streamFramePayload,
  Timestamp,
} from "../protocol/index.js";

/** What every frame may say of its stream. */
export interface FrameOptions {
  /** Who speaks. Default `assistant`. */
  readonly role?: string | undefined;
  /** What the pieces are. Default `text/plain`. */
  readonly contentType?: string | undefined;
  /** About the stream, an object: of a start, an end and an error. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

/** The options of a piece. */
export interface StreamDeltaOptions extends FrameOptions {
  /** The place of the piece, by which readers sort: 0 or more. The first one is 0 or 1. */
  readonly seq: number;
}

/** The options of an end. */
export interface StreamEndOptions extends StreamDeltaOptions {
  /** The whole text, which replaces the pieces. */
  readonly text?: string | undefined;
}

/** The options of an error. */
export interface StreamErrorOptions extends FrameOptions {
  /** The place behind the last piece. Default 0. */
  readonly seq?: number | undefined;
  /** What happened, for people. */
  readonly detail?: string | undefined;
}

/** The payload that starts a stream. */
export function startFrame(streamId: string, options: FrameOptions): RawJson {
  return framePayload(streamId, 0, options, {
    type: "start",
    numbered: false,
    startedAt: Timestamp.now().toString(),
    ...about(options),
  });
}

/** The payload of a piece. */
export function deltaFrame(streamId: string, delta: unknown, options: StreamDeltaOptions): RawJson {
  return framePayload(streamId, options.seq, options, { type: "delta", delta: RawJson.from(delta) });
}

/** The payload that ends a stream. */
export function endFrame(streamId: string, options: StreamEndOptions): RawJson {
  const { text } = options;
  return framePayload(streamId, options.seq, options, {
    type: "end",
    finishedAt: Timestamp.now().toString(),
    ...(text === undefined ? {} : { text }),
    ...about(options),
  });
}

/** The payload that ends a stream with an error. */
export function errorFrame(streamId: string, error: string, options: StreamErrorOptions): RawJson {
  const code = typeof error === "string" ? error.trim() : "";
  if (code === "") throw new InvalidArgumentError("error is required: a code, or a sentence");
  const { detail } = options;
  return framePayload(streamId, options.seq ?? 0, options, {
    type: "error",
    error: code,
    finishedAt: Timestamp.now().toString(),
    ...(detail === undefined ? {} : { detail }),
    ...about(options),
  });
}

function about({ metadata }: FrameOptions): { metadata?: RawJson } {
  if (metadata === undefined) return {};
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) {
    throw new InvalidArgumentError("metadata must be an object");
  }
  return Object.keys(metadata).length === 0 ? {} : { metadata: RawJson.from(metadata) };
}

function framePayload(streamId: string, seq: number, options: FrameOptions, part: StreamPart): RawJson {
  const id = typeof streamId === "string" ? streamId.trim() : "";
  if (id === "") throw new InvalidArgumentError("streamId is required");
  if (!Number.isSafeInteger(seq) || seq < 0) {
    throw new InvalidArgumentError(`seq must be a whole number of 0 or more, not ${String(seq).slice(0, 64)}`);
  }
  const { role = DEFAULT_ROLE, contentType = DEFAULT_CONTENT_TYPE } = options;
  const payload = streamFramePayload({ streamId: id, seq, role, contentType, part });
  // What a reader would refuse is refused here.
  parseStreamFrame(payload.view());
  return payload;
}
