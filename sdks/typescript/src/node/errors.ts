/**
 * The errors of nodes, streams and blobs. Each class has a fixed `code`, or a small set of codes that its documentation lists.
 *
 * @packageDocumentation
 */

import { AgentNetError, isAgentNetError } from "../errors.js";
import { mailboxErrorOf, taskErrorOf } from "../protocol/index.js";
import { shown } from "./shown.js";

/** What the constructors of the errors below take beside a message. */
export interface ErrorDetails {
  /** A stable code, to switch on. */
  readonly code: string;
  /** More about it. */
  readonly detail?: string | undefined;
  /** The error that caused this one. */
  readonly cause?: unknown;
}

/** The base of the classes below: an `AgentNetError` with a class name of its own. */
abstract class NamedError extends AgentNetError {
  constructor(name: string, message: string, { code, detail, cause }: ErrorDetails) {
    super(message, detail === undefined ? { code } : { code, detail }, cause === undefined ? undefined : { cause });
    // Given as text, because minifiers rename classes.
    this.name = name;
  }
}

/** The codes of {@link InvalidArgumentError}. */
export type InvalidArgumentCode = "invalid_option" | "invalid_target" | "invalid_payload" | "message_too_large";

/**
 * A call or an option is wrong. Codes: `invalid_option`, `invalid_target` (an account id or a capability that cannot be part of
 * a subject), `invalid_payload` (nested too deeply for a message), `message_too_large` (above `maxPayloadBytes`). A payload that is
 * no JSON is a `JsonError` (`invalid_payload`), a target that cannot be read a `TargetError` (`invalid_target`).
 */
export class InvalidArgumentError extends NamedError {
  constructor(message: string, code: InvalidArgumentCode = "invalid_option", cause?: unknown) {
    super("InvalidArgumentError", message, { code, cause });
  }
}

/** The node has not been started, or is closed: code `not_running`. */
export class NotRunningError extends NamedError {
  constructor(message = "the node is not running: start it first") {
    super("NotRunningError", message, { code: "not_running" });
  }
}

/** Why no connection came about: see {@link ConnectError.reason}. */
export type ConnectFailure = "url" | "unreachable" | "refused" | "no_websocket" | "no_tcp";

/** NATS cannot be reached, or refused the credentials: code `connect_failed`. The address is shown without its token. */
export class ConnectError extends NamedError {
  /**
   * `url`: the address cannot be used; `unreachable`: no server answers; `refused`: the server refused the credentials;
   * `no_websocket`, `no_tcp`: this runtime cannot connect to such an address.
   */
  readonly reason: ConnectFailure;

  constructor(message: string, reason: ConnectFailure, cause?: unknown) {
    super("ConnectError", message, { code: "connect_failed", detail: reason, cause });
    this.reason = reason;
  }
}

/** The connection is lost and not yet back, or closed, so that nothing was sent: code `not_connected`. */
export class ConnectionLostError extends NamedError {
  constructor(message: string, cause?: unknown) {
    super("ConnectionLostError", message, { code: "not_connected", cause });
  }
}

/** The NATS server does not permit this connection's user to publish or to subscribe there: code `permission_denied`. */
export class PermissionDeniedError extends NamedError {
  /** What was not permitted. */
  readonly action: "publish" | "subscribe";
  /** Where. */
  readonly subject: string;

  constructor(message: string, action: "publish" | "subscribe", subject: string, cause?: unknown) {
    super("PermissionDeniedError", message, { code: "permission_denied", cause });
    this.action = action;
    this.subject = subject;
  }
}

/** What a {@link RegistryError} is made of. */
export interface RegistryErrorData extends ErrorDetails {
  /** The call, such as `resolve_account`. */
  readonly rpc: string;
}

/**
 * A call of the registry failed. `code` is what the registry answered where that is a code (`not_found`, `cursor_invalid`,
 * `auth_required`, `mailbox_full`, `task_conflict`, …: PROTOCOL.md sections 6, 21 and 22), `registry_refused` where it answered a
 * sentence; `registry_timeout`: no answer in time; `invalid_response`: an answer that cannot be read; `permission_denied`,
 * `not_connected`: the request was not sent.
 */
export class RegistryError extends NamedError {
  /** The call, such as `resolve_account`. */
  readonly rpc: string;

  constructor(message: string, data: RegistryErrorData, name = "RegistryError") {
    super(name, message, data);
    this.rpc = data.rpc;
  }

  /** The error for a registry's answer `{"error": text}`. */
  static refused(rpc: string, text: string, cause?: unknown): RegistryError {
    const coded = mailboxErrorOf(text) ?? taskErrorOf(text);
    const code = coded?.code ?? (/^[a-z][a-z0-9_]{0,63}$/.test(text) ? text : "registry_refused");
    return new RegistryError(shown(text), { code, rpc, detail: text, cause });
  }

  /** Whether the registry answered that there is no such account or thread. */
  get isNotFound(): boolean {
    return this.code === "not_found";
  }

