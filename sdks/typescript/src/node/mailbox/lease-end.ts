/** What becomes of a leased message, by how its handling went (PROTOCOL.md section 21.4). */

import { type MailboxAckItem, REJECT, type Reject } from "../../protocol/index.js";

/** The end of a lease. */
export type LeaseEnd = Omit<MailboxAckItem, "lease">;

/** Delays before a message is delivered again, in milliseconds. */
const BUSY_DELAY_MS = 1_000;
const DEGRADED_DELAY_MS = 5_000;
/** The first delay after a failure of the handler; it doubles with each attempt. */
const FAILURE_DELAY_MS = 5_000;
const MAX_FAILURE_DELAY_MS = 300_000;
/** Characters of a detail: at most three bytes each, within the bound of the registry. */
const MAX_DETAIL_CHARACTERS = 256;

/** The message is delivered. */
const DONE: LeaseEnd = { outcome: "done" };
/** The session ends. */
export const RETURNED: LeaseEnd = { outcome: "retry", delayMs: 0, ...REJECT.shuttingDown };

/** A message whose sender's earlier one was returned. */
export function outOfOrder(delayMs: number): LeaseEnd {
  const detail = "an earlier message of the sender was returned";
  return { outcome: "retry", delayMs, code: "out_of_order", detail };
}

/** The end of a message that was refused, or whose handler has ended; `attempt` is counted from 1. */
export function leaseEnd(reject: Reject | undefined, attempt: number): LeaseEnd {
  if (reject === undefined) return DONE;
  const { code } = reject;
  const detail = reject.detail.slice(0, MAX_DETAIL_CHARACTERS);
  switch (code) {
    case "duplicate":
      return DONE;
    case "shutting_down":
      return { outcome: "retry", delayMs: 0, code, detail };
    case "busy":
    case "rate_limited":
      return { outcome: "retry", delayMs: BUSY_DELAY_MS, code, detail };
    case "service_degraded":
      return { outcome: "retry", delayMs: DEGRADED_DELAY_MS, code, detail };
    case "handler_error":
    case "timeout": {
      const delayMs = Math.min(FAILURE_DELAY_MS * 2 ** Math.max(attempt - 1, 0), MAX_FAILURE_DELAY_MS);
      return { outcome: "retry", delayMs, code, detail };
    }
    default:
      return { outcome: "dead", code, detail };
  }
}
