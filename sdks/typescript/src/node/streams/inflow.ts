/**
 * The bounded buffer between the subscription that all replies come by and the reader of one stream; under signed identity and in
 * secure mode, the senders of frames are verified in it.
 *
 * The subscription does not wait for a reader: when the buffer is full, that stream fails, and all others go on.
 */

import type { Msg } from "@nats-io/nats-core";

import { decodeReply, type Envelope, REGISTRY_ACCOUNT_PREFIX } from "../../protocol/index.js";
import { isPending, type ReplyExpectation } from "../identity.js";
import { statusOf } from "../registry-client.js";
import { verifyReply } from "../reply-origin.js";
import type { Session } from "../session.js";
import { monotonic } from "../waits.js";

/** Frames of one stream that may be verified at the same time. */
const VERIFY_CONCURRENCY = 64;

/** What may wait for the reader of a stream. */
export interface StreamBuffer {
  /** Frames. Default 16,384. */
  readonly frames: number;
  /** Bytes of wire text. Default 32 MiB. */
  readonly bytes: number;
}

/** What a reader may wait for by default. */
export const DEFAULT_STREAM_BUFFER: StreamBuffer = Object.freeze({ frames: 16_384, bytes: 32 * 1024 * 1024 });

/** A reply and the time of its arrival. */
export interface Arrived {
  readonly envelope: Envelope;
  readonly size: number;
  readonly at: number;
}

/** A reply whose sender is still to be verified. */
interface Unverified extends Arrived {
  readonly subject: string;
}

/** A queue that takes from its front in constant time. */
class Queue<T> {
  #items: T[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#head += 1;
    if (this.#head === this.#items.length || this.#head >= 1_024) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

/** The frames of one stream that have come and were not read. */
export class Inflow {
  /** Is called when there is something to read or to find out. */
  onChange: () => void = () => undefined;
  /** Is called once when the buffer is full; the frame that did not fit is given. */
  onOverrun: (frame: Envelope) => void = () => undefined;
  /** Is called with the account of each frame that was verified. */
  onSender: (accountId: string) => void = () => undefined;
  /** The server reports that the request's subject has no subscriber. */
  noResponders = false;
  /** More came than the buffer holds. What it holds can still be read. */
  isOverrun = false;
  /** Messages that are not from the account that was asked, or no messages. */
  ignored = 0;
  /** Why the last of them was ignored. */
  lastIgnored = "";
  /** What is wrong with the last reply that was no message. Another client sent it: the reply may still come. */
  unreadable: unknown;
  readonly #session: Session;
  #expectation: ReplyExpectation;
  /** Whether replies of other accounts than the one that was asked are told from its own. */
  readonly #isChecked: boolean;
  readonly #limits: StreamBuffer;
  /** What can be read. */
  readonly #ready = new Queue<Arrived>();
  /** What is to be verified; those that are being verified are counted apart. */
  readonly #unverified = new Queue<Unverified>();
  #verifying = 0;
  #bytes = 0;

  constructor(session: Session, expectation: ReplyExpectation, limits: StreamBuffer) {
    this.#session = session;
    this.#isChecked = session.identity.isSigned || session.connection.issuer.isSecure;
    this.#expectation = expectation;
    this.#limits = limits;
  }

  /** Takes in what came to the reply subject. */
  arrived(message: Msg): void {
    if (this.isOverrun) return;
    const { connection, identity } = this.#session;
    if (statusOf(message) === 503) {
      // Every client can publish this status: under signed identity, a reply may still come. In secure mode the server alone can.
      if (identity.isSigned && !connection.issuer.isSecure) this.#ignore("no_responders");
      else this.noResponders = true;
      this.onChange();
      return;
    }
    const size = message.data.length;
    let envelope: Envelope;
    try {
      envelope = decodeReply(message.data);
    } catch (error) {
      // Where senders are verified, anybody may have sent it.
      if (!this.#isChecked) this.unreadable = error;
      this.#ignore("message_invalid");
      return;
    }
    // A single message is taken whatever its size: the server has a limit of its own.
    const waiting = this.#ready.length + this.pending;
    if (waiting >= this.#limits.frames || (this.#bytes > 0 && this.#bytes + size > this.#limits.bytes)) {
      this.isOverrun = true;
      this.onOverrun(envelope);
      this.onChange();
      return;
    }
    this.#bytes += size;
    const arrived = { envelope, size, at: monotonic() };
    if (this.#isChecked) {
      this.#unverified.push({ ...arrived, subject: message.subject });
      this.#verifyNext();
      return;
    }
    this.#ready.push(arrived);
    this.onChange();
  }

  /** The next frame; undefined while there is none that was verified. */
  shift(): Arrived | undefined {
    const arrived = this.#ready.shift();
    if (arrived !== undefined) this.#bytes -= arrived.size;
    return arrived;
  }

  /** Frames that have come and are still to be verified; what is ready may have overtaken them. */
  get pending(): number {
    return this.#unverified.length + this.#verifying;
  }

  #verifyNext(): void {
    while (this.#verifying < VERIFY_CONCURRENCY) {
      const arrived = this.#unverified.shift();
      if (arrived === undefined) return;
      const verdict = verifyReply(this.#session, arrived.subject, arrived.envelope, this.#expectation);
      if (!isPending(verdict)) {
        this.#judged(arrived, verdict);
        continue;
      }
      this.#verifying += 1;
      const settled = (late: string | undefined): void => {
        this.#verifying -= 1;
        this.#judged(arrived, late);
        this.#verifyNext();
      };
      verdict.then(settled, (error: unknown) => {
        this.#session.logger.warn("a frame could not be verified", { error });
        settled("auth_key_not_found");
      });
    }
  }

  #judged(arrived: Arrived, verdict: string | undefined): void {
    const wrong = verdict ?? this.#follow(arrived.envelope);
    if (wrong === undefined) {
      this.#ready.push(arrived);
    } else {
      this.#bytes -= arrived.size;
      this.#ignore(wrong);
    }
    this.onChange();
  }

  /** Any account may answer a request to a capability; in secure mode, frames after the first come from the same one. */
  #follow({ fromAccountId }: Envelope): string | undefined {
    if (fromAccountId === undefined || fromAccountId.startsWith(REGISTRY_ACCOUNT_PREFIX)) return undefined;
    const { accountId } = this.#expectation;
    if (this.#session.connection.issuer.isSecure && accountId === undefined) {
      this.#expectation = { ...this.#expectation, accountId: fromAccountId };
    } else if (accountId !== undefined && accountId !== fromAccountId) {
      // It was verified together with the first one.
      return "reply_sender_mismatch";
    }
    this.onSender(fromAccountId);
    return undefined;
  }

  #ignore(why: string): void {
    this.ignored += 1;
    this.lastIgnored = why;
    this.#session.metrics.refusedReplies += 1;
    this.#session.logger.warn("ignored a reply", { messageId: this.#expectation.messageId, why });
  }
}
