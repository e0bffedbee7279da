/** Compaction: the event that asks for it (PROTOCOL.md section 9). */

import { type JsonObject, type JsonView, trim } from "../json/index.js";
import { integerOr } from "./agent-info.js";
import { present } from "./decode.js";

/** A registry's wish that a thread be compacted. */
export interface CompactionRequired {
  /** The thread; never empty. */
  threadId: string;
  /** `needs_compaction` unless the event says otherwise. */
  status: string;
  /** Messages in the thread. */
  messageCount: number;
  /** Messages since the last checkpoint. */
  pendingMessages: number;
  /** Bytes of all payloads. */
  byteCount: number;
  /** The token estimate. */
  approxTokens: number;
  /** At least 1. */
  softLimitTokens: number;
  /** At least 1. */
  hardLimitTokens: number;
  /** How many of the latest messages should stay as they are. */
  keepTailMessages: number;
  /** Messages covered by checkpoints so far. */
  latestCheckpointEnd: number;
  /** When the registry asked. */
  requestedAt?: string;
  /** Why, for example `thread_token_limit_exceeded`. */
  reason?: string;
}

/** The payload of an envelope, or the value itself where it has no payload object, if it is a compaction event. */
function eventPayload(source: JsonView): JsonObject | undefined {
  const object = source.asObject();
  const payload = object?.get("payload").asObject() ?? object;
  const type = trim(payload?.get("type").text() ?? "").toLowerCase();
  return type === "compaction_required" ? payload : undefined;
}

/** Whether a message, or the payload of one, is a compaction event. */
export function isCompactionRequired(source: JsonView): boolean {
  return eventPayload(source) !== undefined;
}

/**
 * Reads the event from a message or the payload of one; `undefined` where it is none, or names no thread. Numbers that cannot be
 * read count as the least that is allowed.
 */
export function parseCompactionRequired(source: JsonView): CompactionRequired | undefined {
  const payload = eventPayload(source);
  const threadId = trim(payload?.get("thread_id").text() ?? "");
  if (payload === undefined || threadId === "") return undefined;
  const atLeast = (least: number, name: string) => Math.max(least, integerOr(payload.get(name), BigInt(least)));
  const text = (name: string) => (payload.get(name).isNull() ? undefined : payload.get(name).pythonText());
  return {
    threadId,
    status: payload.get("status").optText() ?? "needs_compaction",
    messageCount: atLeast(0, "message_count"),
    pendingMessages: atLeast(0, "pending_messages"),
    byteCount: atLeast(0, "byte_count"),
    approxTokens: atLeast(0, "approx_tokens"),
    softLimitTokens: atLeast(1, "soft_limit_tokens"),
    hardLimitTokens: atLeast(1, "hard_limit_tokens"),
    keepTailMessages: atLeast(0, "keep_tail_messages"),
    latestCheckpointEnd: atLeast(0, "latest_checkpoint_end"),
    ...present({ requestedAt: text("requested_at"), reason: text("reason") }),
  };
}
