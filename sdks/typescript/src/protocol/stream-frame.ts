/** The payloads of a stream (docs/STREAMING_PROTOCOL.md, PROTOCOL.md section 5.5). */

import { AgentNetError } from "../errors.js";
import { ascii, type JsonObject, type JsonView, ObjectWriter, RawJson, trim, utf8Length } from "../json/index.js";
import { present } from "./decode.js";
import { checkBytes, LIMITS } from "./limits.js";

/** `role` of a frame that names none. */
export const DEFAULT_ROLE = "assistant";
/** `content_type` of a frame that names none. */
export const DEFAULT_CONTENT_TYPE = "text/plain";

/** What a payload of a stream says. */
export type StreamPart = StreamStart | StreamDelta | StreamEnd | StreamFailure;

/** The stream begins. */
export interface StreamStart {
  type: "start";
  /** Whether the payload has a number: then all that follows counts on from it without gaps. */
  numbered: boolean;
  /** When it began. */
  startedAt?: string;
  /** About the stream; any JSON but an empty object, which is written where there is none. */
  metadata?: RawJson;
}

/** A piece; usually text. */
export interface StreamDelta {
  type: "delta";
  /** Any JSON but null. */
  delta: RawJson;
}

/** The stream is complete. */
export interface StreamEnd {
  type: "end";
  /** The whole text, whatever the pieces said. */
  text?: string;
  /** The whole result, if the sender gives one. */
  result?: RawJson;
  /** When it ended. */
  finishedAt?: string;
  /** About the stream; any JSON but an empty object. */
  metadata?: RawJson;
}

/** The stream failed; nothing follows. */
export interface StreamFailure {
  type: "error";
  /** A code, or the text that programs of the Python implementation send. */
  error: string;
  /** What happened, for people. */
  detail?: string;
  /** When it ended. */
  finishedAt?: string;
  /** About the stream; any JSON but an empty object. */
  metadata?: RawJson;
}

/** One payload of a stream. */
export interface StreamFrame {
  /** Names the stream; never empty, without white space around it. */
  streamId: string;
  /** The place in the stream, from 0; 0 where the payload names none. */
  seq: number;
  /** Who speaks. */
  role: string;
  /** What the pieces are. */
  contentType: string;
  /** What it says. */
  part: StreamPart;
}

/** A payload with a stream's `type` that cannot be read. Code `invalid_stream_frame`. */
export class StreamFrameError extends AgentNetError {
  /** The member that is wrong: `stream_id`, `seq` or `delta`. */
  readonly member: string;

  constructor(member: string, message: string) {
    super(message, { code: "invalid_stream_frame" });
    this.name = "StreamFrameError";
    this.member = member;
  }
}

/** The text of a piece: itself where it is text, or the `text` member of an object; not trimmed. */
export function pieceText(piece: RawJson): string | undefined {
  const view = piece.view();
  return view.asString() ?? view.asObject()?.get("text").asString();
}

/** The text of a frame's piece; `undefined` of frames that are no piece. */
export function frameText(frame: StreamFrame): string | undefined {
  return frame.part.type === "delta" ? pieceText(frame.part.delta) : undefined;
}

/** How many bytes a part holds. */
export function partSize(part: StreamPart): number {
  const json = (raw: RawJson | undefined) => (raw === undefined ? 0 : utf8Length(raw.text));
  switch (part.type) {
    case "start":
      return json(part.metadata);
    case "delta":
      return json(part.delta);
    case "end":
      return json(part.result) + json(part.metadata) + utf8Length(part.text ?? "");
    case "error":
      return utf8Length(part.error) + utf8Length(part.detail ?? "") + json(part.metadata);
  }
}

/** The payload to send. */
export function streamFramePayload(frame: StreamFrame): RawJson {
  const { part } = frame;
  const out = new ObjectWriter().text("type", `stream_${part.type}`).text("stream_id", frame.streamId);
  if (part.type !== "start" || part.numbered) out.int("seq", frame.seq);
  out.text("role", frame.role).text("content_type", frame.contentType);
  switch (part.type) {
    case "start":
      about(out, "started_at", part.startedAt, part.metadata);
      break;
    case "delta":
      out.raw("delta", ascii(part.delta.text));
      break;
    case "end":
      about(out, "finished_at", part.finishedAt, part.metadata).optText("text", part.text);
      if (part.result !== undefined) out.raw("result", ascii(part.result.text));
      break;
    case "error":
      about(out, "finished_at", part.finishedAt, part.metadata)
        .text("error", part.error)
        .optText("detail", part.detail);
  }
  return RawJson.trusted(out.finish());
}

