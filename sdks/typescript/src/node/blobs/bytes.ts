/** The bytes of blobs on their way: cut into pieces, counted, hashed, reported and checked. */

import { platform } from "../../platform/index.js";
import { type BlobRef, Sha256, toHex } from "../../protocol/index.js";
import { BlobError, InvalidArgumentError } from "../errors.js";
import { throwIfAborted } from "../waits.js";
import { damaged, reasonOf } from "./errors.js";

/** Is called with the bytes done and, if known, with all bytes; the first call is for 0. */
export type BlobProgress = (done: number, total: number | undefined) => void;

/** What a blob can be made of. */
export type BlobSource = AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>;

/** Sees every byte of a blob once. */
export class Meter {
  done = 0;
  readonly #hash = platform.sha256?.() ?? new Sha256();
  readonly #total: number | undefined;
  readonly #progress: BlobProgress | undefined;

  /** Reports zero bytes done. */
  constructor(total: number | undefined, progress: BlobProgress | undefined) {
    this.#total = total;
    this.#progress = progress;
    progress?.(0, total);
  }

  count(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.done += bytes.length;
    this.#progress?.(this.done, this.#total);
  }

  /** The hash of what has passed; nothing can be counted after it. */
  digest(): Uint8Array {
    return this.#hash.digest();
  }
}

/** The bytes of a source in pieces of exactly `size`, but for the last one. No piece is empty. */
export async function* inPieces(
  source: BlobSource,
  size: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  let piece = new Uint8Array(size);
  let filled = 0;
  for await (const bytes of chunksOf(source)) {
    throwIfAborted(signal);
    for (let at = 0; at < bytes.length; ) {
      const count = Math.min(size - filled, bytes.length - at);
      piece.set(bytes.subarray(at, at + count), filled);
      at += count;
      filled += count;
      if (filled < size) continue;
      yield piece;
      // The piece may still be on its way.
      piece = new Uint8Array(size);
      filled = 0;
    }
  }
  throwIfAborted(signal);
  if (filled > 0) yield piece.subarray(0, filled);
}

async function* chunksOf(source: BlobSource): AsyncGenerator<Uint8Array> {
  try {
    if (Symbol.asyncIterator in source) {
      for await (const chunk of source) yield checked(chunk);
      return;
    }
    // Browsers without asynchronous iteration of streams.
    const reader = (source as ReadableStream<Uint8Array>).getReader();
    try {
      for (let next = await reader.read(); !next.done; next = await reader.read()) yield checked(next.value);
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  } catch (cause) {
    if (cause instanceof BlobError || cause instanceof InvalidArgumentError) throw cause;
    throw new BlobError(`the source of the blob failed: ${reasonOf(cause)}`, { code: "blob_source", cause });
  }
}

function checked(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  throw new InvalidArgumentError("the source of a blob must give Uint8Arrays");
}

/** One chunk as a source. */
export async function* ofBytes(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** What a store has found: the reference as stored, and the bytes, not yet checked. */
export interface FoundBlob {
  readonly blob: BlobRef;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/**
 * The bytes of a blob, checked on the way: one that is not what was stored ends with an error before its last bytes.
 *
 * @param sha256 What the caller's reference says; default: what the store's says.
 * @throws {BlobError} `blob_damaged`.
 */
export async function* checkedBytes(
  found: FoundBlob,
  sha256: string | undefined,
  progress: BlobProgress | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const { blobId, size } = found.blob;
  const meter = new Meter(size, progress);
  const check = (): void => {
    const expected = (sha256 ?? found.blob.sha256)?.toLowerCase();
    const actual = toHex(meter.digest());
    if (expected !== undefined && expected !== actual)
      throw damaged(blobId, `its sha256 is ${actual}, not ${expected}`);
  };
  for await (const bytes of found.bytes) {
    throwIfAborted(signal);
    if (bytes.length === 0) continue;
    if (meter.done + bytes.length > size) throw damaged(blobId, `it has more than its ${size} bytes`);
    meter.count(bytes);
    if (meter.done === size) {
      check();
      yield bytes;
      return;
    }
    yield bytes;
  }
  if (meter.done < size) throw damaged(blobId, `it ends after ${meter.done} of ${size} bytes`);
  check();
}
