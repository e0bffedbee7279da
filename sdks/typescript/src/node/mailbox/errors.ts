/** The error of a message that its receiver's mailbox does not keep. */

import { mailboxErrorOf } from "../../protocol/index.js";
import { DeliveryError, type RegistryError } from "../errors.js";
import { shown } from "../shown.js";

/**
 * The receiver did not take a message, and its mailbox does not keep it. Codes (PROTOCOL.md section 21): `mailbox_disabled`,
 * `mailbox_full`, `mailbox_sender_full`, `mailbox_unknown_account`, `mailbox_refused`, `mailbox_expired`, `mailbox_too_large`,
 * `mailbox_not_storable`; of a message that was kept `mailbox_expired`, `mailbox_dead`, `mailbox_dropped`; `mailbox_failed` (the
 * registry failed, or did not answer: the message may be kept), `mailbox_unsupported` (no registry of the network has mailboxes).
 * Under signed identity also the `auth_…` codes. `reason` is the code, `detail` the registry's sentence.
 */
export class MailboxError extends DeliveryError {
  constructor(code: string, detail: string, messageId: string, cause?: unknown) {
    const text = `${shown(detail || code)} (${shown(code)})`;
    super(text, { code, detail, reason: code, messageId, cause }, "MailboxError");
  }
}

/** The error of a message whose `mailbox_put` failed. */
export function putFailed(error: RegistryError, messageId: string): MailboxError {
  switch (error.code) {
    case "no_registry": {
      const detail = "the network's registry keeps no messages: it is of an older version, or does not run";
      return new MailboxError("mailbox_unsupported", detail, messageId, error);
    }
    case "registry_timeout":
    case "invalid_response":
    case "not_connected":
      return new MailboxError("mailbox_failed", error.message, messageId, error);
    default: {
      const detail = mailboxErrorOf(error.detail ?? "")?.detail || error.message;
      return new MailboxError(error.code, detail, messageId, error);
    }
  }
}
