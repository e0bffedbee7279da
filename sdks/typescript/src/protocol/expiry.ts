/** Schema version and expiry of messages (PROTOCOL.md section 12, checks 3 and 7). */

import { integerText, trim } from "../json/index.js";
import { DEFAULT_SCHEMA_VERSION, type Envelope, SCHEMA_VERSION } from "./envelope.js";
import { REJECT, type Reject } from "./reject.js";
import { Timestamp } from "./time.js";

/** The clock skew that a receiver allows by default, in milliseconds (section 0.7). */
export const DEFAULT_CLOCK_SKEW_MS = 2000;
const SUPPORTED_MAJOR = 1n;

/** The trimmed schema version where its major number is supported (blank: `1.0`), else the refusal. */
export function judgeSchemaVersion(version: string): { version: string } | { reject: Reject } {
  // What agents send: an integer as Python reads it need not be looked for.
  if (version === SCHEMA_VERSION || version === DEFAULT_SCHEMA_VERSION) return { version };
  const trimmed = trim(version) || DEFAULT_SCHEMA_VERSION;
  const major = integerText(trimmed.split(".", 1)[0] ?? "");
  if (major === undefined) return { reject: REJECT.schemaVersionInvalid };
  return major === SUPPORTED_MAJOR ? { version: trimmed } : { reject: REJECT.unsupportedSchemaVersion };
}

/** The members of an envelope that say how long it lives. */
export type Lifetime = Pick<Envelope, "sentAt" | "ttlMs" | "expiresAt">;

/**
 * The end of a message's life: the earlier of `expires_at` and `sent_at` plus `ttl_ms` (at least 0), as far as they can be read.
 * A sum beyond the year 9999 stops there.
 */
export function expiryDeadline(message: Lifetime): Timestamp | undefined {
  const stated = message.expiresAt === undefined ? undefined : Timestamp.parseExact(message.expiresAt);
  const ttl = message.ttlMs;
  const sent = ttl === undefined ? undefined : Timestamp.parseExact(message.sentAt)?.addMillis(ttl < 0 ? 0 : ttl);
  if (stated === undefined || sent === undefined) return stated ?? sent;
  return stated.compare(sent) <= 0 ? stated : sent;
}

/** The refusal of a message that may not be handled any more at `now`, by a clock that may be ahead by `clockSkewMs`. */
export function judgeExpiry(message: Lifetime, now: Timestamp, clockSkewMs: number): Reject | undefined {
  const end = expiryDeadline(message);
  if (end === undefined) return REJECT.missingTtl;
  return now.compare(end.addMillis(clockSkewMs)) >= 0 ? REJECT.expired : undefined;
}
