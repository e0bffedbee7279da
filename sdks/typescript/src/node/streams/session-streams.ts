/** What the streams of one session share: late frames are answered, and at the close every stream ends. */

import type { Msg } from "@nats-io/nats-core";

import { decodeEnvelope, parseStreamFrame } from "../../protocol/index.js";
import type { Session } from "../session.js";
import { monotonic, TIMED_OUT, withDeadline } from "../waits.js";
import { type Cancellation, DroppedStreams } from "./cancel.js";

/** How long the last frames and cancellations may take at the close. */
const CLOSE_TIMEOUT_MS = 1_000;

/** A stream that is open, for its reader or its sender. */
export interface OpenEnd {
  /** The node is closing: ends the stream, and resolves when what there is to publish is published. */
  nodeCloses(): Promise<void>;
}

const bySession = new WeakMap<Session, SessionStreams>();

/** The streams of a session. */
export function streamsOf(session: Session): SessionStreams {
  let streams = bySession.get(session);
  if (streams === undefined) {
    streams = new SessionStreams(session);
    bySession.set(session, streams);
  }
  return streams;
}

/** The open streams of one session, and the last ones that are read no more. */
export class SessionStreams {
  readonly #open = new Set<OpenEnd>();
  readonly #dropped = new DroppedStreams<Cancellation>();
  readonly #session: Session;
  #isClosed = false;

  constructor(session: Session) {
    this.#session = session;
    session.replies.onUnexpected = (number, message) => this.#late(number, message);
    session.closers.add(() => this.#close());
  }

  /** Whether the node has begun to end its streams. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Takes note of a stream, until the returned function is called. */
  add(end: OpenEnd): () => void {
    this.#open.add(end);
    return () => this.#open.delete(end);
  }

  /** Remembers a stream that is read no more before its end. */
  drop(number: number, cancellation: Cancellation, hadFrame: boolean): void {
    this.#dropped.remember(number, cancellation, hadFrame, monotonic());
  }

  /** A message without a reader: if it is a frame of a stream that is read no more, the cancellation is published again. */
  #late(number: number, message: Msg): void {
    const cancellation = this.#dropped.due(number, monotonic());
    if (cancellation === undefined) return;
    const streamId = streamOf(message.data);
    cancellation.frameFrom(this.#session.connection.issuer.of(message.subject));
    if (streamId !== undefined) void cancellation.publishAgain(streamId);
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    const ends = [...this.#open].map((end) => end.nodeCloses());
    this.#open.clear();
    if ((await withDeadline(Promise.allSettled(ends), CLOSE_TIMEOUT_MS)) === TIMED_OUT) {
      this.#session.logger.warn("some streams end without a last frame");
    }
  }
}

/** The stream that a message belongs to, unless it is its last. */
function streamOf(body: Uint8Array): string | undefined {
  try {
    const frame = parseStreamFrame(decodeEnvelope(body).payload.view());
    if (frame === undefined || frame.part.type === "end" || frame.part.type === "error") return undefined;
    return frame.streamId;
  } catch {
    return undefined;
  }
}
