/**
 * The exports of the original's TypeScript SDK, by its names.
 *
 * @packageDocumentation
 */
export { type BlobRef, type BlobStoreOptions, isBlobRef, LocalBlobStore, parseBlobRef } from "./blob-store.js";
export { AgentNetClient } from "./client.js";
export { type CompactionRequiredEvent, isCompactionRequired, parseCompactionRequired } from "./events.js";
export { exactMessage } from "./messages.js";
export * from "./subjects.js";
export type * from "./types.js";
