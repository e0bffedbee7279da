/** Sending (PROTOCOL.md sections 11.1 to 11.4). */

import { KIND } from "../protocol/index.js";
import { checkedMs, described, optionsOf } from "./checks.js";
import type { Acknowledgement } from "./delivery.js";
import { DeliveryError, InvalidArgumentError } from "./errors.js";
import { MIN_RECEIPT_TIMEOUT_MS } from "./limits.js";
import type { SendOptions, Sent, Until } from "./options.js";
import { type Destination, forgetUsername, resolveRoute } from "./route.js";
import type { Session } from "./session.js";
import { monotonic, throwIfAborted } from "./waits.js";

const UNTIL: readonly Until[] = ["published", "accepted", "processed"];

/** Sends a message, and waits for it as far as its options say. */
export async function send(
  session: Session,
  destination: Destination,
  payload: unknown,
  given: SendOptions,
): Promise<Sent> {
  const started = monotonic();
  const options = optionsOf(given);
  throwIfAborted(options.signal);
  const acknowledgement = acknowledgementOf(session, options);
  const draft = session.composer.draft(payload, options, KIND.DIRECT);
  const resolving = resolveRoute(session.usernames, destination, "send", options.signal);
  const route = resolving instanceof Promise ? await resolving : resolving;
  const composing = session.composer.composeTo(route, draft);
  const { envelope, body } = composing instanceof Promise ? await composing : composing;
  const { messageId } = envelope;
  const sent: Sent = { messageId, threadId: envelope.threadId ?? "", traceId: envelope.traceId ?? "" };
  if (acknowledgement === undefined) {
    session.connection.publish(route.subject, body);
    await session.connection.pressure(options.signal);
    return sent;
  }
  const { subject, accountId } = route;
  try {
    const receipt = await session.delivery.deliver(
      { subject, messageId, accountId, body },
      acknowledgement,
      options.signal,
    );
    if (accountId !== undefined) session.metrics.sendAccount.record(monotonic() - started);
    return { ...sent, receipt };
  } catch (error) {
    if (!(error instanceof DeliveryError && error.wasAccepted)) forgetUsername(session.usernames, route);
    throw error;
  }
}

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
