/** What the high-level calls give, and the error that a reply reports (PROTOCOL.md section 17). */

import { type JsonValue, RawJson, trim } from "../json/index.js";
import {
  type AgentRequestError,
  agentRequestError,
  InvalidArgumentError,
  type Message,
  type Sent,
} from "../node/index.js";
import { shown } from "../node/shown.js";
import { extractError, KIND } from "../protocol/index.js";

/** The members of an {@link SDKResult}. */
interface ResultParts {
  readonly threadId: string;
  readonly messageId: string;
  readonly parentMessageId: string | undefined;
  readonly traceId: string | undefined;
  readonly text?: string | undefined;
  readonly data?: RawJson | undefined;
  readonly delivery?: Sent["delivery"] | undefined;
  readonly detail?: string | undefined;
}

/** The result of a send or an ask. That there is one means that it went well: failures reject. */
export class SDKResult {
  /** Always true. */
  readonly ok = true;
  /** Always undefined; failures reject with an error. */
  readonly error: undefined = undefined;
  /** The thread: of the answer, or of the message that was sent. */
  readonly threadId: string;
  /** The id of the answer, or of the message that was sent. What comes next in the thread has it as its parent. */
  readonly messageId: string;
  /** The message that this one follows: of an answer usually the question. */
  readonly parentMessageId: string | undefined;
  /** The trace. */
  readonly traceId: string | undefined;
  /** The text of the answer: a text payload, or the `text` of an object. Undefined for a send. */
  readonly text: string | undefined;
  /** Of a send with `mailbox`: whether the receiver has the message, or the registry keeps it. */
  readonly delivery: "delivered" | "queued" | undefined;
  /** Of a message that is queued: why, and until when. */
  readonly detail: string | undefined;
  readonly #data: RawJson | undefined;

  /** @internal */
  constructor(parts: ResultParts) {
    this.threadId = parts.threadId;
    this.messageId = parts.messageId;
    this.parentMessageId = parts.parentMessageId;
    this.traceId = parts.traceId;
    this.text = parts.text;
    this.delivery = parts.delivery;
    this.detail = parts.detail;
    this.#data = parts.data;
  }

  /** The payload of the answer, or of a frame that was sent; undefined for other sends. Integers beyond 2^53 lose digits. */
  get data(): unknown {
    return this.#data?.value();
  }

  /** The exact JSON text of {@link data}. */
  get dataText(): string | undefined {
    return this.#data?.text;
  }

  /** {@link data} without loss: integers beyond 2^53 as bigint, floats that would change as `JsonNumber`. */
  dataLossless(): JsonValue | undefined {
    return this.#data?.lossless();
  }

  /** For `JSON.stringify`. */
  toJSON(): Record<string, unknown> {
    const { ok, threadId, messageId, parentMessageId, traceId, text, data, delivery, detail } = this;
    const result = { ok, threadId, messageId, parentMessageId, traceId, text, data };
    return delivery === undefined ? result : { ...result, delivery, detail };
  }
}

/** The result of a send. */
export function sentResult(sent: Sent, parentMessageId: string | undefined, data?: RawJson): SDKResult {
  const { threadId, messageId, traceId, delivery, detail } = sent;
  return new SDKResult({ threadId, messageId, parentMessageId, traceId, data, delivery, detail });
}

/** The result of an ask; what the answer does not say of itself is that of the question. */
export function answerResult(
  answer: Message,
  asked: {
    readonly threadId: string;
    readonly parentMessageId: string | undefined;
    readonly traceId: string | undefined;
  },
): SDKResult {
  return new SDKResult({
    threadId: answer.threadId ?? asked.threadId,
    messageId: answer.messageId,
    parentMessageId: answer.parentMessageId ?? asked.parentMessageId,
    traceId: answer.traceId ?? asked.traceId,
    text: answer.text,
    data: answer.envelope.payload,
  });
}

/** The error that an answer reports: a truthy `error` member of its payload, whatever its kind; undefined where it has none. */
export function reportedError(answer: Message): AgentRequestError | undefined {
  const payload = answer.envelope.payload.view();
  const code = extractError(payload);
  if (code === undefined) {
    // An error reply without a code is one all the same.
    return answer.kind === KIND.ERROR ? failed("error", "the error reply has no code", answer) : undefined;
  }
  const members = payload.asObject();
  const text = (name: string): string | undefined => trim(members?.get(name).text() ?? "") || undefined;
  const requested = text("request_message_id");
  return failed(code, text("detail") ?? "", answer, requested, text("trace_id"));
}

function failed(code: string, detail: string, reply: Message, messageId?: string, traceId?: string): AgentRequestError {
  return agentRequestError(shown(code), shown(detail), {
    messageId: messageId ?? reply.parentMessageId,
    traceId: traceId ?? reply.traceId,
    reply,
  });
}

/** `{"text": text}`. */
export function textPayload(text: string): RawJson {
  return RawJson.from({ text });
}

/** A text of the caller's. */
export function checkedText(text: string): string {
  if (typeof text === "string") return text;
  throw new InvalidArgumentError(
    `the text must be a string, not ${typeof text}: send other values with sendJson or askJson`,
  );
}
