/** The receipts of one message, and what they mean for its sender (PROTOCOL.md section 5.2). */

import { trim } from "../json/index.js";
import { type Receipt, receiptStatus } from "../protocol/index.js";
import { DeliveryError } from "./errors.js";
import { shown } from "./shown.js";
import { TIMED_OUT, throwIfAborted, timerDelay } from "./waits.js";

/** Receipts of one message that may be queued: a receiver sends two, and each retry may bring two more. */
const RECEIPT_QUEUE_CAPACITY = 8;

/** What a receipt means for the send that waits for it. */
export type Outcome =
  | { readonly kind: "accepted" | "processed" }
  | { readonly kind: "duplicate" | "rejected" | "unusable"; readonly error: DeliveryError };

/** What a receipt means. A registry's `queued` is of use only for a send that asked for the mailbox. */
export function outcomeOf(receipt: Receipt): Outcome {
  const messageId = receipt.messageId;
  const status = receiptStatus(receipt);
  if (status === "accepted" || status === "processed") return { kind: status };
  if (status === "other" || status === "queued") {
    const text = `delivery_ack_unusable status=${worded(receipt.status, "unknown")} message_id=${messageId}`;
    return { kind: "unusable", error: new DeliveryError(text, { code: "delivery_ack_unusable", messageId }) };
  }
  const reason = worded(receipt.code, "rejected");
  const detail = worded(receipt.detail, "delivery rejected by recipient");
  const error = new DeliveryError(`delivery_rejected ${reason}: ${detail}`, {
    code: "delivery_rejected",
    reason,
    detail,
    messageId,
  });
  return { kind: reason.toLowerCase() === "duplicate" ? "duplicate" : "rejected", error };
}

/** A text of the other side as it is shown, or the default. */
export function worded(text: string | undefined, otherwise: string): string {
  return shown(trim(text ?? "")) || otherwise;
}

/** The receipts of one message, for the one send that waits for them. */
export class ReceiptQueue {
  /** Is called when the wait fails for good. */
  onFailure: (() => void) | undefined;
  /** The account of the receiver; undefined of a message to a capability. */
  readonly accountId: string | undefined;
  readonly #queued: Receipt[] = [];
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(accountId?: string) {
    this.accountId = accountId;
  }

  push(receipt: Receipt): void {
    // A full queue belongs to a send that has enough receipts to continue.
    if (this.#queued.length >= RECEIPT_QUEUE_CAPACITY) return;
    this.#queued.push(receipt);
    this.#wake?.();
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake?.();
    this.onFailure?.();
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** A receipt that has come already. */
  take(): Receipt | undefined {
    return this.#queued.shift();
  }

  /** The next receipt, or that the time is over. */
  async next(milliseconds: number, signal: AbortSignal | undefined): Promise<Receipt | typeof TIMED_OUT> {
    throwIfAborted(signal);
    if (this.#queued.length === 0 && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(wake, timerDelay(milliseconds));
        const self = this;
        function wake(): void {
          clearTimeout(timer);
          signal?.removeEventListener("abort", wake);
          self.#wake = undefined;
          resolve();
        }
        this.#wake = wake;
        signal?.addEventListener("abort", wake, { once: true });
      });
    }
    throwIfAborted(signal);
    const receipt = this.#queued.shift();
    if (receipt !== undefined) return receipt;
    this.throwIfFailed();
    return TIMED_OUT;
  }
}