  /** Whether the registry answered at all, and refused the call. */
  get isRefusal(): boolean {
    return !["registry_timeout", "invalid_response", "permission_denied", "not_connected", "no_registry"].includes(
      this.code,
    );
  }
}

/** No registry is connected to this network: code `no_registry`. */
export class NoRegistryError extends RegistryError {
  constructor(rpc: string, cause?: unknown) {
    super(
      `No registry answers registry.${rpc}. Is it running?`,
      { code: "no_registry", rpc, cause },
      "NoRegistryError",
    );
  }
}

/** What a {@link DeliveryError} is made of. */
export interface DeliveryErrorData extends ErrorDetails {
  /** The id of the message. */
  readonly messageId: string;
  /** The receiver's code (PROTOCOL.md section 12), such as `rate_limited`. */
  readonly reason?: string;
}

/**
 * A message was not delivered, or not processed. Codes: `delivery_rejected` (the receiver or the registry refused it; see
 * {@link DeliveryError.reason}), `delivery_ack_unusable` (a receipt with an unknown status), `not_processed` (accepted, then its
 * handling failed).
 */
export class DeliveryError extends NamedError {
  /** The id of the message. */
  readonly messageId: string;
  /** The receiver's code (PROTOCOL.md section 12): `busy`, `rate_limited`, `recipient_offline`, …; empty if there is none. */
  readonly reason: string;

  constructor(message: string, data: DeliveryErrorData, name = "DeliveryError") {
    super(name, message, data);
    this.messageId = data.messageId;
    this.reason = data.reason ?? "";
  }

  /** Whether the receiver took the message in, and what failed came later. */
  get wasAccepted(): boolean {
    return this.code === "not_processed" || this.code === "processing_timeout";
  }
}

/** No receipt came: code `delivery_ack_timeout`; or `processing_timeout`: accepted, but not reported as processed in time. */
export class DeliveryTimeoutError extends DeliveryError {
  constructor(message: string, data: DeliveryErrorData) {
    super(message, data, "DeliveryTimeoutError");
  }
}

/** No reply came in time: code `request_timeout`. */
export class RequestTimeoutError extends NamedError {
  /** The id of the request. */
  readonly messageId: string;

  constructor(message: string, messageId: string, detail?: string) {
    super("RequestTimeoutError", message, { code: "request_timeout", detail });
    this.messageId = messageId;
  }
}

/** The target of a request has no subscriber: code `no_responders`. */
export class NoRespondersError extends NamedError {
  /** Where the request was sent. */
  readonly subject: string;

  constructor(subject: string, cause?: unknown) {
    super("NoRespondersError", `no responders: ${subject} has no subscriber`, { code: "no_responders", cause });
    this.subject = subject;
  }
}

/** What came as a reply is no message: code `invalid_response`. */
export class InvalidReplyError extends NamedError {
  /** The id of the request. */
  readonly messageId: string;

  constructor(message: string, messageId: string, cause?: unknown) {
    super("InvalidReplyError", message, { code: "invalid_response", cause });
    this.messageId = messageId;
  }
}

/** The sender of the message does not wait for a reply: code `missing_reply_to`. */
export class NoReplySubjectError extends NamedError {
  constructor() {
    super("NoReplySubjectError", "Cannot reply: incoming message has no reply_to subject.", {
      code: "missing_reply_to",
    });
  }
}

/** What an {@link AgentRequestError} is made of. */
export interface AgentRequestErrorData extends ErrorDetails {
  /** The id of the request. */
  readonly messageId?: string | undefined;
  /** The trace of the request. */
  readonly traceId?: string | undefined;
  /** The error reply itself. */
  readonly reply?: unknown;
}

/** The reply of an agent, or of the registry in its place, reports an error; `code` is the reply's. */
export class AgentRequestError extends NamedError {
  /** The id of the request; empty if the reply does not name it. */
  readonly messageId: string;
  /** The trace of the request, if the reply names it. */
  readonly traceId?: string;
  /** The error reply itself, a `Message`. */
  readonly reply?: unknown;

  constructor(message: string, data: AgentRequestErrorData, name = "AgentRequestError") {
    super(name, message, data);
    this.messageId = data.messageId ?? "";
    if (data.traceId !== undefined) this.traceId = data.traceId;
    if (data.reply !== undefined) this.reply = data.reply;
  }
}

/** The receiver takes nothing more now: code `busy`, or `shutting_down`. */
export class AgentBusyError extends AgentRequestError {
  constructor(message: string, data: AgentRequestErrorData) {
    super(message, data, "AgentBusyError");
  }
}

/** The sender exceeds the rate that the receiver takes: code `rate_limited`. */
export class AgentRateLimitedError extends AgentRequestError {
  constructor(message: string, data: AgentRequestErrorData) {
    super(message, data, "AgentRateLimitedError");
  }
}

