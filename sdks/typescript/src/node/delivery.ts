/** Acknowledged delivery: publish, await the receipt, repeat (PROTOCOL.md 11.4); and await the end of the handling. */

import { decodeReceipt, type Receipt, receiptMessageIdAtFront, receiptsSubject } from "../protocol/index.js";
import { type Connection, NO_CONNECTION } from "./connection.js";
import { denialError } from "./denials.js";
import { ConnectionLostError, DeliveryError, DeliveryTimeoutError, NotRunningError } from "./errors.js";
import type { Identity } from "./identity.js";
import type { Logger } from "./logger.js";
import type { Metrics } from "./metrics.js";
import { isFromReceiver } from "./receipt-origin.js";
import { outcomeOf, ReceiptQueue } from "./receipt-queue.js";
import { monotonic, pause, TIMED_OUT, throwIfAborted } from "./waits.js";

/** The longest pause before a message is published again. */
const MAX_RETRY_DELAY_MS = 500;

/** How a message is to be acknowledged. */
export interface Acknowledgement {
  /** Publishes in all: one and the retries. */
  readonly attempts: number;
  /** Wait for each, in milliseconds. */
  readonly waitMs: number;
  /** Wait for the end of the handling once the message is accepted, in milliseconds; undefined to return then. */
  readonly processingMs?: number | undefined;
}

/** A message to be delivered. */
export interface Outgoing {
  readonly subject: string;
  readonly messageId: string;
  /** The receiver's account; undefined for a message to a capability. */
  readonly accountId: string | undefined;
  readonly body: string;
}

/** On which connection a message was published last; undefined while it was not. */
export interface PublishState {
  publishedOn: number | undefined;
}

/** Delivers the messages of one session. */
export class Delivery {
  readonly #connection: Connection;
  readonly #identity: Identity;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  /** A reply subject that no request uses. */
  readonly #unusedSubject: string;
  /** The sends that wait for their receipt, by message id; absent once the node is closing. */
  #pending: Map<string, ReceiptQueue> | undefined = new Map();

  constructor(connection: Connection, identity: Identity, metrics: Metrics, logger: Logger, unusedSubject: string) {
    this.#connection = connection;
    this.#identity = identity;
    this.#metrics = metrics;
    this.#logger = logger;
    this.#unusedSubject = unusedSubject;
  }

  /** Subscribes to the receipts of an account. */
  receive(accountId: string): void {
    const { issuer } = this.#connection;
    this.#connection.subscribe(issuer.subscribeSubject(receiptsSubject(accountId)), ({ data, subject }) => {
      // All other receipts are about messages that their sender has finished with, or that are requests.
      if (this.#pending === undefined || this.#pending.size === 0) return;
      const id = receiptMessageIdAtFront(data);
      if (id !== undefined && !this.#pending.has(id)) return;
      let receipt: Receipt;
      try {
        receipt = decodeReceipt(data);
      } catch (error) {
        this.#logger.debug("ignored a receipt that cannot be read", { error });
        return;
      }
      if (issuer.isSecure && !this.#isProven(receipt, subject)) return;
      this.#identity.checkReceipt(receipt, (accepted) => this.#pending?.get(accepted.messageId)?.push(accepted));
    });
  }

  /** In secure mode a receipt counts only if the server proves that it comes from the receiver (section 23.6). */
  #isProven(receipt: Receipt, subject: string): boolean {
    const expected = this.#pending?.get(receipt.messageId);
    if (expected === undefined) return false;
    const isProven =
      this.#connection.issuer.vouchesFor(subject, receipt.fromAccountId) && isFromReceiver(receipt, expected.accountId);
    if (isProven) return true;
    this.#metrics.refusedReceipts += 1;
    const { messageId, fromAccountId } = receipt;
    this.#logger.warn("ignored a receipt that its sender did not give", { messageId, from: fromAccountId, subject });
    return false;
  }

  /** Fails every wait for a receipt, also later ones, at once: the node is closing. */
  abandon(): void {
    const pending = this.#pending;
    this.#pending = undefined;
    for (const queue of pending?.values() ?? [])
      queue.fail(new NotRunningError("the node was closed before a receipt came"));
  }

