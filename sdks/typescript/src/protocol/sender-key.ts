/**
 * The keys under which a receiver counts a sender's messages and remembers its idempotency keys (PROTOCOL.md section 12, checks 8
 * and 10).
 */

import { trim } from "../json/index.js";
import type { Envelope } from "./envelope.js";

/** The members of an envelope that name its sender. */
export interface SenderFields {
  /** `from_account_id` */
  accountId?: string;
  /** `from_session_tag` */
  sessionTag?: string;
  /** `from_agent` */
  agent?: string;
}

/** The sender of an envelope. */
export function senderFields(envelope: Envelope): SenderFields {
  const sender: SenderFields = { agent: envelope.fromAgent };
  if (envelope.fromAccountId !== undefined) sender.accountId = envelope.fromAccountId;
  if (envelope.fromSessionTag !== undefined) sender.sessionTag = envelope.fromSessionTag;
  return sender;
}

/** The key of the sender's rate bucket: the first that is not empty of session tag, account id, agent, `unknown`; untrimmed. */
export function rateBucketKey(sender: SenderFields): string {
  return sender.sessionTag || sender.accountId || sender.agent || "unknown";
}

/**
 * What a receiver remembers of an idempotency key, `<sender>|<receiver>|<key>`; `undefined` where the key is absent or blank. The
 * receiver is its account id, or its agent id while that is absent or blank.
 */
export function idempotencyScope(
  key: string | undefined,
  sender: SenderFields,
  receiverAccountId: string | undefined,
  receiverAgentId: string,
): string | undefined {
  const name = trim(key ?? "");
  if (name === "") return undefined;
  const known = [sender.accountId, sender.sessionTag, sender.agent].map((text) => trim(text ?? ""));
  const from = known.find((text) => text !== "") ?? "";
  return `${from}|${trim(receiverAccountId ?? "") || trim(receiverAgentId)}|${name}`;
}
