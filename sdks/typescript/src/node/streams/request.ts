/** Requests whose reply is a stream. */

import { type Draft, KIND, type StreamLimits } from "../../protocol/index.js";
import { optionsOf } from "../checks.js";
import { NO_CONNECTION } from "../connection.js";
import { denialError } from "../denials.js";
import { ConnectionLostError, InvalidArgumentError, NotRunningError } from "../errors.js";
import { DEFAULT_REQUEST_TIMEOUT_MS, type RequestOptions } from "../options.js";
import { type Destination, forgetUsername, resolveRoute } from "../route.js";
import type { Session } from "../session.js";
import { TIMED_OUT, withDeadline } from "../waits.js";
import { Cancellation } from "./cancel.js";
import { DEFAULT_STREAM_BUFFER, Inflow, type StreamBuffer } from "./inflow.js";
import { type ReaderParts, ReplyStream, type RequestOnItsWay } from "./reader.js";
import { streamsOf } from "./session-streams.js";

/** How long a stream may be silent by default, in milliseconds. */
export const DEFAULT_STREAM_IDLE_TIMEOUT_MS = 30_000;

/** The options of a request for a stream. */
export interface StreamRequestOptions extends RequestOptions {
  /** How long to wait for the first frame, or for an ordinary reply, in milliseconds. Default 5,000. */
  readonly timeoutMs?: number | undefined;
  /** How long to wait for each further frame, in milliseconds. Default 30,000. */
  readonly idleTimeoutMs?: number | undefined;
  /** How long the whole stream may take, in milliseconds. Default: as long as it goes on. */
  readonly totalTimeoutMs?: number | undefined;
  /** What may wait for the reader before the stream fails as `too_slow`. Default 16,384 frames, 32 MiB. */
  readonly buffer?: Partial<StreamBuffer> | undefined;
  /**
   * What may wait for frames that come later than their successors, and how long the text may be. Default 65,536 frames and
   * 64 MiB; 64 MiB of text.
   */
  readonly limits?: Partial<StreamLimits> | undefined;
}

/**
 * Makes a request, and reads its reply piece by piece. An ordinary reply counts as one piece and the end.
 *
 * @throws {InvalidArgumentError} A time is no number. @throws {JsonError} The payload cannot be written as JSON.
 */
export function requestStream(
  session: Session,
  destination: Destination,
  payload: unknown,
  given: StreamRequestOptions,
): ReplyStream {
  const options = optionsOf(given);
  const waits = {
    firstMs: time("timeoutMs", options.timeoutMs, DEFAULT_REQUEST_TIMEOUT_MS),
    idleMs: time("idleTimeoutMs", options.idleTimeoutMs, DEFAULT_STREAM_IDLE_TIMEOUT_MS),
    totalMs: time("totalTimeoutMs", options.totalTimeoutMs, Infinity),
  };
  bounds("buffer", options.buffer);
  // Of the payload as it is now: it may be changed before the target is resolved.
  const draft = session.composer.draft(payload, options, KIND.REQUEST, waits.firstMs);
  const start: ReaderParts["start"] = (stream) =>
    begin(stream, { session, destination, draft, options, timeoutMs: waits.firstMs });
  return new ReplyStream({ waits, limits: bounds("limits", options.limits), signal: options.signal, start });
}

interface Beginning {
  readonly session: Session;
  readonly destination: Destination;
  readonly draft: ReturnType<Session["composer"]["draft"]>;
  readonly options: StreamRequestOptions;
  readonly timeoutMs: number;
}

async function begin(stream: ReplyStream, beginning: Beginning): Promise<RequestOnItsWay> {
  const { session, destination, draft, options, timeoutMs } = beginning;
  const { composer, connection, replies, usernames } = session;
  const route = await resolveRoute(usernames, destination, "request", options.signal);
  const { envelope, body } = await composer.composeTo(route, draft);
  const { messageId } = envelope;
  const inflow = new Inflow(
    session,
    { accountId: route.accountId, messageId },
    { ...DEFAULT_STREAM_BUFFER, ...bounds("buffer", options.buffer) },
  );
  const expected = replies.expect({
    arrived: (message) => inflow.arrived(message),
    abandoned: () => stream.fail(new NotRunningError("the node was closed before the reply came")),
  });
  if (expected === undefined) throw new NotRunningError();
  const streams = streamsOf(session);
  const cancelDraft: Omit<Draft, "payload"> = {
    ...composer.draft(null, {}, KIND.STREAM),
    toAgent: route.toAgent,
    toAccountId: route.accountId,
    traceId: envelope.traceId,
    threadId: envelope.threadId,
    parentMessageId: messageId,
  };
  const cancellation = new Cancellation(session, expected.subject, cancelDraft);
  inflow.onSender = (accountId) => cancellation.frameFrom(accountId);
  const forget = streams.add({ nodeCloses: () => stream.closed() });
  const stopListening = connection.denials.listen((denial) => {
    const subject = denial.action === "publish" ? connection.issuer.publishSubject(route.subject) : replies.wildcard;
    if (denial.subject === subject) stream.fail(denialError(denial));
  });
  // At once, though the reader has still to find out: each further frame would be in vain.
  const stopSender = (streamId: string | undefined): Promise<void> => {
    expected.end();
    streams.drop(expected.number, cancellation, streamId !== undefined);
    return cancellation.publish(streamId);
  };
  inflow.onOverrun = () => void stopSender(stream.streamId);
  const way: RequestOnItsWay = {
    sent: { messageId, threadId: envelope.threadId ?? "", traceId: envelope.traceId ?? "" },
    subject: route.subject,
    inflow,
    unreachable: () => forgetUsername(usernames, route),
    end: async (cancel) => {
      expected.end();
      stopListening();
      forget();
      if (cancel !== undefined) await stopSender(cancel.streamId);
    },
  };
  if (!stream.expecting(way)) return way;
  const reconnected = connection.connected();
  if (reconnected !== undefined && (await withDeadline(reconnected, timeoutMs, options.signal)) === TIMED_OUT) {
    throw new ConnectionLostError(`the message could not be published: ${NO_CONNECTION}`);
  }
  if (stream.hasEnded) return way;
  connection.publish(route.subject, body, expected.subject);
  stream.published();
  return way;
}

function time(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value !== "number" || Number.isNaN(value)) {
    throw new InvalidArgumentError(`${name} must be a number of milliseconds`);
  }
  return Math.max(0, value);
}

/** The bounds that are given, without those that are left undefined. */
function bounds<Bounds extends object>(name: string, given: Partial<Bounds> | undefined): Partial<Bounds> {
  const entries = Object.entries(optionsOf(given, name)).filter(([, bound]) => bound !== undefined);
  for (const [bound, value] of entries) {
    if (typeof value !== "number" || Number.isNaN(value)) {
      throw new InvalidArgumentError(`${name}.${bound} must be a number`);
    }
  }
  return Object.fromEntries(entries) as Partial<Bounds>;
}
