/** Writes the frames of one stream: as messages, to a reply subject or to an inbox. */

import type { RawJson } from "../../json/index.js";
import type { Draft, Envelope } from "../../protocol/index.js";
import type { Composed } from "../composer.js";
import { NO_CONNECTION } from "../connection.js";
import type { Acknowledgement } from "../delivery.js";
import { ConnectionLostError, DeliveryError } from "../errors.js";
import { isPending, type MaybePromise } from "../identity.js";
import type { Session } from "../session.js";
import { monotonic, pause, TIMED_OUT, withDeadline } from "../waits.js";

/** How long a frame waits for a connection that is lost. */
const CONNECTION_TIMEOUT_MS = 5_000;
/** How long a frame is sent again to a receiver that rejects it as `rate_limited` or `busy`; less than messages live. */
const OVERLOAD_TIMEOUT_MS = 20_000;
/** The pause between two attempts: what a receiver with the default limits accepts. */
const OVERLOAD_RETRY_DELAY_MS = 200;

/** Where the frames of a stream go. */
export interface FrameRoute {
  readonly subject: string;
  /** Every frame's message, but for the payload: to a target, or as the answer to a request. */
  readonly draft: Omit<Draft, "payload">;
  /** The account of the receiver of a stream to an inbox. */
  readonly accountId: string | undefined;
  /** Frames to an inbox wait for their receipt; undefined of those that are only published. */
  readonly acknowledgement: Acknowledgement | undefined;
}

/** Writes the frames of one stream. */
export class FrameWriter {
  readonly session: Session;
  readonly route: FrameRoute;

  constructor(session: Session, route: FrameRoute) {
    this.session = session;
    this.route = route;
  }

  /**
   * Sends a frame; undefined where that is done at once.
   *
   * @throws as `AgentNode.send`.
   */
  send(payload: RawJson, seq: number, signal: AbortSignal): Promise<void> | undefined {
    const composing = this.#compose(payload, seq);
    const { connection } = this.session;
    const { acknowledgement, subject } = this.route;
    if (isPending(composing) || acknowledgement !== undefined || !connection.isConnected) {
      return this.#sendSlowly(composing, signal);
    }
    connection.publish(subject, composing.body);
    return connection.pressure(signal) as Promise<void> | undefined;
  }

  async #sendSlowly(composing: MaybePromise<Composed>, signal: AbortSignal): Promise<void> {
    const { envelope, body } = await composing;
    const { connection } = this.session;
    const { acknowledgement, subject } = this.route;
    if (acknowledgement !== undefined) {
      await this.#deliver(envelope, body, acknowledgement);
      return;
    }
    const reconnected = connection.connected();
    if (reconnected !== undefined) {
      const wait = pauseUntil(reconnected, signal);
      if ((await withDeadline(wait, CONNECTION_TIMEOUT_MS)) === TIMED_OUT) {
        throw new ConnectionLostError(`the frame could not be published: ${NO_CONNECTION}`);
      }
    }
    if (signal.aborted) return;
    connection.publish(subject, body);
    await connection.pressure(signal);
  }

  async #deliver(envelope: Envelope, body: string, acknowledgement: Acknowledgement): Promise<void> {
    const { accountId, subject } = this.route;
    const { messageId } = envelope;
    const deadline = monotonic() + OVERLOAD_TIMEOUT_MS;
    for (;;) {
      try {
        await this.session.delivery.deliver({ subject, messageId, accountId, body }, acknowledgement);
        return;
      } catch (error) {
        if (!isOverload(error) || monotonic() >= deadline) throw error;
      }
      await pause(OVERLOAD_RETRY_DELAY_MS, this.session.ended);
    }
  }

  /** Sends a stream's last frame without waiting for anything but its signature. Never rejects. */
  async sendLast(payload: RawJson, seq: number): Promise<void> {
    const { connection, logger } = this.session;
    try {
      const { body } = await this.#compose(payload, seq);
      await connection.publishSoon(this.route.subject, body);
    } catch (error) {
      logger.warn("the last frame of a stream was not sent", { error });
    }
  }

  #compose(payload: RawJson, seq: number): MaybePromise<Composed> {
    const { draft } = this.route;
    const key = draft.idempotencyKey?.trim();
    // One key for all frames would make the receiver drop all but the first.
    const frame = key === undefined || key === "" ? draft : { ...draft, idempotencyKey: `${key}:${seq}` };
    return this.session.composer.composeFinished({ ...frame, payload });
  }
}

/** Whether a receiver that rejects a message like this may accept it a little later. */
function isOverload(error: unknown): boolean {
  return (
    error instanceof DeliveryError &&
    error.code === "delivery_rejected" &&
    (error.reason === "rate_limited" || error.reason === "busy")
  );
}

/** Resolves with a promise, or when the signal is aborted. */
function pauseUntil(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
