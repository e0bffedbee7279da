/**
 * Blobs (docs/BLOBS.md): `store.ts` has the calls; `local.ts` and `object-store.ts` (`upload.ts`, `download.ts`) are the two stores;
 * `bytes.ts` cuts, counts, hashes and checks; `names.ts` makes file names safe to show; `settings.ts` reads the environment.
 */
export type { BlobProgress, BlobSource } from "./bytes.js";
export { blobStoreOf } from "./of-session.js";
export type { BlobOptions, BlobSettings, BlobStorage } from "./settings.js";
export { type BlobKey, BlobStore, type GetBlobOptions, type OpenBlob, type PutBlobOptions } from "./store.js";
