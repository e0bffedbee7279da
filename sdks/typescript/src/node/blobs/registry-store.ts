/**
 * The network's store in secure mode: the registry keeps the blobs of members, who have no rights of JetStream (PROTOCOL.md section
 * 23.13).
 *
 * A blob is put and read piece by piece, each by one request. The receiver of a message may come for its blob before the registry has
 * stored that message, which gives it the right: so a blob that is not found is asked for again, for a short while.
 */

import { type BlobRef, RPC, type Rpc, toHex } from "../../protocol/index.js";
import { BlobError, RegistryError } from "../errors.js";
import type { RegistryClient } from "../registry-client.js";
import { monotonic, pause } from "../waits.js";
import { type BlobSource, type FoundBlob, inPieces, type Meter } from "./bytes.js";
import { networkError, notFound } from "./errors.js";
import type { BlobSettings } from "./settings.js";
import type { UploadOptions } from "./upload.js";

/** How long the registry may take to answer one request. */
const REPLY_TIMEOUT_MS = 20_000;
/** Delays before a blob that is not found is asked for again: the message that names it may not be stored yet. */
const FIND_RETRY_DELAYS_MS: readonly number[] = [50, 100, 200, 400, 800, 1_000];
/** Delay before a request is repeated that a busy registry has refused. */
const BUSY_RETRY_DELAY_MS = 100;
/** The only bucket of a network in secure mode. */
const BUCKET = "agentnet_blobs";

/** What the registry keeps. Ids that come here are checked. */
export class RegistryStore {
  readonly #registry: RegistryClient;
  readonly #settings: BlobSettings;

  constructor(registry: RegistryClient, settings: BlobSettings) {
    this.#registry = registry;
    this.#settings = settings;
  }

  /** Stores a blob; id, time, size and hash are filled in. */
  async put(blob: BlobRef, source: BlobSource, meter: Meter, options: UploadOptions): Promise<BlobRef> {
    const { signal } = options;
    const doing = "store the blob";
    const begun = await this.#call(doing, RPC.blobPut, {}, signal);
    const { blobId } = begun;
    try {
      let chunk = 0;
      for await (const data of inPieces(source, Math.max(1, begun.maxChunkBytes), signal)) {
        meter.count(data);
        await this.#call(doing, RPC.blobPut, { blobId, chunk, data }, signal);
        chunk += 1;
      }
      const { filename, mimeType, metadata } = blob;
      const end = { size: meter.done, sha256: toHex(meter.digest()), filename, mimeType, metadata };
      const stored = await this.#call(doing, RPC.blobPut, { blobId, end }, signal);
      if (stored.blob === undefined) {
        throw new BlobError("the registry gave no reference to the blob", { code: "blob_network" });
      }
      return stored.blob;
    } catch (error) {
      // What is left, the registry removes later.
      await this.#registry.call(RPC.blobDelete, { blobId }).catch(() => undefined);
      throw error;
    }
  }

  /** What the registry knows of a blob; undefined if it has none that this account may read. */
  async head(id: string, signal?: AbortSignal): Promise<BlobRef | undefined> {
    for (const delay of FIND_RETRY_DELAYS_MS) {
      const found = await this.#call("look for the blob", RPC.blobStat, { blobId: id }, signal).catch(ifNotFound);
      if (found !== undefined) return found;
      await pause(delay, signal);
    }
    return await this.#call("look for the blob", RPC.blobStat, { blobId: id }, signal).catch(ifNotFound);
  }

  /** A blob and its bytes. */
  async get(id: string, signal: AbortSignal | undefined): Promise<FoundBlob> {
    const blob = await this.head(id, signal);
    if (blob === undefined) throw notFound(id, "what the registry keeps, or this account may not read it");
    return { blob, bytes: this.#pieces(id, signal) };
  }

  /** Removes a blob; whether there was one that this account may remove. */
  async delete(id: string): Promise<boolean> {
    const deleted = await this.#call("delete the blob", RPC.blobDelete, { blobId: id }).catch(ifNotFound);
    return deleted ?? false;
  }

  /** The registry removes by itself what was begun and left. */
  async sweep(): Promise<number> {
    return 0;
  }

  async *#pieces(blobId: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    for (let after = 0; ; ) {
      const piece = await this.#call("read the blob", RPC.blobGet, { blobId, after }, signal);
      if (piece.data.length === 0 || piece.next <= after) return;
      after = piece.next;
      yield piece.data;
    }
  }

  /** Calls, and calls again while the registry is busy. */
  async #call<Request, Reply>(
    doing: string,
    rpc: Rpc<Request, Reply>,
    request: Request,
    signal?: AbortSignal,
  ): Promise<Reply> {
    const deadline = monotonic() + this.#settings.stallTimeoutMs;
    for (;;) {
      try {
        return await this.#registry.call(rpc, request, { timeoutMs: REPLY_TIMEOUT_MS, signal });
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        if (isNotFound(error)) throw error;
        if (!error.message.startsWith("blob_busy: ") || monotonic() >= deadline) {
          throw networkError(doing, BUCKET, error);
        }
      }
      await pause(BUSY_RETRY_DELAY_MS, signal);
    }
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof RegistryError && error.code === "not_found";
}

function ifNotFound(error: unknown): undefined {
  if (isNotFound(error)) return undefined;
  throw error;
}
