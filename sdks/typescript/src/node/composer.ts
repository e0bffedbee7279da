/** Composes what a session publishes, messages and receipts, and signs it where the node signs. */

import { fitsInside, MAX_DEPTH, RawJson } from "../json/index.js";
import {
  answering,
  compose,
  type Draft,
  type Envelope,
  encodeEnvelope,
  errorReply,
  newMessageId,
  type Receipt,
  type Reject,
  receiptFor,
  type Sender,
  Timestamp,
} from "../protocol/index.js";
import { optionalText } from "./checks.js";
import { InvalidArgumentError } from "./errors.js";
import { type Identity, isPending, type MaybePromise } from "./identity.js";
import type { MessageOptions } from "./options.js";
import type { Route } from "./route.js";

/**
 * The longest lifetime that a request gets from its timeout: receivers remember message ids for so long, and one that lives longer
 * can be replayed.
 */
const MAX_TIMEOUT_TTL_MS = 600_000;

/** A draft without an address. */
export type Unaddressed = Omit<Draft, "toAgent" | "toAccountId">;

/** A message that is ready to be published. */
export interface Composed {
  readonly envelope: Envelope;
  /** The wire text, ASCII. */
  readonly body: string;
}

/** What a composer writes into every message. */
export interface ComposerSettings {
  readonly schemaVersion: string | undefined;
  readonly defaultTtlMs: number;
  readonly maxPayloadBytes: number;
}

/** Composes and signs in the name of one session. */
export class Composer {
  readonly sender: Sender;
  readonly identity: Identity;
  readonly #settings: ComposerSettings;

  constructor(sender: Sender, identity: Identity, settings: ComposerSettings) {
    this.sender = sender;
    this.identity = identity;
    this.#settings = settings;
  }

  /**
   * A draft of a payload with the options of a call. A request is waited for `waitMs`: unless it names a lifetime, it lives as long,
   * so that a receiver which takes it late does not take it for one whose requester has given up.
   *
   * @throws {JsonError} The payload cannot be written as JSON.
   */
  draft(payload: unknown, options: MessageOptions, defaultKind: string, waitMs = 0): Unaddressed {
    const { schemaVersion, defaultTtlMs } = this.#settings;
    const kind = optionalText("kind", options.kind) || defaultKind;
    const ttlMs = ttlOf(options.ttlMs, Math.max(defaultTtlMs, Math.floor(Math.min(waitMs, MAX_TIMEOUT_TTL_MS))));
    return {
      payload: RawJson.from(payload),
      kind,
      ttlMs,
      schemaVersion,
      traceId: optionalText("traceId", options.traceId),
      threadId: optionalText("threadId", options.threadId),
      parentMessageId: optionalText("parentMessageId", options.parentMessageId),
      idempotencyKey: optionalText("idempotencyKey", options.idempotencyKey),
    };
  }

  /** A message with its id and time. */
  compose(draft: Draft): MaybePromise<Envelope> {
    return this.identity.signMessage(compose(draft, this.sender, draft.messageId ?? newMessageId(), Timestamp.now()));
  }

  /**
   * A message to a route.
   *
   * @throws as {@link composeFinished}.
   */
  composeTo(route: Route, draft: Unaddressed): MaybePromise<Composed> {
    return this.composeFinished({
      toAgent: route.toAgent,
      toAccountId: route.accountId,
      payload: draft.payload,
      kind: draft.kind,
      ttlMs: draft.ttlMs,
      traceId: draft.traceId,
      threadId: draft.threadId,
      parentMessageId: draft.parentMessageId,
      idempotencyKey: draft.idempotencyKey,
      schemaVersion: draft.schemaVersion,
      mailbox: draft.mailbox,
      messageId: draft.messageId,
    });
  }

  /**
   * A message whose draft lacks nothing.
   *
   * @throws {InvalidArgumentError} `message_too_large`; `invalid_payload`: nested too deeply.
   */
  composeFinished(draft: Draft): MaybePromise<Composed> {
    checkNesting(draft.payload);
    return this.#encoded(this.compose(draft));
  }

  /**
   * A message that answers another one.
   *
   * @throws as {@link composeFinished}.
   */
  composeAnswer(request: Readonly<Envelope>, draft: Unaddressed): MaybePromise<Composed> {
    return this.composeFinished(answering(draft, request));
  }

  /** The error reply to a message that was rejected (5.4). */
  errorReply(request: Readonly<Envelope>, reject: Reject): MaybePromise<Envelope> {
    return this.identity.signMessage(errorReply(request, reject, this.sender, newMessageId(), Timestamp.now()));
  }

  /** The receipt for a message (5.2). */
  receipt(
    message: Readonly<Envelope>,
    status: "accepted" | "processed" | "rejected",
    reject: Reject | undefined,
  ): MaybePromise<Receipt> {
    return this.identity.signReceipt(receiptFor(message, status, this.sender, Timestamp.now(), reject));
  }

  #encoded(envelope: MaybePromise<Envelope>): MaybePromise<Composed> {
    return isPending(envelope) ? envelope.then((signed) => this.#encode(signed)) : this.#encode(envelope);
  }

  #encode(envelope: Envelope): Composed {
    const body = encodeEnvelope(envelope);
    const limit = this.#settings.maxPayloadBytes;
    if (body.length > limit) {
      const text = `message of ${body.length} bytes exceeds max_payload_bytes=${limit}`;
      throw new InvalidArgumentError(text, "message_too_large");
    }
    return { envelope, body };
  }
}

/** The envelope is a level too, and nobody could read a message that has more levels than a text may have (4.1). */
function checkNesting(payload: RawJson): void {
  if (fitsInside(payload.text, 1)) return;
  const text = `the payload is nested too deeply: a message has room for ${MAX_DEPTH - 1} levels of arrays and objects`;
  throw new InvalidArgumentError(text, "invalid_payload");
}

function ttlOf(ttlMs: number | undefined, defaultTtlMs: number): number {
  if (ttlMs === undefined) return defaultTtlMs;
  if (typeof ttlMs !== "number" || !Number.isFinite(ttlMs)) {
    throw new InvalidArgumentError(`ttlMs must be a number of milliseconds, not ${String(ttlMs).slice(0, 64)}`);
  }
  return Math.max(1, Math.floor(ttlMs));
}