  /**
   * Publishes a message until it is acknowledged, and waits until it is processed where that is asked for; returns the receipt
   * that ended the wait. While there is no connection nothing is published.
   *
   * @throws {DeliveryError} Refused, not processed, or no usable receipt came.
   * @throws {ConnectionLostError} It was never published.
   * @throws {PermissionDeniedError}
   */
  deliver(message: Outgoing, acknowledgement: Acknowledgement, signal?: AbortSignal): Promise<Receipt> {
    return this.expecting(message, (receipts) => this.#attempts(message, acknowledgement, receipts, signal));
  }

  /**
   * Receives the receipts of a message for as long as its send goes on.
   *
   * @throws {NotRunningError} The node is closing. And what `send` throws.
   */
  async expecting<T>(message: Outgoing, send: (receipts: ReceiptQueue) => Promise<T>): Promise<T> {
    if (this.#pending === undefined) throw new NotRunningError();
    const { messageId } = message;
    const forget = this.#identity.expectReceipts(messageId, message.accountId);
    const receipts = new ReceiptQueue(message.accountId);
    this.#pending.set(messageId, receipts);
    try {
      return await send(receipts);
    } finally {
      this.#pending?.delete(messageId);
      forget();
    }
  }

  async #attempts(
    message: Outgoing,
    acknowledgement: Acknowledgement,
    receipts: ReceiptQueue,
    signal: AbortSignal | undefined,
  ): Promise<Receipt> {
    const { attempts, waitMs, processingMs } = acknowledgement;
    const state: PublishState = { publishedOn: undefined };
    for (let attempt = 1; attempt <= attempts; attempt += 1) {
      if (attempt > 1) this.#metrics.retries += 1;
      const receipt = await this.publishAndWait(message, waitMs, receipts, state, signal);
      if (receipt === TIMED_OUT) {
        if (state.publishedOn !== undefined) this.#metrics.receiptTimeouts += 1;
        if (attempt < attempts) await this.#pauseBefore(attempt, signal);
        continue;
      }
      const outcome = outcomeOf(receipt);
      if (outcome.kind === "rejected") throw outcome.error;
      if (outcome.kind === "unusable") {
        if (attempt === attempts) throw outcome.error;
        continue;
      }
      // Another message had this idempotency key; how its handling ended is not known.
      if (outcome.kind === "duplicate" && processingMs !== undefined && attempt === 1) throw outcome.error;
      this.recordAgain(state.publishedOn, message.body);
      if (outcome.kind === "processed" || processingMs === undefined) return receipt;
      return await this.processed(receipts, message.messageId, processingMs, signal);
    }
    if (state.publishedOn === undefined)
      throw new ConnectionLostError(`the message could not be published: ${NO_CONNECTION}`);
    const { messageId } = message;
    throw new DeliveryTimeoutError(`delivery_ack_timeout message_id=${messageId} attempts=${attempts}`, {
      code: "delivery_ack_timeout",
      messageId,
    });
  }

  /** Publishes a message once and waits for a receipt, also for the connection. */
  async publishAndWait(
    { subject, body }: Outgoing,
    waitMs: number,
    receipts: ReceiptQueue,
    state: PublishState,
    signal: AbortSignal | undefined,
  ): Promise<Receipt | typeof TIMED_OUT> {
    const deadline = monotonic() + waitMs;
    if (!this.#connection.isConnected && !(await this.#untilConnected(waitMs, receipts, signal))) return TIMED_OUT;
    throwIfAborted(signal);
    const stopListening = this.#connection.denials.listen((denial) => {
      const isOurs = denial.action === "publish" && denial.subject === this.#connection.issuer.publishSubject(subject);
      if (isOurs) receipts.fail(denialError(denial));
    });
    try {
      this.#connection.publish(subject, body);
      state.publishedOn = this.#connection.number;
      return await receipts.next(deadline - monotonic(), signal);
    } finally {
      stopListening();
    }
  }

  /** Whether the connection came back in time. Fails with the node. */
  async #untilConnected(waitMs: number, receipts: ReceiptQueue, signal: AbortSignal | undefined): Promise<boolean> {
    const over = new AbortController();
    const end = (): void => over.abort();
    const stopListening = this.#connection.onReconnect(end);
    receipts.onFailure = end;
    await pause(waitMs, over.signal, signal);
    receipts.onFailure = undefined;
    stopListening();
    throwIfAborted(signal);
    receipts.throwIfFailed();
    return this.#connection.isConnected;
  }

  async #pauseBefore(attempt: number, signal: AbortSignal | undefined): Promise<void> {
    await pause(Math.min(attempt * 100, MAX_RETRY_DELAY_MS), signal);
    throwIfAborted(signal);
  }

  /**
   * Puts a delivered message into the history once more, if the connection on which it was published is gone: should the
   * server have crashed, the receiver got the message and the history perhaps not. It goes to the sender's own reply subject,
   * which is captured as inboxes are and where it is not handled; the history keeps one of each message id.
   */
  recordAgain(publishedOn: number | undefined, body: string): void {
    if (this.#connection.isConnected && publishedOn === this.#connection.number) return;
    try {
      this.#connection.publish(this.#unusedSubject, body);
    } catch (error) {
      this.#logger.warn("a delivered message may be missing in the history", { error });
    }
  }

  /** Waits for the end of the handling of a message that was accepted. */
  async processed(
    receipts: ReceiptQueue,
    messageId: string,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Receipt> {
    const deadline = monotonic() + timeoutMs;
    for (;;) {
      const receipt = await receipts.next(deadline - monotonic(), signal);
      if (receipt === TIMED_OUT) {
        const text = `processing_timeout message_id=${messageId}: accepted, but not reported as processed within ${timeoutMs / 1_000} s`;
        throw new DeliveryTimeoutError(text, { code: "processing_timeout", messageId });
      }
      const outcome = outcomeOf(receipt);
      if (outcome.kind === "processed") return receipt;
      if (outcome.kind === "rejected") {
        const { reason, detail } = outcome.error;
        throw new DeliveryError(`not_processed ${reason}: ${detail}`, {
          code: "not_processed",
          reason,
          detail,
          messageId,
        });
      }
    }
  }
}