/** The request came too late: code `expired` or `missing_ttl`. */
export class AgentExpiredError extends AgentRequestError {
  constructor(message: string, data: AgentRequestErrorData) {
    super(message, data, "AgentExpiredError");
  }
}

/** The receiver knows the message id or the idempotency key already: code `duplicate`. */
export class AgentDuplicateError extends AgentRequestError {
  constructor(message: string, data: AgentRequestErrorData) {
    super(message, data, "AgentDuplicateError");
  }
}

/** The receiver's handler took too long: code `timeout`. */
export class AgentTimeoutError extends AgentRequestError {
  constructor(message: string, data: AgentRequestErrorData) {
    super(message, data, "AgentTimeoutError");
  }
}

/** The receiver's handler failed: code `handler_error`. */
export class AgentHandlerError extends AgentRequestError {
  constructor(message: string, data: AgentRequestErrorData) {
    super(message, data, "AgentHandlerError");
  }
}

/** The receiver's circuit breaker is open: code `service_degraded`. */
export class AgentServiceDegradedError extends AgentRequestError {
  constructor(message: string, data: AgentRequestErrorData) {
    super(message, data, "AgentServiceDegradedError");
  }
}

/** The class for each code that has one of its own. */
const REQUEST_ERRORS: ReadonlyMap<string, new (message: string, data: AgentRequestErrorData) => AgentRequestError> =
  new Map([
    ["busy", AgentBusyError],
    ["shutting_down", AgentBusyError],
    ["rate_limited", AgentRateLimitedError],
    ["expired", AgentExpiredError],
    ["missing_ttl", AgentExpiredError],
    ["duplicate", AgentDuplicateError],
    ["timeout", AgentTimeoutError],
    ["handler_error", AgentHandlerError],
    ["service_degraded", AgentServiceDegradedError],
  ]);

/** The error for a reply that reports `code`. */
export function agentRequestError(
  code: string,
  detail: string,
  data: Omit<AgentRequestErrorData, "code" | "detail"> = {},
): AgentRequestError {
  const Class = REQUEST_ERRORS.get(code) ?? AgentRequestError;
  return new Class(shown(detail === "" ? code : `${code}: ${detail}`), { ...data, code, detail });
}

/** Why a stream broke off: see {@link StreamError.reason}. */
export type StreamFailure =
  | "timeout"
  | "idle"
  | "missing"
  | "failed"
  | "too_slow"
  | "too_large"
  | "invalid"
  | "no_responders"
  | "closed";

/** A stream broke off: code `stream_failed`; {@link StreamError.reason} says why. */
export class StreamError extends NamedError {
  /**
   * `timeout`: no first frame, or no end, in time; `idle`: no further one; `missing`: a frame was lost; `failed`: the sender ended it with
   * an error (see {@link errorCode}); `too_slow`: it was not read fast enough; `too_large`, `invalid`: of a frame;
   * `no_responders`; `closed`: the node was closed.
   */
  readonly reason: StreamFailure;
  /** Of `failed`: the code that the sender, or the registry in its place, gave: `handler_error`, `stream_abandoned`, …. */
  readonly errorCode?: string;

  constructor(message: string, reason: StreamFailure, detail?: string, cause?: unknown, errorCode?: string) {
    super("StreamError", message, { code: "stream_failed", detail, cause });
    this.reason = reason;
    if (errorCode !== undefined) this.errorCode = errorCode;
  }
}

/** The reader of a stream cancelled it: code `stream_cancelled`. A handler that ends with it has not failed. */
export class StreamCancelledError extends NamedError {
  constructor(message = "the reader of the stream has cancelled it") {
    super("StreamCancelledError", message, { code: "stream_cancelled" });
  }
}

/**
 * A blob cannot be stored or read. Codes: `blob_id_invalid`; `blob_storage_unknown` (a store that this version does not know);
 * `blob_damaged` (not what was stored); `blob_too_large` (for the memory); `blob_not_text`; `blob_file`, `blob_no_files`;
 * `blob_source` (the data to be stored); `blob_not_connected`, `blob_inbox_prefix`, `blob_no_jetstream`; `blob_connection_lost` (put
 * it again); `blob_stalled`; `blob_network` (what the server says).
 */
export class BlobError extends NamedError {
  constructor(message: string, data: Partial<ErrorDetails> = {}, name = "BlobError") {
    super(name, message, { ...data, code: data.code ?? "blob_failed" });
  }
}

/** There is no such blob: code `blob_not_found`. */
export class BlobNotFoundError extends BlobError {
  constructor(message: string, cause?: unknown) {
    super(message, { code: "blob_not_found", cause }, "BlobNotFoundError");
  }
}

/** Whether an error says, or was caused by one that says, that the reader of a stream has cancelled it. */
export function isStreamCancelled(error: unknown): boolean {
  let next = error;
  for (let depth = 0; depth < 16 && typeof next === "object" && next !== null; depth += 1) {
    if (isAgentNetError(next) && next.code === "stream_cancelled") return true;
    next = (next as { cause?: unknown }).cause;
  }
  return false;
}
