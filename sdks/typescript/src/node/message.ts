/** A message that was received. */

import type { JsonValue } from "../json/index.js";
import {
  type AgentMessageObject,
  type BlobRef,
  type Envelope,
  envelopeToObject,
  extractText,
  isReplySubject,
  KIND,
  mayReplyTo,
  parseBlobRef,
  parseStreamFrame,
  type StreamFrame,
} from "../protocol/index.js";

/** A message that was received: its envelope (PROTOCOL.md 5.1), and where a reply would go. Immutable. */
export class Message {
  /** The envelope as it was read. */
  readonly envelope: Readonly<Envelope>;
  /** Where a reply goes; undefined where the sender waits for none. */
  readonly replyTo: string | undefined;

  /**
   * @param replyTo The NATS reply subject; null: no reply is possible. One on which agents, registries or the server take
   * messages counts as none (0.11). Without one the JSON member `reply_to` counts, if it names a reply subject (0.7).
   */
  constructor(envelope: Readonly<Envelope>, replyTo?: string | null) {
    this.envelope = envelope;
    if (replyTo === null) this.replyTo = undefined;
    else if (replyTo !== undefined && replyTo !== "" && mayReplyTo(replyTo)) this.replyTo = replyTo;
    else this.replyTo = writtenReplySubject(envelope);
  }

  /** The unique id; empty where the sender gave none. */
  get messageId(): string {
    return this.envelope.messageId;
  }
  /** The sender's role label. */
  get fromAgent(): string {
    return this.envelope.fromAgent;
  }
  /** The target: an account id, `capability:<name>`, or of a reply the requester. */
  get toAgent(): string {
    return this.envelope.toAgent;
  }
  /** `direct`, `request`, `reply`, `error`, `system`, `stream`, or another text. */
  get kind(): string {
    return this.envelope.kind;
  }
  /** When it was sent, as the sender wrote it. */
  get sentAt(): string {
    return this.envelope.sentAt;
  }
  /** The version of the envelope's schema. */
  get schemaVersion(): string {
    return this.envelope.schemaVersion;
  }
  /** The sender's account. */
  get fromAccountId(): string | undefined {
    return this.envelope.fromAccountId;
  }
  /** The sender's session. */
  get fromSessionTag(): string | undefined {
    return this.envelope.fromSessionTag;
  }
  /** The receiver's account; absent of messages to a capability. */
  get toAccountId(): string | undefined {
    return this.envelope.toAccountId;
  }
  /** The conversation. */
  get threadId(): string | undefined {
    return this.envelope.threadId;
  }
  /** The exchange. */
  get traceId(): string | undefined {
    return this.envelope.traceId;
  }
  /** The message that this one follows. */
  get parentMessageId(): string | undefined {
    return this.envelope.parentMessageId;
  }
  /** The name of the logical operation. */
  get idempotencyKey(): string | undefined {
    return this.envelope.idempotencyKey;
  }
  /** Life in milliseconds from `sentAt`; a bigint beyond the safe integers. */
  get ttlMs(): number | bigint | undefined {
    return this.envelope.ttlMs;
  }
  /** End of life, as the sender wrote it. */
  get expiresAt(): string | undefined {
    return this.envelope.expiresAt;
  }

  /** The payload as ordinary JavaScript values, read at the first access. Integers beyond 2^53 lose digits. */
  get payload(): unknown {
    return this.envelope.payload.value();
  }

  /** The payload's exact JSON text. */
  get payloadText(): string {
    return this.envelope.payload.text;
  }

  /** The payload without loss: integers beyond 2^53 as bigint, floats that would change as `JsonNumber`. */
  payloadLossless(): JsonValue {
    return this.envelope.payload.lossless();
  }

  /** The payload's text (PROTOCOL.md section 17): a text payload, or the `text` of an object, else its `error`; trimmed. */
  get text(): string | undefined {
    return extractText(this.envelope.payload.view());
  }

  /** Whether the sender waits for a reply. */
  get wantsReply(): boolean {
    return this.replyTo !== undefined;
  }

  /** The error code, if this is an error reply (kind `error`). */
  get errorCode(): string | undefined {
    return errorCodeOf(this.envelope);
  }

  /** The sentence about the error, if this is an error reply that has one. */
  get errorDetail(): string | undefined {
    if (this.kind !== KIND.ERROR) return undefined;
    return this.envelope.payload.view().asObject()?.get("detail").optText();
  }

  /**
   * The frame of a stream that this message is; undefined of other messages. Frames that come to an inbox are handled
   * concurrently: put them in order with a `StreamAssembler`.
   *
   * @throws {StreamFrameError} @throws {TooLarge} The payload's type is a stream's, and a member is wrong.
   */
  streamFrame(): StreamFrame | undefined {
    return parseStreamFrame(this.envelope.payload.view());
  }

  /**
   * The blob that this message refers to; undefined of other messages.
   *
   * @throws {BlobRefError} It is a reference that cannot be read.
   */
  blobRef(): BlobRef | undefined {
    return parseBlobRef(this.envelope.payload.view());
  }

  /** The envelope as a plain object with the member names of the wire. */
  toJSON(): AgentMessageObject {
    return envelopeToObject(this.envelope);
  }
}

/** The error code of an envelope of kind `error`. */
export function errorCodeOf(envelope: Readonly<Envelope>): string | undefined {
  if (envelope.kind !== KIND.ERROR) return undefined;
  return envelope.payload.view().asObject()?.get("error").optText();
}

/** The JSON member `reply_to`, if it is a reply subject of this network (0.7). */
function writtenReplySubject(envelope: Readonly<Envelope>): string | undefined {
  const written = envelope.replyTo?.view().asString();
  return written !== undefined && isReplySubject(written) ? written : undefined;
}
