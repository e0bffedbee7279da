/** The errors of blobs that several files make. Their codes are listed at `BlobError`. */

import { BlobError, BlobNotFoundError } from "../errors.js";

/** The id cannot be one: it might be a path, or it is empty or too long. */
export function invalidId(id: unknown): BlobError {
  return new BlobError(`${JSON.stringify(String(id).slice(0, 64))} is no blob id: use 1 to 128 of A-Z a-z 0-9 _ -`, {
    code: "blob_id_invalid",
  });
}

/** The store has no such blob. */
export function notFound(id: string, place: string): BlobNotFoundError {
  return new BlobNotFoundError(`no blob ${id} in ${place}`);
}

/** What was read is not what was stored. */
export function damaged(id: string, what: string, cause?: unknown): BlobError {
  return new BlobError(`blob ${id} is damaged: ${what}`, { code: "blob_damaged", detail: what, cause });
}

/** A file could not be read or written. */
export function fileError(doing: string, path: string, cause: unknown): BlobError {
  if (cause instanceof BlobError) return cause;
  return new BlobError(`cannot ${doing} ${path}: ${reasonOf(cause)}`, { code: "blob_file", cause });
}

/** The object store failed. */
export function networkError(doing: string, bucket: string, cause: unknown): BlobError {
  if (cause instanceof BlobError) return cause;
  return new BlobError(`cannot ${doing} in the bucket ${bucket}: ${reasonOf(cause)}`, { code: "blob_network", cause });
}

/** What an error says. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The code of an error of the system, such as `ENOENT`. */
export function systemCode(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code;
}
