/** Opening a connection to NATS: transports, credentials, TLS and the delays of reconnecting (PROTOCOL.md section 1). */

import type { ConnectionOptions, NatsConnection } from "@nats-io/nats-core";
import { errors } from "@nats-io/nats-core";
import { platform } from "../platform/index.js";
import type { IdentityRecord, MemberIdentity } from "../protocol/index.js";
import { ConnectError } from "./errors.js";
import type { Logger } from "./logger.js";
import { memberAuthenticator } from "./member-login.js";
import type { NatsUrl } from "./nats-url.js";
import { pause, TIMED_OUT, throwIfAborted, withDeadline } from "./waits.js";

/** A server of a `tls://` address that has sent nothing for this time may be one that waits for the TLS handshake. */
const TLS_FIRST_AFTER_MS = 300;
/** Delays between attempts to reconnect, each times a random share of 0.5 to 1. */
const MIN_RECONNECT_DELAY_MS = 100;
const MAX_RECONNECT_DELAY_MS = 1_000;
/** What to do about a certificate of an authority that the runtime does not know. */
const CERTIFICATE_HINT = "the file of its authority can be named by NODE_EXTRA_CA_CERTS";

/** How a {@link Connection} is opened. */
export interface ConnectSettings {
  /** The name in the server's list of connections. */
  readonly name: string;
  /** Where it reports its losses. */
  readonly logger: Logger;
  /** The member to log in as, on a network in secure mode; credentials of the address do not count then. */
  readonly identity?: MemberIdentity | IdentityRecord | undefined;
  /** Ends the attempt; the promise then rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The delay before an attempt to reconnect, counted from 1, in milliseconds. */
export function reconnectDelay(attempt: number, share = 0.5 + Math.random() / 2): number {
  return Math.min(MIN_RECONNECT_DELAY_MS * 2 ** Math.min(attempt - 1, 10), MAX_RECONNECT_DELAY_MS) * share;
}

/**
 * Connects, within the time that the address allows.
 *
 * @throws {ConnectError} or the reason of the signal.
 */
export async function dial(url: NatsUrl, settings: ConnectSettings): Promise<NatsConnection> {
  throwIfAborted(settings.signal);
  const several = url.servers.length > 1;
  const attemptMs = several ? 2_000 : 3_000;
  const connectMs = several ? attemptMs * url.servers.length + 1_000 : attemptMs;
  const connecting = url.isTls ? dialTls(url, settings, attemptMs) : dialOnce(url, settings, attemptMs);
  const closeLate = (): void => {
    connecting.then(
      (late) => late.close(),
      () => undefined,
    );
  };
  try {
    // The client's own timeout is for one attempt at one address; a name may have several.
    const nats = await withDeadline(connecting, connectMs + 500, settings.signal);
    if (nats !== TIMED_OUT) return nats;
  } catch (cause) {
    closeLate();
    if (settings.signal?.aborted === true || cause instanceof ConnectError) throw cause;
    throw connectError(url, cause);
  }
  closeLate();
  throw unreachable(url, `no answer within ${connectMs / 1_000} s`);
}

function connectError(url: NatsUrl, cause: unknown): ConnectError {
  if (isRefusal(cause)) {
    const { login } = url;
    const why =
      login.kind === "member"
        ? `credential of @${login.member.username}: it may be revoked, or of another network`
        : "credentials: check the token in the URL (nats://TOKEN@HOST:PORT)";
    return new ConnectError(`NATS at ${url.redacted} refused the ${why}`, "refused", cause);
  }
  const why = cause instanceof Error && cause.message !== "" ? cause.message.trim() : String(cause);
  return unreachable(url, isCertificateError(cause) ? `${why}: ${CERTIFICATE_HINT}` : why, cause);
}

function unreachable(url: NatsUrl, why: string, cause?: unknown): ConnectError {
  return new ConnectError(`Cannot connect to NATS at ${url.redacted}. Is it running? (${why})`, "unreachable", cause);
}

function isRefusal(error: unknown): boolean {
  return error instanceof errors.AuthorizationError || error instanceof errors.UserAuthenticationExpiredError;
}

/** Whether TLS failed over the server's certificate: the codes of OpenSSL as Node.js has them. */
function isCertificateError(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" && /CERT|VERIFY_LEAF|ISSUER/.test(code);
}

/**
 * Where the address asks for TLS, the handshake comes behind the server's first word, as servers have it by default; one that
 * says nothing, or nothing that is understood, is met with the handshake first.
 */
async function dialTls(url: NatsUrl, settings: ConnectSettings, attemptMs: number): Promise<NatsConnection> {
  const ca = url.login.kind === "member" ? url.login.member.caPem : undefined;
  const tls = ca === undefined ? {} : { ca };
  const plain = dialOnce(url, settings, attemptMs, { tls });
  const early = await withDeadline(
    plain.then(
      (nats) => nats,
      (error: unknown) => ({ error }),
    ),
    TLS_FIRST_AFTER_MS,
  );
  if (early !== TIMED_OUT) {
    if (!("error" in early)) return early;
    if (isRefusal(early.error)) throw early.error;
  }
  const first = dialOnce(url, settings, attemptMs, { tls: { ...tls, handshakeFirst: true } });
  try {
    const winner = await Promise.any([plain, first]);
    for (const attempt of [plain, first]) {
      attempt.then(
        (nats) => (nats === winner ? undefined : nats.close()),
        () => undefined,
      );
    }
    return winner;
  } catch (all) {
    const failures = all instanceof AggregateError ? all.errors : [all];
    // Of the two handshakes the server understands one; the failure of the other says nothing.
    throw failures.find(isRefusal) ?? failures.find(isCertificateError) ?? failures[0];
  }
}

function dialOnce(
  url: NatsUrl,
  settings: ConnectSettings,
  attemptMs: number,
  extra: ConnectionOptions = {},
): Promise<NatsConnection> {
  const connect = url.transport === "tcp" ? platform.dialTcp : platform.dialWebSocket();
  if (connect === undefined) return Promise.reject(noTransport(url));
  let attempts = 0;
  let lastAttempt = 0;
  return connect({
    servers: [...url.servers],
    ...credentials(url),
    name: settings.name,
    inboxPrefix: url.inboxPrefix,
    timeout: attemptMs,
    maxReconnectAttempts: -1,
    // A token that was changed and changed back must not end the client.
    ignoreAuthErrorAbort: true,
    waitOnFirstConnect: false,
    pingInterval: 20_000,
    noAsyncTraces: true,
    reconnectDelayHandler: () => {
      // The client does not say how often it has tried; a pause tells a new loss from further attempts.
      const now = performance.now();
      attempts = now - lastAttempt > 10 * MAX_RECONNECT_DELAY_MS ? 1 : attempts + 1;
      lastAttempt = now;
      return reconnectDelay(attempts);
    },
    ...extra,
  });
}

function credentials(url: NatsUrl): ConnectionOptions {
  switch (url.login.kind) {
    case "none":
      return {};
    case "token":
      return { token: url.login.token };
    case "user":
      return { user: url.login.name, pass: url.login.password };
    case "member":
      return { authenticator: memberAuthenticator(url.login.seed, url.login.member.jwt) };
  }
}

function noTransport(url: NatsUrl): ConnectError {
  if (url.transport === "tcp") {
    return new ConnectError(
      `Cannot connect to NATS at ${url.redacted}: a browser reaches NATS by WebSocket only; use a ws:// or wss:// address`,
      "no_tcp",
    );
  }
  return new ConnectError(
    `Cannot connect to NATS at ${url.redacted}: this runtime has no WebSocket (Node.js has one from version 22 on); use a nats:// address`,
    "no_websocket",
  );
}

/** Waits before another attempt to join again; ends early when the signal is aborted. */
export function rejoinPause(attempt: number, signal: AbortSignal): Promise<void> {
  return pause(reconnectDelay(attempt), signal);
}
