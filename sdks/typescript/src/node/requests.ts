/** Requests: a message and its reply (PROTOCOL.md section 11.5). */

import type { Msg } from "@nats-io/nats-core";
import type { Envelope } from "../protocol/index.js";
import { decodeReply, KIND, UNREACHABLE_CODES } from "../protocol/index.js";
import { checkedMs, optionsOf } from "./checks.js";
import type { Composed } from "./composer.js";
import { NO_CONNECTION } from "./connection.js";
import type { Deadline } from "./deadlines.js";
import { denialError } from "./denials.js";
import {
  ConnectionLostError,
  InvalidReplyError,
  NoRespondersError,
  NotRunningError,
  RequestTimeoutError,
} from "./errors.js";
import { isPending, type MaybePromise, type ReplyExpectation } from "./identity.js";
import { Message } from "./message.js";
import { DEFAULT_REQUEST_TIMEOUT_MS, type RequestOptions } from "./options.js";
import { statusOf } from "./registry-client.js";
import type { ExpectedReply, ReplyWaiter } from "./reply-mux.js";
import { verifyReply } from "./reply-origin.js";
import { type Destination, forgetUsername, type Route, resolveRoute } from "./route.js";
import type { Session } from "./session.js";
import { shownError } from "./shown.js";
import { monotonic, throwIfAborted } from "./waits.js";

/** Replies to one request that may be verified at the same time: all but one are forged. */
const VERIFY_CONCURRENCY = 64;

/**
 * Makes a request and returns its reply; an error reply is returned like any other.
 *
 * @throws {RequestTimeoutError} @throws {NoRespondersError} @throws {InvalidReplyError} @throws {ConnectionLostError}
 * @throws {PermissionDeniedError} and what {@link resolveRoute} and the composer throw.
 */
export async function request(
  session: Session,
  destination: Destination,
  payload: unknown,
  given: RequestOptions,
): Promise<Message> {
  const started = monotonic();
  const options = optionsOf(given);
  throwIfAborted(options.signal);
  const timeoutMs = checkedMs("timeoutMs", options.timeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS);
  const draft = session.composer.draft(payload, options, KIND.REQUEST, timeoutMs);
  // Without a turn of the microtask queue for what is known at once.
  const resolving = resolveRoute(session.usernames, destination, "request", options.signal);
  const route = resolving instanceof Promise ? await resolving : resolving;
  const composing = session.composer.composeTo(route, draft);
  const composed = composing instanceof Promise ? await composing : composing;
  const reply = await new Exchange(session, route, composed, timeoutMs, options.signal).run();
  if (route.accountId !== undefined) session.metrics.requestAccount.record(monotonic() - started);
  const message = new Message(reply, null);
  const code = message.errorCode;
  if (code !== undefined && UNREACHABLE_CODES.includes(code)) forgetUsername(session.usernames, route);
  return message;
}

/** A request on its way, and what has come instead of its reply. */
class Exchange implements ReplyWaiter {
  readonly #session: Session;
  readonly #route: Route;
  readonly #composed: Composed;
  readonly #expectation: ReplyExpectation;
  readonly #timeoutMs: number;
  readonly #signal: AbortSignal | undefined;
  #resolve!: (reply: Envelope) => void;
  #reject!: (error: unknown) => void;
  #expected: ExpectedReply | undefined;
  #deadline: Deadline | undefined;
  #onAbort: (() => void) | undefined;
  #stopListening: (() => void) | undefined;
  #stopWaiting: (() => void) | undefined;
  #isPublished = false;
  #noResponders = false;
  #verifying = 0;
  #ignored = 0;
  #lastIgnored = "";
  /** What is wrong with the last reply that was no message. Another client sent it: the reply may still come. */
  #unreadable: unknown;

  constructor(session: Session, route: Route, composed: Composed, timeoutMs: number, signal: AbortSignal | undefined) {
    this.#session = session;
    this.#route = route;
    this.#composed = composed;
    this.#expectation = { accountId: route.accountId, messageId: composed.envelope.messageId };
    this.#timeoutMs = timeoutMs;
    this.#signal = signal;
  }

