/** Sending (PROTOCOL.md sections 11.1 to 11.4). */

import { KIND } from "../protocol/index.js";
import { acknowledgementOf } from "./acknowledgement.js";
import { optionsOf } from "./checks.js";
import { DeliveryError } from "./errors.js";
import { sendByMailbox } from "./mailbox/send.js";
import type { SendOptions, Sent } from "./options.js";
import { type Destination, forgetUsername, resolveRoute } from "./route.js";
import type { Session } from "./session.js";
import { monotonic, throwIfAborted } from "./waits.js";

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
  if (options.mailbox !== undefined && options.mailbox !== false) {
    return await sendByMailbox(session, destination, payload, options, options.mailbox);
  }
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
