/** What is asked of both implementations: how a question is made, and how this one answers it. */

import {
  ascii,
  canonical,
  decodeUtf8,
  floatText,
  JsonObject,
  JsonView,
  persisted,
  RawJson,
  trim,
  wire,
} from "../../src/json/index.js";
import {
  blobRefPayload,
  Claims,
  checkEnvelope,
  decodeAgentInfo,
  decodeEnvelope,
  decodeReceipt,
  encodeAgentInfo,
  encodeEnvelope,
  encodeReceipt,
  extractError,
  extractText,
  parseBlobRef,
  parseCompactionRequired,
  parseStreamFrame,
  streamFramePayload,
} from "../../src/protocol/index.js";
import { assemble, streamPayloads } from "./assembly.js";
import { attempt, type Kind } from "./kind.js";
import type { Random } from "./random.js";
import { expiry, keyFile, subject, target, time, username, version } from "./rules.js";

const LIMIT = 2n ** 127n;

/** Rust keeps integers of 128 bits, and stops there. */
export function clamped(value: bigint): bigint {
  if (value >= LIMIT) return LIMIT - 1n;
  return value < -LIMIT ? -LIMIT : value;
}

/** Rust's counters have 64 bits; here they stop at the largest safe integer. */
const shownCount = (value: number) => (value === Number.MAX_SAFE_INTEGER ? "large" : String(value));

const ENVELOPE = [
  "message_id",
  "from_agent",
  "to_agent",
  "payload",
  "sent_at",
  "kind",
  "schema_version",
  "from_session_tag",
  "from_account_id",
  "to_account_id",
  "ttl_ms",
  "expires_at",
  "trace_id",
  "thread_id",
  "parent_message_id",
  "idempotency_key",
  "reply_to",
  "mailbox",
  "auth",
];
const RECEIPT = [
  "message_id",
  "status",
  "event_at",
  "from_account_id",
  "from_session_tag",
  "to_account_id",
  "trace_id",
  "thread_id",
  "code",
  "detail",
  "auth",
  "parent_message_id",
];
const FRAME = [
  "type",
  "stream_id",
  "seq",
  "role",
  "content_type",
  "delta",
  "text",
  "result",
  "error",
  "detail",
  "metadata",
  "started_at",
  "finished_at",
];
const BLOB = [
  "type",
  "blob_id",
  "storage",
  "filename",
  "name",
  "mime_type",
  "size_bytes",
  "size",
  "sha256",
  "created_at",
  "metadata",
  "text",
];
const COUNTS = [
  "message_count",
  "pending_messages",
  "byte_count",
  "approx_tokens",
  "soft_limit_tokens",
  "hard_limit_tokens",
  "keep_tail_messages",
  "latest_checkpoint_end",
];

const quoted = (text: string) => JSON.stringify(text);
const maybeDamaged = (random: Random, text: string) => (random.oneIn(3) ? random.damaged(text) : text);

const json: Kind = {
  weight: 6,
  make: (random) => [maybeDamaged(random, random.oneIn(6) ? random.number() : random.json(4))],
  answer: (input: string | Uint8Array) =>
    attempt(() => {
      const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
      // An empty body is an object, and no JSON.
      if (bytes.length > 0) JsonObject.parseBody(bytes);
      const { text } = RawJson.parse(decodeUtf8(bytes));
      return [canonical(text), wire(text), persisted(text), ascii(text)];
    }),
};

const float: Kind = {
  weight: 3,
  make: (random) => {
    const digits = (length: number) => Array.from({ length }, () => random.below(16).toString(16)).join("");
    // Doubles of this size are often as near to one decimal of 16 digits as to the next.
    return [random.oneIn(3) ? `${random.pick(["42f", "430", "c31", "432"])}${digits(13)}` : digits(16)];
  },
  answer: (bits: string) => {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, BigInt(`0x${bits}`));
    return [floatText(view.getFloat64(0))];
  },
};

const coerce: Kind = {
  weight: 4,
  make: (random) => [random.json(2, false)],
  answer: (text: string) => {
    const view = JsonView.parse(text);
    return [String(view.isTruthy()), view.text(), view.pythonText(), shownInt(view)];
  },
};

function shownInt(view: JsonView): string | undefined {
  const [int, error] = attempt(() => [view.int()?.toString()]);
  return error ?? (int === undefined ? undefined : String(clamped(BigInt(int))));
}

const trimmed: Kind = { weight: 1, make: (random) => [random.text()], answer: (text: string) => [trim(text)] };

