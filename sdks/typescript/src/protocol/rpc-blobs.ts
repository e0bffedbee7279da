/** The RPCs of blobs that the registry of a network in secure mode keeps for its members (PROTOCOL.md section 23.13). */

import { ascii, type JsonObject, ObjectWriter, type RawJson } from "../json/index.js";
import { type BlobRef, parseBlobRef } from "./blob-ref.js";
import { DecodeError, present } from "./decode.js";
import { notEmpty, rpc } from "./rpc-call.js";
import { integer, text } from "./rpc-records.js";

/** What a blob is, once all of it was put. */
export interface BlobEnd {
  size: number;
  /** As 64 hexadecimal digits. */
  sha256: string;
  filename?: string | undefined;
  mimeType: string;
  metadata?: RawJson | undefined;
}

/** Begins a blob (without members), adds its next piece, or ends it. */
export interface BlobPutRequest {
  /** As the reply to the first request gave it. */
  blobId?: string;
  /** Which piece this is, from 0. */
  chunk?: number;
  /** The piece; it is not empty. */
  data?: Uint8Array | undefined;
  end?: BlobEnd | undefined;
}

/** How far a blob is. */
export interface BlobPutReply {
  blobId: string;
  /** `open` or `stored`. */
  state: string;
  /** The number of the next piece. */
  chunks: number;
  /** Bytes of a piece at most. */
  maxChunkBytes: number;
  /** Once it is complete. */
  blob?: BlobRef;
}

/** A piece of a blob. */
export interface BlobGetReply {
  /** Empty behind the last one. */
  data: Uint8Array;
  /** What to ask for the next piece with. */
  next: number;
}

/** Begins a blob, adds a piece to it, completes it. */
export const blobPut = rpc<BlobPutRequest, BlobPutReply>(
  "blob_put",
  ["blob_id", "state"],
  (request, out) => {
    out.optText("blob_id", request.blobId);
    if (request.data !== undefined) out.int("chunk", request.chunk ?? 0).text("data", encoded(request.data));
    return request.end === undefined ? out : out.raw("end", endText(request.end));
  },
  (object) => ({
    blobId: notEmpty(object, "blob_id"),
    state: text(object, "state"),
    chunks: integer(object, "chunks"),
    maxChunkBytes: integer(object, "max_chunk_bytes"),
    ...present({ blob: parseBlobRef(object.get("blob")) }),
  }),
);

/** One piece of a blob. */
export const blobGet = rpc<{ blobId: string; after: number }, BlobGetReply>(
  "blob_get",
  ["blob_id", "data"],
  (request, out) => out.text("blob_id", request.blobId).int("after", request.after),
  (object) => ({ data: decoded(object, "data"), next: integer(object, "next") }),
);

/** What the registry knows of a blob. */
export const blobStat = rpc<{ blobId: string }, BlobRef>("blob_stat", ["blob"], byId, (object) => {
  const blob = parseBlobRef(object.get("blob"));
  if (blob === undefined) throw DecodeError.ofMember("blob", "is no reference");
  return blob;
});

/** Removes a blob, complete or not. */
export const blobDelete = rpc<{ blobId: string }, boolean>("blob_delete", ["deleted"], byId, (object) =>
  object.get("deleted").isTruthy(),
);

/** Lets accounts, and all members with a capability, read a blob that the caller may read. */
export const blobShare = rpc<{ blobId: string; to: readonly string[] }, void>(
  "blob_share",
  ["blob_id", "to"],
  (request, out) => byId(request, out).texts("to", request.to),
  () => undefined,
);

function byId(request: { blobId: string }, out: ObjectWriter): ObjectWriter {
  return out.text("blob_id", request.blobId);
}

function endText(end: BlobEnd): string {
  const out = new ObjectWriter()
    .int("size", end.size)
    .text("sha256", end.sha256)
    .optText("filename", end.filename)
    .text("mime_type", end.mimeType);
  return (end.metadata === undefined ? out : out.raw("metadata", ascii(end.metadata.text))).finish();
}

/** Base64url without padding, by the runtime: a piece has a quarter of a megabyte. */
function encoded(bytes: Uint8Array): string {
  const AT_ONCE = 32_768;
  let binary = "";
  for (let at = 0; at < bytes.length; at += AT_ONCE) {
    binary += String.fromCharCode(...bytes.subarray(at, at + AT_ONCE));
  }
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function decoded(object: JsonObject, name: string): Uint8Array {
  const base64 = object.get(name).text().replaceAll("-", "+").replaceAll("_", "/");
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    throw DecodeError.ofMember(name, "is not base64url");
  }
}
