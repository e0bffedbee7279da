/**
 * Signed identity (`DEV_AUTH`, PROTOCOL.md section 13).
 *
 * - `provider.ts`: `DevAuth`, and the signed registration; `key-store.ts`, `file-key-store.ts`: where keys are kept
 * - `session-identity.ts`: the identity of a session; `key-cache.ts`: the keys of other accounts
 * - `inbound.ts`: messages to the node; `signatures.ts`: replies to its requests; `receipts.ts`: receipts for its messages
 * - `rotate.ts`: a new key in the place of the old one
 */
export { FileKeyStore } from "./file-key-store.js";
export { type KeyStore, MemoryKeyStore } from "./key-store.js";
export { DevAuth, type DevAuthOptions, devAuthFromEnvironment } from "./provider.js";
export { RotateKeyError, rotateKey } from "./rotate.js";
