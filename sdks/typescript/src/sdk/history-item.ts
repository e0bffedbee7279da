/** A message of the history (PROTOCOL.md sections 6 and 8). */

import type { JsonValue } from "../json/index.js";
import { extractText, type HistoryMessage, type HistoryPage } from "../protocol/index.js";

/** A message of the history, with its payload as ordinary values and as its exact text. Immutable. */
export class HistoryItem {
  /** The record as the registry gave it. */
  readonly record: Readonly<HistoryMessage>;

  constructor(record: Readonly<HistoryMessage>) {
    this.record = record;
  }

  /** The unique id. */
  get messageId(): string {
    return this.record.messageId;
  }
  /** The thread. */
  get threadId(): string {
    return this.record.threadId;
  }
  /** The message that this one follows. */
  get parentMessageId(): string | undefined {
    return this.record.parentMessageId;
  }
  /** The sender's role label. */
  get fromAgent(): string | undefined {
    return this.record.fromAgent;
  }
  /** The sender's account. */
  get fromAccountId(): string | undefined {
    return this.record.fromAccountId;
  }
  /** The sender's session. */
  get fromSessionTag(): string | undefined {
    return this.record.fromSessionTag;
  }
  /** The target: an account id, `capability:<name>`, or of a reply the requester. */
  get toAgent(): string {
    return this.record.toAgent;
  }
  /** The receiver's account. */
  get toAccountId(): string | undefined {
    return this.record.toAccountId;
  }
  /** `direct`, `request`, `reply`, `error`, `system`, `stream`, or another text. */
  get kind(): string {
    return this.record.kind;
  }
  /** The version of the envelope's schema. */
  get schemaVersion(): string {
    return this.record.schemaVersion;
  }
  /** The name of the logical operation. */
  get idempotencyKey(): string | undefined {
    return this.record.idempotencyKey;
  }
  /** The exchange. */
  get traceId(): string | undefined {
    return this.record.traceId;
  }
  /** When it was sent, as the sender wrote it; the time of receipt where that could not be read. */
  get sentAt(): string {
    return this.record.sentAt;
  }
  /** When the registry received it. */
  get receivedAt(): string {
    return this.record.receivedAt;
  }
  /** Life in milliseconds from `sentAt`; a bigint beyond the safe integers. */
  get ttlMs(): number | bigint | undefined {
    return this.record.ttlMs;
  }
  /** End of life, as the sender wrote it. */
  get expiresAt(): string | undefined {
    return this.record.expiresAt;
  }
  /** What the registry says of it, such as `payload_omitted`. */
  get metadata(): Record<string, unknown> {
    return this.record.metadata.value() as Record<string, unknown>;
  }
  /** Whether the payload was too large for any reply; it is null then. */
  get isPayloadOmitted(): boolean {
    return this.metadata.payload_omitted === true;
  }

  /** The payload as ordinary JavaScript values, read at the first access. Integers beyond 2^53 lose digits. */
  get payload(): unknown {
    return this.record.payload.value();
  }
  /** The payload's exact JSON text. */
  get payloadText(): string {
    return this.record.payload.text;
  }
  /** The payload without loss: integers beyond 2^53 as bigint, floats that would change as `JsonNumber`. */
  payloadLossless(): JsonValue {
    return this.record.payload.lossless();
  }
  /** The payload's text, as of a `Message`. */
  get text(): string | undefined {
    return extractText(this.record.payload.view());
  }

  /** For `JSON.stringify`. */
  toJSON(): HistoryMessage {
    return this.record;
  }
}

/** A page of the history, newest message first. */
export interface HistoryItems {
  /** The thread, of `threadMessages`. */
  readonly threadId?: string;
  /** How many messages a page has at most. */
  readonly limit: number;
  /** Where the next page begins; absent on the last one. */
  readonly nextCursor?: string;
  readonly messages: readonly HistoryItem[];
  /** When the registry answered. */
  readonly generatedAt: string;
}

/** A page with its messages as items. */
export function historyItems(page: HistoryPage): HistoryItems {
  const { messages, cursor: _cursor, ...rest } = page;
  return { ...rest, messages: messages.map((record) => new HistoryItem(record)) };
}
