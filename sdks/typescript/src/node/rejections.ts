/** What a receiver answers beside replies: receipts and error replies (PROTOCOL.md sections 5.2, 5.4, 12). */

import {
  type Envelope,
  encodeEnvelope,
  encodeReceipt,
  isRoutable,
  type Receipt,
  type Reject,
  receiptsSubject,
} from "../protocol/index.js";
import { isPending, type MaybePromise } from "./identity.js";
import type { Message } from "./message.js";
import { Rates } from "./rates.js";
import type { Session } from "./session.js";
import { monotonic } from "./waits.js";

/** Receipts of rejection to one account, per second and at once: every client can send in the name of any account. */
const REJECTIONS_PER_SECOND = 200;
const REJECTIONS_BURST = 500;
/** Failures of a message that was accepted: their receipts are not limited. */
const OWN_FAILURES: readonly string[] = ["timeout", "handler_error", "shutting_down"];

/** Publishes receipts and error replies in the name of a session. */
export class Rejections {
  readonly #session: Session;
  readonly #rates: Rates;
  readonly #sendsReceipts: boolean;

  constructor(session: Session, sendsReceipts = true) {
    this.#session = session;
    this.#sendsReceipts = sendsReceipts;
    this.#rates = new Rates(REJECTIONS_PER_SECOND, REJECTIONS_BURST, session.config.limits.dedupeTtlMs);
  }

  /** Tells the sender that its message was rejected, or that its handling failed: receipt, error reply, metric and log line. */
  reject(message: Message, reject: Reject): void {
    const { metrics, logger, composer } = this.#session;
    metrics.refused(reject);
    const { messageId, fromAccountId } = message;
    logger.debug("message refused", { messageId, from: fromAccountId, code: reject.code, detail: reject.detail });
    if (this.#maySendReceipt(fromAccountId, reject)) void this.acknowledge(message, "rejected", reject);
    const { replyTo } = message;
    if (replyTo === undefined) return;
    void this.#publish(replyTo, composer.errorReply(message.envelope, reject), encodeEnvelope, "error reply not sent");
  }

  /** Publishes a receipt to the message's sender, if the message names its account; resolves when it is published. */
  acknowledge(
    message: Message,
    status: "accepted" | "processed" | "rejected",
    reject?: Reject,
  ): Promise<void> | undefined {
    const sender = message.fromAccountId;
    if (!this.#sendsReceipts || sender === undefined || !isRoutable(sender)) return undefined;
    const receipt = this.#session.composer.receipt(message.envelope, status, reject);
    // Whoever asked has its answer: nothing waits for this receipt.
    const isDeferrable = status === "processed" && message.replyTo !== undefined;
    return this.#publish(receiptsSubject(sender), receipt, encodeReceipt, "receipt not sent", isDeferrable);
  }

  #maySendReceipt(sender: string | undefined, reject: Reject): boolean {
    if (sender === undefined) return false;
    return OWN_FAILURES.includes(reject.code) || this.#rates.take(sender, monotonic());
  }

  #publish<Record extends Envelope | Receipt>(
    subject: string,
    record: MaybePromise<Record>,
    encode: (record: Record) => string,
    failure: string,
    isDeferrable = false,
  ): Promise<void> | undefined {
    const failed = (error: unknown): void => this.#session.logger.warn(failure, { error });
    const { connection } = this.#session;
    const publish = (signed: Record): Promise<void> | undefined => {
      try {
        if (!isDeferrable) return connection.publishSoon(subject, encode(signed))?.catch(failed);
        connection.publishWithNext(subject, encode(signed));
        return undefined;
      } catch (error) {
        failed(error);
        return undefined;
      }
    };
    return isPending(record) ? record.then(publish, failed) : publish(record);
  }
}
