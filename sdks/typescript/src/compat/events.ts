/** The event that asks to compact a thread (PROTOCOL.md section 9), by the names of the original's TypeScript client. */

import { RawJson } from "../json/index.js";
import { Message } from "../node/index.js";
import { parseCompactionRequired as parseEvent } from "../protocol/index.js";

/** A thread has grown too long. The original's registry sends this; the one of this project does not. */
export interface CompactionRequiredEvent {
  thread_id: string;
  status: string;
  message_count: number;
  pending_messages: number;
  byte_count: number;
  approx_tokens: number;
  soft_limit_tokens: number;
  hard_limit_tokens: number;
  keep_tail_messages: number;
  latest_checkpoint_end: number;
  requested_at?: string;
  reason?: string;
}

/** Whether a message, or the payload of one, is a `compaction_required` event. */
export function isCompactionRequired(source: unknown): boolean {
  const payload = source instanceof Message ? source.payload : payloadOf(source);
  if (typeof payload !== "object" || payload === null) return false;
  const { type } = payload as { type?: unknown };
  return typeof type === "string" && type.trim().toLowerCase() === "compaction_required";
}

/** Reads the event from a message or the payload of one; null for anything else, and for an event that names no thread. */
export function parseCompactionRequired(source: unknown): CompactionRequiredEvent | null {
  if (!isCompactionRequired(source)) return null;
  let raw: RawJson;
  try {
    raw = source instanceof Message ? source.envelope.payload : RawJson.from(payloadOf(source));
  } catch {
    // What is no JSON came from no message.
    return null;
  }
  const event = parseEvent(raw.view());
  if (event === undefined) return null;
  return {
    thread_id: event.threadId,
    status: event.status,
    message_count: event.messageCount,
    pending_messages: event.pendingMessages,
    byte_count: event.byteCount,
    approx_tokens: event.approxTokens,
    soft_limit_tokens: event.softLimitTokens,
    hard_limit_tokens: event.hardLimitTokens,
    keep_tail_messages: event.keepTailMessages,
    latest_checkpoint_end: event.latestCheckpointEnd,
    ...(event.requestedAt === undefined ? {} : { requested_at: event.requestedAt }),
    ...(event.reason === undefined ? {} : { reason: event.reason }),
  };
}

/** The payload of a message, or the value itself where it has no payload object. */
function payloadOf(source: unknown): unknown {
  if (typeof source !== "object" || source === null) return undefined;
  const { payload } = source as { payload?: unknown };
  return typeof payload === "object" && payload !== null && !Array.isArray(payload) ? payload : source;
}
