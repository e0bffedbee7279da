/**
 * Who signed a receipt (PROTOCOL.md section 13.6).
 *
 * The Python implementation does not sign receipts. So an account that signs them says so when it registers: from such an account only
 * signed receipts are accepted. From the others unsigned ones are accepted too, as on a network without signed identity, while they
 * have a live session. For a message to an account that cannot be reached, or in a mailbox, the registry gives one, signed.
 */

import { type Receipt, receiptClaims, verifyDetached } from "../../protocol/index.js";
import type { Logger } from "../logger.js";
import type { Metrics } from "../metrics.js";
import { isByRegistry, isFromReceiver } from "../receipt-origin.js";
import type { KeyCache } from "./key-cache.js";
import { ASK } from "./signatures.js";

/** Receipts that may wait for keys; those beyond are ignored, and the message is sent again. */
const MAX_PENDING_RECEIPTS = 256;
/** Receipts of one message that may be under verification: all but a few are forged. */
const MAX_VERIFYING_PER_MESSAGE = 64;

interface Expectation {
  /** The account that the message went to; undefined for a capability, for which any account may give a receipt. */
  readonly accountId: string | undefined;
  /** The receipts of a message are verified one after another: their order counts. */
  tail: Promise<void>;
  verifying: number;
}

/** Checks the receipts of one session. */
export class ReceiptChecks {
  readonly #keys: KeyCache;
  readonly #accountId: string;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #expected = new Map<string, Expectation>();
  #waiting = 0;

  constructor(keys: KeyCache, accountId: string, metrics: Metrics, logger: Logger) {
    this.#keys = keys;
    this.#accountId = accountId;
    this.#metrics = metrics;
    this.#logger = logger;
  }

  /** From now on receipts for this message are accepted from this account, until the returned function is called. */
  expect(messageId: string, accountId: string | undefined): () => void {
    const expectation: Expectation = { accountId, tail: Promise.resolve(), verifying: 0 };
    this.#expected.set(messageId, expectation);
    return () => {
      if (this.#expected.get(messageId) === expectation) this.#expected.delete(messageId);
    };
  }

  /** Hands the receipt on, later, if it is accepted. */
  check(receipt: Receipt, accept: (receipt: Receipt) => void): void {
    const expectation = this.#expected.get(receipt.messageId);
    // No send waits for it: a later receipt of a message that is done.
    if (expectation === undefined) return;
    const wrong = this.#checkAddresses(receipt, expectation);
    if (wrong !== undefined) {
      this.#ignore(receipt, wrong);
      return;
    }
    if (expectation.verifying >= MAX_VERIFYING_PER_MESSAGE) {
      this.#ignore(receipt, "too many wait");
      return;
    }
    expectation.verifying += 1;
    this.#inTurn(receipt, expectation, true, (verdict) => {
      expectation.verifying -= 1;
      if (verdict === ASK) this.#ask(receipt, expectation, accept);
      else this.#conclude(receipt, verdict, accept);
    });
  }

  /** Judges the receipts of a message one after another. */
  #inTurn(
    receipt: Receipt,
    expectation: Expectation,
    mayAsk: boolean,
    done: (verdict: string | undefined) => void,
  ): void {
    expectation.tail = expectation.tail
      .then(() => this.#judge(receipt, mayAsk))
      .catch((error: unknown) => {
        this.#logger.warn("a receipt could not be verified", { error });
        return "auth_signature_invalid";
      })
      .then(done);
  }

  /** Lets a receipt wait for the look-up of its sender's key. */
  #ask(receipt: Receipt, expectation: Expectation, accept: (receipt: Receipt) => void): void {
    if (this.#waiting >= MAX_PENDING_RECEIPTS) {
      this.#ignore(receipt, "too many wait");
      return;
    }
    this.#waiting += 1;
    const lookedUp = (): void => {
      this.#waiting -= 1;
      this.#inTurn(receipt, expectation, false, (verdict) => {
        this.#conclude(receipt, verdict === ASK ? "auth_key_not_found" : verdict, accept);
      });
    };
    this.#keys.ask(receipt.fromAccountId ?? "").then(lookedUp, lookedUp);
  }

  #conclude(receipt: Receipt, wrong: string | undefined, accept: (receipt: Receipt) => void): void {
    if (!this.#expected.has(receipt.messageId)) return;
    if (wrong === undefined) accept(receipt);
    else this.#ignore(receipt, wrong);
  }

  #ignore(receipt: Receipt, why: string): void {
    this.#metrics.refusedReceipts += 1;
    const { messageId, fromAccountId } = receipt;
    this.#logger.warn("ignored a receipt that its sender did not give", { messageId, from: fromAccountId, why });
  }

  #checkAddresses(receipt: Receipt, { accountId }: Expectation): string | undefined {
    const sender = receipt.fromAccountId;
    if (sender === undefined) return "receipt_sender_mismatch";
    if (!isFromReceiver(receipt, accountId)) return "receipt_sender_mismatch";
    const { toAccountId } = receipt;
    if (toAccountId !== undefined && toAccountId !== this.#accountId) return "receipt_recipient_mismatch";
    return undefined;
  }

  async #judge(receipt: Receipt, mayAsk: boolean): Promise<string | undefined> {
    const sender = receipt.fromAccountId ?? "";
    const byRegistry = isByRegistry(receipt);
    const known = this.#keys.cached(sender);
    if (known === undefined && mayAsk) return ASK;
    if (known === undefined || known.kind === "failed") return "auth_key_not_found";
    // An account without a key signs nothing.
    if (known.kind === "none") return known.isLive && !byRegistry ? undefined : "auth_key_not_found";
    if (receipt.auth === undefined && !known.signs.receipts && !byRegistry) {
      if (mayAsk && !this.#keys.wasAskedLately(sender)) return ASK;
      return known.isLive ? undefined : "receipt_sender_offline";
    }
    const signedBy =
      receipt.auth === undefined ? undefined : await verifyDetached(receipt.auth, receiptClaims(receipt));
    if (signedBy === known.publicKey) return undefined;
    // The key may be another one by now, or a session of the account that signs no receipts may have come.
    if (mayAsk && (receipt.auth === undefined || signedBy !== undefined)) return ASK;
    if (receipt.auth === undefined) return "auth_missing";
    return signedBy === undefined ? "auth_signature_invalid" : "auth_public_key_mismatch";
  }
}
