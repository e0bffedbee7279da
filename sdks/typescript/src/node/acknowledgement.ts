/** How far a send waits, as its options say. */

import { checkedMs, described } from "./checks.js";
import type { Acknowledgement } from "./delivery.js";
import { InvalidArgumentError } from "./errors.js";
import { MIN_RECEIPT_TIMEOUT_MS } from "./limits.js";
import type { SendOptions, Until } from "./options.js";
import type { Session } from "./session.js";

const UNTIL: readonly Until[] = ["published", "accepted", "processed"];

/** How a send is acknowledged; undefined of one that is only published. */
export function acknowledgementOf(session: Session, options: SendOptions): Acknowledgement | undefined {
  const until = options.until ?? (options.requireDeliveryAck === false ? "published" : "accepted");
  if (!UNTIL.includes(until)) {
    throw new InvalidArgumentError(
      `until must be "published", "accepted" or "processed", not ${JSON.stringify(until)}`,
    );
  }
  if (until === "published") return undefined;
  const { limits } = session.config;
  return {
    attempts: count(options.retryAttempts ?? limits.sendRetryAttempts) + 1,
    waitMs: Math.max(
      checkedMs("receiptTimeoutMs", options.receiptTimeoutMs ?? limits.receiptTimeoutMs),
      MIN_RECEIPT_TIMEOUT_MS,
    ),
    processingMs:
      until === "processed"
        ? checkedMs("processingTimeoutMs", options.processingTimeoutMs ?? limits.processingTimeoutMs)
        : undefined,
  };
}

function count(value: number): number {
  if (typeof value !== "number" || Number.isNaN(value)) {
    throw new InvalidArgumentError(`retryAttempts must be a number, not ${described(value)}`);
  }
  return Math.max(0, Math.floor(value));
}