  /** Publishes the request; the reply, when it has come. */
  run(): Promise<Envelope> {
    return new Promise<Envelope>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      try {
        this.#begin();
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  abandoned(): void {
    this.#fail(new NotRunningError("the node was closed before the reply came"));
  }

  #begin(): void {
    const { connection, replies } = this.#session;
    const expected = replies.expect(this);
    if (expected === undefined) {
      this.#fail(new NotRunningError());
      return;
    }
    this.#expected = expected;
    this.#deadline = this.#session.deadlines.add(this.#timeoutMs, () => this.#fail(this.#timedOut()));
    this.#stopListening = connection.denials.listen((denial) => {
      const published = connection.issuer.publishSubject(this.#route.subject);
      const subject = denial.action === "publish" ? published : replies.wildcard;
      if (denial.subject === subject) this.#fail(denialError(denial));
    });
    const signal = this.#signal;
    if (signal !== undefined) {
      this.#onAbort = () => this.#fail(signal.reason);
      signal.addEventListener("abort", this.#onAbort, { once: true });
    }
    if (connection.isConnected) this.#publish(expected);
    else this.#stopWaiting = connection.onReconnect(() => this.#publish(expected));
  }

  #succeed(reply: Envelope): void {
    this.#end();
    this.#resolve(reply);
  }

  #fail(error: unknown): void {
    this.#end();
    this.#reject(error);
  }

  /** Leaves nothing behind. It may be called again: verifications may still be under way. */
  #end(): void {
    this.#expected?.end();
    this.#deadline?.cancel();
    this.#stopListening?.();
    this.#stopWaiting?.();
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener("abort", this.#onAbort);
  }

  #publish(expected: ExpectedReply): void {
    if (this.#isPublished) return;
    try {
      this.#session.connection.publish(this.#route.subject, this.#composed.body, expected.subject);
      this.#isPublished = true;
    } catch (error) {
      this.#fail(error);
    }
  }

  arrived(message: Msg): void {
    if (statusOf(message) === 503) {
      // Every client can publish this status: under signed identity, a reply may still come. In secure mode the server alone can.
      this.#noResponders = true;
      const { connection, identity } = this.#session;
      if (identity.isSigned && !connection.issuer.isSecure) return;
      forgetUsername(this.#session.usernames, this.#route);
      this.#fail(new NoRespondersError(this.#route.subject));
      return;
    }
    let envelope: Envelope;
    try {
      envelope = decodeReply(message.data);
    } catch (error) {
      this.#ignore("message_invalid");
      this.#unreadable = error;
      return;
    }
    if (this.#verifying >= VERIFY_CONCURRENCY) this.#ignore("too_many_replies");
    else this.#conclude(envelope, verifyReply(this.#session, message.subject, envelope, this.#expectation));
  }

  #conclude(envelope: Envelope, verdict: MaybePromise<string | undefined>): void {
    if (!isPending(verdict)) {
      if (verdict === undefined) this.#succeed(envelope);
      else this.#ignore(verdict);
      return;
    }
    this.#verifying += 1;
    verdict.then(
      (late) => {
        this.#verifying -= 1;
        this.#conclude(envelope, late);
      },
      (error: unknown) => {
        this.#verifying -= 1;
        this.#session.logger.warn("a reply could not be verified", { error });
        this.#ignore("auth_key_not_found");
      },
    );
  }

  #ignore(why: string): void {
    this.#ignored += 1;
    this.#lastIgnored = why;
    this.#session.metrics.refusedReplies += 1;
    this.#session.logger.warn("ignored a reply", { messageId: this.#expectation.messageId, why });
  }

  #timedOut(): Error {
    if (!this.#isPublished) return new ConnectionLostError(`the message could not be published: ${NO_CONNECTION}`);
    const { messageId } = this.#expectation;
    forgetUsername(this.#session.usernames, this.#route);
    if (this.#noResponders && this.#ignored === 0) return new NoRespondersError(this.#route.subject);
    const { connection, identity } = this.#session;
    if (this.#unreadable !== undefined && !identity.isSigned && !connection.issuer.isSecure) {
      const why = shownError(this.#unreadable);
      return new InvalidReplyError(
        `the reply to message ${messageId} cannot be read: ${why}`,
        messageId,
        this.#unreadable,
      );
    }
    const text = `no reply to message ${messageId} within ${this.#timeoutMs / 1_000} s`;
    if (this.#ignored === 0) return new RequestTimeoutError(text, messageId);
    return new RequestTimeoutError(
      `${text}; ${this.#ignored} others were not accepted, the last one for ${this.#lastIgnored}`,
      messageId,
      this.#lastIgnored,
    );
  }
}
