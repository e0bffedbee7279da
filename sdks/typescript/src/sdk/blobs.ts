/** Blobs in the high-level calls (docs/BLOBS.md): references of both spellings, and the payload that names a blob. */

import { RawJson } from "../json/index.js";
import type { BlobKey } from "../node/index.js";
import { BLOB_REF_TYPE, type BlobRef, BlobRefError, blobRefPayload, parseBlobRef } from "../protocol/index.js";

/** A reference as it travels: the payload of a message, with the member names of the wire (PROTOCOL.md section 5.5). */
export interface BlobRefPayload {
  type: "blob_ref";
  /** Where the store finds it. */
  blob_id: string;
  /** Which store keeps it: `local_fs` or `nats_object`. */
  storage: string;
  /** What the sender calls it; empty where it has no name. Not to be used as a path. */
  filename: string;
  mime_type: string;
  size_bytes: number;
  /** 64 hexadecimal digits; empty where the sender gave none. */
  sha256: string;
  /** When it was stored; empty where the sender gave no time. */
  created_at: string;
}

/** A blob by its reference, by the payload that refers to it, or by its id. */
export type AnyBlob = BlobKey | BlobRefPayload;

/** What a store looks a blob up by. @throws {BlobRefError} The payload cannot be read. */
export function blobKey(blob: AnyBlob): BlobKey {
  return typeof blob === "string" ? blob : blobReference(blob);
}

/** A reference of either spelling as the stores have it. @throws {BlobRefError} The payload cannot be read. */
export function blobReference(blob: BlobRef | BlobRefPayload): BlobRef {
  if (typeof blob !== "object" || blob === null) throw new BlobRefError("a blob is named by its reference");
  if (!("blob_id" in blob)) return blob;
  const parsed = parseBlobRef(RawJson.from(blob).view());
  if (parsed === undefined)
    throw new BlobRefError(`the payload is no blob reference: its type must be ${BLOB_REF_TYPE}`);
  return parsed;
}

/** The payload to send. */
export function blobPayload(blob: BlobRef | BlobRefPayload): RawJson {
  return blobRefPayload(blobReference(blob));
}

/** A reference with the member names of the wire. */
export function wireReference(blob: BlobRef): BlobRefPayload {
  return {
    type: BLOB_REF_TYPE,
    blob_id: blob.blobId,
    storage: blob.storage,
    filename: blob.filename ?? "",
    mime_type: blob.mimeType,
    size_bytes: blob.size,
    sha256: blob.sha256 ?? "",
    created_at: blob.createdAt ?? "",
  };
}
