/** Which account may give a receipt, beside the receiver of the message. */

import {
  isMailboxCode,
  isReceiptOfRegistry,
  type Receipt,
  receiptStatus,
  UNREACHABLE_CODES,
} from "../protocol/index.js";

/** Whether a receipt is one that a registry gives: for an account that cannot be reached (section 0.9), or a mailbox (section 21). */
export function isByRegistry(receipt: Receipt): boolean {
  if (!isReceiptOfRegistry(receipt)) return false;
  const status = receiptStatus(receipt);
  if (status === "queued") return true;
  const code = receipt.code ?? "";
  return status === "rejected" && (UNREACHABLE_CODES.includes(code) || isMailboxCode(code));
}

/**
 * Whether a receipt is from the receiver of the message, or from a registry in its place.
 *
 * @param accountId The receiver; undefined for a capability, which any account may have.
 */
export function isFromReceiver(receipt: Receipt, accountId: string | undefined): boolean {
  return accountId === undefined || receipt.fromAccountId === accountId || isByRegistry(receipt);
}
