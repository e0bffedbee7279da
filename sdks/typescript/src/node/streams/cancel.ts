/** The cancellation of a streamed reply by its reader: the message, its subject, and the answer to frames that still come. */

import {
  cancelSubject,
  controlSubject,
  type Draft,
  encodeEnvelope,
  streamCancelPayload,
} from "../../protocol/index.js";
import type { Session } from "../session.js";

/** How many streams that are read no more are remembered. */
const MAX_DROPPED_STREAMS = 1_024;
/** Not every frame that was on its way is answered. */
const MIN_CANCEL_INTERVAL_MS = 200;

/** Cancels one streamed reply. */
export class Cancellation {
  readonly #session: Session;
  readonly #replySubject: string;
  /** The account that sends the frames; of a request to a capability, known with the first frame that the server has proven. */
  #sender: string | undefined;
  readonly #draft: Omit<Draft, "payload">;
  #published: Promise<void> | undefined;

  /** @param draft The message but for its payload: to whom was asked, with the request's thread and trace and as its child. */
  constructor(session: Session, replySubject: string, draft: Omit<Draft, "payload">) {
    this.#session = session;
    this.#replySubject = replySubject;
    this.#sender = draft.toAccountId;
    this.#draft = draft;
  }

  /** A frame has come from this account. */
  frameFrom(accountId: string | undefined): void {
    this.#sender ??= accountId;
  }

  /** Publishes it, unless that was done before. Never rejects. */
  publish(streamId: string | undefined): Promise<void> {
    this.#published ??= this.publishAgain(streamId);
    return this.#published;
  }

  /** Publishes it, also if that was done before: the sender may not have been subscribed yet. Never rejects. */
  async publishAgain(streamId: string | undefined): Promise<void> {
    const { composer, connection, logger } = this.#session;
    // In secure mode it goes to the account that sends the frames (section 23.1), else below the reply subject.
    const sender = connection.issuer.isSecure ? this.#sender : undefined;
    if (connection.issuer.isSecure && sender === undefined) {
      logger.debug("a stream without a frame has no sender that could be told of its cancellation");
      return;
    }
    const subject = sender === undefined ? cancelSubject(this.#replySubject) : controlSubject(sender);
    try {
      const composing = composer.compose({ ...this.#draft, payload: streamCancelPayload(streamId) });
      const envelope = composing instanceof Promise ? await composing : composing;
      await connection.publishSoon(subject, encodeEnvelope(envelope));
    } catch (error) {
      logger.warn("the cancellation of a stream was not published", { error });
    }
  }
}

/** The last streams that are read no more: later frames of them are answered by the cancellation. */
export class DroppedStreams<C> {
  readonly #byNumber = new Map<number, { readonly cancellation: C; due: number }>();

  /** How many are remembered. */
  get size(): number {
    return this.#byNumber.size;
  }

  /**
   * Remembers a stream. The sender of one that has had a frame is subscribed to its cancellation; of one without, the first frame
   * is answered.
   *
   * @param now Milliseconds.
   */
  remember(number: number, cancellation: C, hadFrame: boolean, now: number): void {
    this.#byNumber.set(number, { cancellation, due: hadFrame ? now + MIN_CANCEL_INTERVAL_MS : now });
    if (this.#byNumber.size <= MAX_DROPPED_STREAMS) return;
    const oldest = this.#byNumber.keys().next();
    if (oldest.done !== true) this.#byNumber.delete(oldest.value);
  }

  /** The cancellation that answers a frame of this number, if it is due. */
  due(number: number, now: number): C | undefined {
    const dropped = this.#byNumber.get(number);
    if (dropped === undefined || dropped.due > now) return undefined;
    dropped.due = now + MIN_CANCEL_INTERVAL_MS;
    return dropped.cancellation;
  }
}
