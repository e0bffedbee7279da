/** Opening a stream, as a reply or to an inbox. */

import { RawJson, trim } from "../../json/index.js";
import { answering, cancelSubject, controlSubject, KIND, prefixedId } from "../../protocol/index.js";
import { acknowledgementOf } from "../acknowledgement.js";
import { optionsOf } from "../checks.js";
import { NoReplySubjectError } from "../errors.js";
import type { Message } from "../message.js";
import type { MessageOptions, SendOptions } from "../options.js";
import { type Destination, resolveRoute } from "../route.js";
import type { Session } from "../session.js";
import { throwIfAborted } from "../waits.js";
import { FrameWriter } from "./frame-writer.js";
import { type StreamContent, StreamSender } from "./sender.js";

/**
 * The options of a stream that is a reply. Those of messages are for every frame's message; an idempotency key gets the frame's
 * number appended.
 */
export interface ReplyStreamOptions extends MessageOptions {
  /** The stream's id. Default: a fresh one. A blank one is none. */
  readonly streamId?: string | undefined;
  /** The role of the speaker, in every frame. Default `assistant`. */
  readonly role?: string | undefined;
  /** The content type of the pieces, in every frame. Default `text/plain`. */
  readonly contentType?: string | undefined;
  /** About the stream, such as the model: any JSON. Programs of the Python implementation read only an object. */
  readonly metadata?: unknown;
}

/**
 * The options of a stream to an inbox. Its default trace is the stream's id. With `until: "published"` frames go as fast as they
 * come, and what the receiver refuses is lost; by default each waits for its receipt.
 */
export interface SendStreamOptions
  extends ReplyStreamOptions,
    Pick<SendOptions, "until" | "retryAttempts" | "receiptTimeoutMs" | "processingTimeoutMs" | "signal"> {}

/**
 * Opens a stream as the reply to a message, and sends its start.
 *
 * @throws {NoReplySubjectError} The sender waits for no reply.
 */
export async function replyStream(
  session: Session,
  request: Message,
  given: ReplyStreamOptions,
): Promise<StreamSender> {
  const { replyTo } = request;
  if (replyTo === undefined) throw new NoReplySubjectError();
  const options = optionsOf(given);
  const content = contentOf(options);
  const draft = answering(session.composer.draft(null, options, KIND.STREAM), request.envelope);
  const writer = new FrameWriter(session, {
    subject: replyTo,
    draft,
    accountId: draft.toAccountId,
    acknowledgement: undefined,
  });
  const { issuer } = session.connection;
  const cancels = issuer.isSecure ? issuer.subscribeSubject(controlSubject(session.accountId)) : cancelSubject(replyTo);
  // 13.7: a cancel comes from the account that asked, and names the request.
  const expectation = { accountId: draft.toAccountId, messageId: draft.parentMessageId ?? "" };
  return await StreamSender.open(writer, content, cancels, expectation);
}

/** Opens a stream to the inbox of a target, and sends its start. */
export async function sendStream(
  session: Session,
  destination: Destination,
  given: SendStreamOptions,
): Promise<StreamSender> {
  const options = optionsOf(given);
  throwIfAborted(options.signal);
  const acknowledgement = acknowledgementOf(session, options);
  const content = contentOf(options);
  const draft = session.composer.draft(null, { traceId: content.streamId, ...withoutAbsent(options) }, KIND.STREAM);
  const route = await resolveRoute(session.usernames, destination, "send", options.signal);
  const { subject, toAgent, accountId } = route;
  const writer = new FrameWriter(session, {
    subject,
    draft: { ...draft, toAgent, toAccountId: accountId },
    accountId,
    acknowledgement,
  });
  return await StreamSender.open(writer, content);
}

/** @throws {JsonError} The metadata cannot be written as JSON. */
function contentOf(options: ReplyStreamOptions): StreamContent {
  const { streamId, role, contentType, metadata } = options;
  return {
    streamId: streamId === undefined || trim(streamId) === "" ? prefixedId("stream") : trim(streamId),
    role,
    contentType,
    metadata: metadata === undefined ? undefined : RawJson.from(metadata),
  };
}

function withoutAbsent(options: MessageOptions): MessageOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
