/** References to blobs: the payload that travels in place of a file (PROTOCOL.md section 5.5). */

import { AgentNetError } from "../errors.js";
import { type JsonObject, type JsonView, ObjectWriter, RawJson, trim } from "../json/index.js";
import { present } from "./decode.js";

/** `type` of the payload. */
export const BLOB_REF_TYPE = "blob_ref";
/** The MIME type of a blob that names none. */
export const DEFAULT_MIME_TYPE = "application/octet-stream";
/** `storage` of a blob in a directory; also what is meant where a payload names none. */
export const LOCAL_STORAGE = "local_fs";
/** `storage` of a blob in the object store of the network's NATS servers. */
export const NATS_OBJECT_STORAGE = "nats_object";

/** A reference to bytes that are kept elsewhere. */
export interface BlobRef {
  /** Where the store finds it; never blank. Whether it is a valid id is for the store to check. */
  blobId: string;
  /** Which store keeps it. */
  storage: string;
  /** What the sender calls it. Not to be used as a path. */
  filename?: string;
  /** What it is. */
  mimeType: string;
  /** Its length in bytes; 0 where the payload does not say. */
  size: number;
  /** Its SHA-256 as 64 lower-case hexadecimal digits. */
  sha256?: string;
  /** When it was stored, as the sender wrote it (section 3). */
  createdAt?: string;
  /** An object of the sender's own, if it is not empty. */
  metadata?: RawJson;
  /** A word from the sender. */
  text?: string;
}

/** A `blob_ref` payload that cannot be read. Code `invalid_blob_ref`. */
export class BlobRefError extends AgentNetError {
  constructor(message: string) {
    super(message, { code: "invalid_blob_ref" });
    this.name = "BlobRefError";
  }
}

/** Whether this can be the id of a blob: 1 to 128 of `A-Z a-z 0-9 _ -`. None of them is a path. */
export function isBlobId(id: string): boolean {
  return /^[A-Za-z0-9_-]{1,128}$/.test(id) && !id.includes("\n");
}

/**
 * Reads a payload; `undefined` where its `type` is another. `name` is read where `filename` is missing, `size` where `size_bytes` is.
 *
 * @throws {@link BlobRefError} where the type is right and a member is not.
 */
export function parseBlobRef(payload: JsonView): BlobRef | undefined {
  const object = payload.asObject();
  if (object === undefined || trim(object.get("type").text()).toLowerCase() !== BLOB_REF_TYPE) return undefined;
  const text = (name: string) => trim(object.get(name).text()) || undefined;
  const size = readSize(object);
  const sha256 = text("sha256")?.toLowerCase();
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/.test(sha256)) {
    throw new BlobRefError("the `sha256` of a blob_ref payload must be 64 hexadecimal digits");
  }
  const blobId = text("blob_id");
  if (blobId === undefined) throw new BlobRefError("a blob_ref payload needs a `blob_id`");
  if (size === undefined) {
    throw new BlobRefError("the `size_bytes` of a blob_ref payload must be a number of bytes");
  }
  const metadata = object.get("metadata");
  return {
    blobId,
    storage: text("storage") ?? LOCAL_STORAGE,
    mimeType: text("mime_type") ?? DEFAULT_MIME_TYPE,
    size,
    ...present({
      filename: text("filename") ?? text("name"),
      sha256,
      createdAt: text("created_at"),
      metadata: metadata.kind === "object" && metadata.isTruthy() ? metadata.toRaw() : undefined,
      text: text("text"),
    }),
  };
}

function readSize(object: JsonObject): number | undefined {
  const given = object.get("size_bytes").isNull() ? object.get("size") : object.get("size_bytes");
  if (given.isNull()) return 0;
  try {
    const size = given.int();
    return size !== undefined && size >= 0n && size <= 0xffff_ffff_ffff_ffffn ? Number(size) : undefined;
  } catch {
    return undefined;
  }
}

/** The payload to send. */
export function blobRefPayload(blob: BlobRef): RawJson {
  const out = new ObjectWriter()
    .text("type", BLOB_REF_TYPE)
    .text("blob_id", blob.blobId)
    .text("storage", blob.storage)
    .text("mime_type", blob.mimeType)
    .int("size_bytes", blob.size)
    .optText("filename", blob.filename)
    .optText("sha256", blob.sha256)
    .optText("created_at", blob.createdAt);
  // As it is, like Rust: the envelope makes it ASCII.
  if (blob.metadata !== undefined) out.raw("metadata", blob.metadata.text);
  return RawJson.trusted(out.optText("text", blob.text).finish());
}
