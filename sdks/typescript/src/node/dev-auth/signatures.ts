/** The signatures of messages by the keys of their senders' accounts (PROTOCOL.md sections 13.4 and 13.7). */

import { type Envelope, readMessageAuth, verifyMessage } from "../../protocol/index.js";
import type { KeyCache } from "./key-cache.js";

/** The registry has to be asked for the sender's key, or whether the key has changed. */
export const ASK = "ask";

/** What the remembered keys tell of a message: the `auth_*` code that applies, undefined where it is good, or {@link ASK}. */
export async function examine(keys: KeyCache, accountId: string, envelope: Envelope): Promise<string | undefined> {
  const known = keys.cached(accountId);
  if (known === undefined) return ASK;
  if (known.kind !== "key") return "auth_key_not_found";
  const code = await verifyMessage(envelope, known.publicKey);
  if (code !== "auth_public_key_mismatch") return code;
  // The registry is asked only about a message that is valid under the key that it names.
  const named = readMessageAuth(envelope);
  if (!("publicKey" in named)) return code;
  return (await verifyMessage(envelope, named.publicKey)) === undefined ? ASK : code;
}

/** Verifies a message once the registry has been asked. */
export async function conclude(keys: KeyCache, accountId: string, envelope: Envelope): Promise<string | undefined> {
  const known = keys.cached(accountId);
  return await verifyMessage(envelope, known?.kind === "key" ? known.publicKey : undefined);
}

/** What is wrong with a message's signature; the registry is asked where that is needed. */
export async function verifySigned(keys: KeyCache, accountId: string, envelope: Envelope): Promise<string | undefined> {
  const code = await examine(keys, accountId, envelope);
  if (code !== ASK) return code;
  await keys.ask(accountId);
  return await conclude(keys, accountId, envelope);
}