/** Writes the time and the metadata of a stream as frames of the Python implementation have them. */
function about(out: ObjectWriter, time: string, at: string | undefined, metadata: RawJson | undefined): ObjectWriter {
  return out.optText(time, at).raw("metadata", metadata === undefined ? "{}" : ascii(metadata.text));
}

/**
 * Reads a payload of either form; `undefined` where its `type` is none of a stream's.
 *
 * @throws {@link StreamFrameError} or {@link TooLarge} where the type is right and a member is not.
 */
export function parseStreamFrame(payload: JsonView): StreamFrame | undefined {
  const object = payload.asObject();
  const part = object === undefined ? undefined : readPart(object);
  if (object === undefined || part === undefined) return undefined;
  const streamId = trim(object.get("stream_id").text());
  if (streamId === "") throw new StreamFrameError("stream_id", "a stream payload needs a `stream_id`");
  checkBytes("stream_id", streamId, LIMITS.idBytes);
  return {
    streamId,
    seq: readSeq(object.get("seq")),
    role: readName(object, "role", DEFAULT_ROLE),
    contentType: readName(object, "content_type", DEFAULT_CONTENT_TYPE),
    part,
  };
}

function readPart(object: JsonObject): StreamPart | undefined {
  switch (trim(object.get("type").text()).toLowerCase()) {
    case "stream_start":
      return {
        type: "start",
        numbered: !object.get("seq").isNull(),
        ...present({ startedAt: readTime(object, "started_at"), metadata: readMetadata(object) }),
      };
    case "stream_delta": {
      const delta = given(object, "delta");
      if (delta === undefined) throw new StreamFrameError("delta", "a stream_delta payload needs a `delta`");
      return { type: "delta", delta };
    }
    case "stream_end":
      return {
        type: "end",
        ...present({
          text: object.get("text").asString(),
          result: given(object, "result"),
          finishedAt: readTime(object, "finished_at"),
          metadata: readMetadata(object),
        }),
      };
    case "stream_error":
      return {
        type: "error",
        error: object.get("error").optText() ?? "stream_failed",
        ...present({
          detail: object.get("detail").optText(),
          finishedAt: readTime(object, "finished_at"),
          metadata: readMetadata(object),
        }),
      };
    default:
      return undefined;
  }
}

function given(object: JsonObject, name: string): RawJson | undefined {
  const value = object.get(name);
  return value.isNull() ? undefined : value.toRaw();
}

function readMetadata(object: JsonObject): RawJson | undefined {
  const metadata = object.get("metadata");
  return metadata.kind === "object" && !metadata.isTruthy() ? undefined : given(object, "metadata");
}

function readTime(object: JsonObject, name: string): string | undefined {
  const text = object.get(name).optText();
  if (text !== undefined) checkBytes(name, text, LIMITS.idBytes);
  return text;
}

function readName(object: JsonObject, name: string, missing: string): string {
  const text = object.get(name).optText() ?? missing;
  checkBytes(name, text, LIMITS.nameBytes);
  return text;
}

function readSeq(value: JsonView): number {
  if (value.isNull()) return 0;
  let seq: bigint | undefined;
  try {
    seq = value.int();
  } catch {
    seq = undefined;
  }
  if (seq === undefined || seq < 0n) {
    throw new StreamFrameError("seq", "the `seq` of a stream payload must be a number of 0 or more");
  }
  if (seq > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new StreamFrameError("seq", `the \`seq\` of a stream payload must be at most ${Number.MAX_SAFE_INTEGER}`);
  }
  return Number(seq);
}

/** The payload with which a reader cancels a stream; without an id, whatever stream answers its request. */
export function streamCancelPayload(streamId?: string): RawJson {
  return RawJson.trusted(new ObjectWriter().text("type", "stream_cancel").optText("stream_id", streamId).finish());
}

/** Reads a cancel; `undefined` where the payload's `type` is another. */
export function parseStreamCancel(payload: JsonView): { streamId?: string } | undefined {
  const object = payload.asObject();
  if (object === undefined || trim(object.get("type").text()).toLowerCase() !== "stream_cancel") return undefined;
  return present({ streamId: trim(object.get("stream_id").text()) || undefined });
}
