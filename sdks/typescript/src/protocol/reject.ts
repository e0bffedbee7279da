/** Reasons to reject a message: every code with its detail text, in one table (PROTOCOL.md section 12). */

/** A refusal, or the failure of a handler: what receipts and error replies carry. */
export interface Reject {
  /** The code on the wire. */
  readonly code: string;
  /** What it means, for people. */
  readonly detail: string;
}

/** Codes with which a registry answers in the place of accounts and capabilities that cannot be reached (section 0.9). */
export const UNREACHABLE_CODES: readonly string[] = [
  "recipient_offline",
  "account_not_found",
  "capability_unavailable",
];

const VERSION_DETAIL = "message schema_version is not supported";
const TTL_DETAIL = "message ttl invalid or expired";

/** Every refusal of a receiver. */
export const REJECT = {
  /** Check 1: the body is larger than the receiver takes; sizes in bytes. */
  payloadTooLarge: (size: number, limit: number): Reject => ({
    code: "payload_too_large",
    detail: `message of ${size} bytes exceeds the receiver's limit of ${limit} bytes`,
  }),
  /** Checks 2 and 2a: the body is not a message, or a text in it is too long. */
  messageInvalid: (why: string): Reject => ({ code: "message_invalid", detail: why }),
  /** Check 2b: a header whose name begins with `Nats-`. */
  serverHeader: (name: string): Reject => ({
    code: "message_invalid",
    detail: `header ${name} is for the NATS server; messages have no header whose name begins with Nats-`,
  }),
  /** Check 2c: a status in the header block. */
  serverStatus: (status: number): Reject => ({
    code: "message_invalid",
    detail: `status ${status} is the NATS server's to give; messages have no status in their headers`,
  }),
  /** Check 3: the schema version has no readable major number. */
  schemaVersionInvalid: { code: "schema_version_invalid", detail: VERSION_DETAIL },
  /** Check 3: the major number is not supported. */
  unsupportedSchemaVersion: { code: "unsupported_schema_version", detail: VERSION_DETAIL },
  /** Check 4: a signature check failed; the code is one of `auth_*` (section 13.4). */
  auth: (code: string): Reject => ({ code, detail: "message signature verification failed" }),
  /** Check 5: the agent accepts no more messages. */
  shuttingDown: { code: "shutting_down", detail: "agent is shutting down" },
  /** Checks 6 and 12: the circuit breaker is open. */
  serviceDegraded: { code: "service_degraded", detail: "circuit breaker open" },
  /** Check 7: no end of life can be computed. */
  missingTtl: { code: "missing_ttl", detail: TTL_DETAIL },
  /** Check 7: the message has expired. */
  expired: { code: "expired", detail: TTL_DETAIL },
  /** Check 8: the sender exceeds its rate. */
  rateLimited: { code: "rate_limited", detail: "sender rate exceeded" },
  /** Check 9: the message id was seen before. */
  duplicateMessage: { code: "duplicate", detail: "message_id has already been processed" },
  /** Check 10: the idempotency key was seen before. */
  duplicateKey: { code: "duplicate", detail: "idempotency_key has already been processed" },
  /** Check 11: the backlog is full. */
  busy: { code: "busy", detail: "agent backlog is full" },
  /** Check 13: the handler took too long. */
  timeout: { code: "timeout", detail: "handler timed out" },
  /** Check 14: the handler failed. */
  handlerError: { code: "handler_error", detail: "handler raised an exception" },
} as const satisfies Record<string, Reject | ((...args: never[]) => Reject)>;
