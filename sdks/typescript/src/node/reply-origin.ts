/** Which account may give a reply, a frame or a cancellation (PROTOCOL.md sections 13.7 and 23.6). */

import { type Envelope, KIND, REGISTRY_ACCOUNT_PREFIX, UNREACHABLE_CODES } from "../protocol/index.js";
import type { MaybePromise, ReplyExpectation } from "./identity.js";
import { ISSUER_MISMATCH } from "./issuer.js";
import { errorCodeOf } from "./message.js";
import type { Session } from "./session.js";

/**
 * What is wrong with a reply, a frame or a cancel; undefined where nothing is. In secure mode the server proves the account that sent
 * it; under signed identity a signature does too. In token mode without signatures, each is accepted.
 *
 * @param subject The subject on which it came.
 */
export function verifyReply(
  session: Session,
  subject: string,
  envelope: Envelope,
  expectation: ReplyExpectation,
): MaybePromise<string | undefined> {
  const { connection, identity, accountId } = session;
  if (connection.issuer.isSecure) {
    if (!connection.issuer.vouchesFor(subject, envelope.fromAccountId)) return ISSUER_MISMATCH;
    const wrong = checkExpectation(envelope, expectation, accountId);
    if (wrong !== undefined) return wrong;
  }
  return identity.verifyReply(envelope, expectation);
}

/** Whether a reply is from the account that was asked, to this account, and about this request; what is wrong, or undefined. */
export function checkExpectation(
  reply: Envelope,
  expectation: ReplyExpectation,
  ownAccountId: string,
): string | undefined {
  const sender = reply.fromAccountId ?? "";
  const { accountId, messageId } = expectation;
  let isFromExpected = accountId === undefined || sender === accountId;
  if (sender !== accountId && sender.startsWith(REGISTRY_ACCOUNT_PREFIX)) {
    isFromExpected = reply.kind === KIND.ERROR && UNREACHABLE_CODES.includes(errorCodeOf(reply) ?? "");
  }
  if (!isFromExpected) return "reply_sender_mismatch";
  if (reply.toAccountId !== undefined && reply.toAccountId !== ownAccountId) return "reply_recipient_mismatch";
  // A recorded reply to an earlier request answers nothing.
  const names = reply.parentMessageId === messageId || reply.traceId === messageId;
  return names ? undefined : "reply_request_mismatch";
}