const envelope: Kind = {
  weight: 5,
  make: (random) => {
    const known = (name: string) => {
      if (name === "sent_at" || name === "expires_at") return quoted(random.time());
      if (name === "payload") return random.json(3);
      return name === "ttl_ms"
        ? random.pick(["30000", "-5", "1e3", '"7"', "1e400", "99999999999999999999"])
        : quoted(random.text());
    };
    return [maybeDamaged(random, random.record(ENVELOPE, known))];
  },
  answer: (body: string | Uint8Array) =>
    attempt(() => {
      const read = decodeEnvelope(typeof body === "string" ? body : Uint8Array.from(body));
      if (read.ttlMs !== undefined) read.ttlMs = clamped(BigInt(read.ttlMs));
      const [, tooLarge] = attempt(() => {
        checkEnvelope(read);
        return [];
      });
      return [encodeEnvelope(read), tooLarge];
    }),
};

const receipt: Kind = {
  weight: 2,
  make: (random) => [
    maybeDamaged(
      random,
      random.record(RECEIPT, () => quoted(random.text())),
    ),
  ],
  answer: (body: string | Uint8Array) => attempt(() => [encodeReceipt(decodeReceipt(body))]),
};

const agent: Kind = {
  weight: 2,
  make: (random) => [
    random.record(
      ["agent_id", "name", "capabilities", "metadata", "account_id", "username", "session_tag", "last_seen"],
      () => quoted(random.text()),
    ),
  ],
  answer: (text: string) =>
    attempt(() => {
      const object = JsonObject.parseBody(text);
      return [object && encodeAgentInfo(decodeAgentInfo(object))];
    }),
};

const claims: Kind = {
  weight: 2,
  make: (random) => [random.json(3, false)],
  answer: (text: string) => [Claims.read(JsonView.parse(text))?.signedText()],
};

const frame: Kind = {
  weight: 3,
  make: (random) => {
    const known = (name: string) => {
      if (name === "type")
        return quoted(random.pick(["stream_start", " Stream_Delta ", "stream_end", "STREAM_ERROR", "stream_other"]));
      if (name === "seq") return random.pick(["0", "1", "7.9", '"3"', "-1", "1e400", "null", "true"]);
      return quoted(random.text());
    };
    return [random.record(FRAME, known)];
  },
  answer: (text: string) =>
    attempt(() => {
      const read = parseStreamFrame(JsonView.parse(text));
      return [read && streamFramePayload(read).text];
    }),
};

const assembly: Kind = {
  weight: 2,
  make: (random) => [`[${streamPayloads(random).join(",")}]`],
  answer: (text: string) => assemble(text),
};

const blob: Kind = {
  weight: 2,
  make: (random) => {
    const known = (name: string) => {
      if (name === "type") return quoted(random.pick(["blob_ref", " BLOB_REF ", "blob"]));
      if (name === "sha256") return quoted(random.pick(["ab".repeat(32), "AB".repeat(32), "ab", ""]));
      return name.startsWith("size")
        ? random.pick(["7", '"12"', "-1", "1e3", "18446744073709551616", "null"])
        : quoted(random.text());
    };
    return [random.record(BLOB, known)];
  },
  answer: (text: string) =>
    attempt(() => {
      const read = parseBlobRef(JsonView.parse(text));
      return [read && blobRefPayload(read).text];
    }),
};

const texts: Kind = {
  weight: 2,
  make: (random) => [
    random.oneIn(3) ? random.json(2, false) : random.record(["text", "error", "detail"], () => quoted(random.text())),
  ],
  answer: (text: string) => [extractText(JsonView.parse(text)), extractError(JsonView.parse(text))],
};

const compaction: Kind = {
  weight: 2,
  make: (random) => {
    const known = (name: string) => {
      if (name === "type") return quoted(random.pick(["compaction_required", " Compaction_Required ", "other"]));
      return COUNTS.includes(name) ? random.pick(["5", "-5", '"12"', "1e400", "5.9", "true"]) : quoted(random.text());
    };
    const event = random.record(["type", "thread_id", "status", "requested_at", "reason", ...COUNTS], known);
    return [random.oneIn(3) ? `{"payload":${event}}` : event];
  },
  answer: (text: string) => {
    const event = parseCompactionRequired(JsonView.parse(text));
    if (event === undefined) return [undefined];
    const numbers = [
      event.messageCount,
      event.pendingMessages,
      event.byteCount,
      event.approxTokens,
      event.softLimitTokens,
      event.hardLimitTokens,
      event.keepTailMessages,
      event.latestCheckpointEnd,
    ];
    return [event.threadId, event.status, numbers.map(shownCount).join(","), event.requestedAt, event.reason];
  },
};

/** Every kind of question, by its name. */
export const KINDS: Readonly<Record<string, Kind>> = {
  json,
  float,
  coerce,
  trim: trimmed,
  envelope,
  receipt,
  agent,
  claims,
  frame,
  assemble: assembly,
  blob,
  texts,
  compaction,
  username,
  target,
  key_file: keyFile,
  time,
  expiry,
  version,
  subject,
};
