/**
 * Another key for an account (PROTOCOL.md section 13.5).
 *
 * 1. The new key is kept beside the old one; 2. the registry binds it; 3. it takes the old one's place.
 *
 * Should the program end in between, either key may be the bound one: the next rotation, or the next start of a node, asks the
 * registry and goes on from there.
 */

import { AgentNetError } from "../../errors.js";
import { newNonce, RPC, rotateKeyRequest, SigningKey, Timestamp } from "../../protocol/index.js";
import { RegistryError } from "../errors.js";
import type { RegistryClient } from "../registry-client.js";
import { type KeyStore, nextName } from "./key-store.js";

/**
 * Why a key was not rotated. Codes: `not_signing` (the node has no key), `no_key` (there is none to rotate), `rotation_refused` (by
 * the registry; `detail` is its answer, such as `auth_public_key_mismatch`), `rotation_unknown` (the registry did not answer:
 * rotating once more finds out), `key_lost` (the account is bound to a key that is in neither place). The old key stays, but with
 * `rotation_unknown`.
 */
export class RotateKeyError extends AgentNetError {
  constructor(
    message: string,
    code: "not_signing" | "no_key" | "rotation_refused" | "rotation_unknown" | "key_lost",
    detail?: string,
    cause?: unknown,
  ) {
    super(message, detail === undefined ? { code } : { code, detail }, cause === undefined ? undefined : { cause });
    this.name = "RotateKeyError";
  }
}

/**
 * Rotates the key that a store keeps under a name; the account must be bound to it. Goes on with a rotation that was interrupted.
 *
 * @returns the new key. Nodes that run with the old one go on signing with it, and are refused from now on.
 * @throws {RotateKeyError} @throws {KeyError}
 */
export async function rotateKey(
  registry: RegistryClient,
  accountId: string,
  store: KeyStore,
  name: string,
): Promise<SigningKey> {
  const next = nextName(name);
  const old = await store.load(name);
  if (old === undefined) throw new RotateKeyError(`there is no ${store.describe(name)}: nothing to rotate`, "no_key");
  let fresh = await store.load(next);
  if (fresh !== undefined && fresh.publicKey !== old.publicKey) {
    const bound = await boundKey(registry, accountId);
    if (bound === fresh.publicKey) return await settleKey(store, name, fresh);
    if (bound !== old.publicKey) {
      const text = `the account is bound to another key than ${store.describe(name)} and the one beside it`;
      throw new RotateKeyError(text, "key_lost");
    }
  } else {
    await store.remove(next);
    fresh = await SigningKey.generate();
    if (!(await store.create(next, fresh))) {
      throw new RotateKeyError("another program rotates the key at the same time", "rotation_refused");
    }
  }
  try {
    const request = await rotateKeyRequest(accountId, old, fresh, Timestamp.now(), newNonce());
    await registry.call(RPC.rotateKey, request);
  } catch (error) {
    const failure = rotationFailed(error);
    if (failure.code === "rotation_refused") await store.remove(next);
    throw failure;
  }
  return await settleKey(store, name, fresh);
}

/** Puts a key that the registry has bound in its place. */
export async function settleKey(store: KeyStore, name: string, key: SigningKey): Promise<SigningKey> {
  await store.replace(name, key);
  await store.remove(nextName(name));
  return key;
}

async function boundKey(registry: RegistryClient, accountId: string): Promise<string> {
  try {
    return (await registry.call(RPC.resolveKey, { accountId })).publicKey;
  } catch (error) {
    throw rotationFailed(error);
  }
}

function rotationFailed(error: unknown): RotateKeyError {
  if (!(error instanceof RegistryError)) throw error;
  if (error.isRefusal) {
    const text = `the registry did not rotate the key: ${error.message}`;
    return new RotateKeyError(text, "rotation_refused", error.message, error);
  }
  return new RotateKeyError(
    `whether the key was rotated is not known, the registry did not answer (${error.message}): rotate once more to find out`,
    "rotation_unknown",
    error.code,
    error,
  );
}
