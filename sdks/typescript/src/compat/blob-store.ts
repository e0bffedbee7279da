/**
 * Blobs by the names of the original's TypeScript SDK. They are stored as all SDKs store them (docs/BLOBS.md), not beside their
 * references in one folder as the original's TypeScript SDK did.
 */

import { AgentNetError } from "../errors.js";
import { RawJson } from "../json/index.js";
import { optionsOf } from "../node/checks.js";
import { BlobNotFoundError, BlobStore } from "../node/index.js";
import { parseBlobRef as parseReference } from "../protocol/index.js";
import { type AnyBlob, type BlobRefPayload, blobKey, wireReference } from "../sdk/blobs.js";
import { translated } from "./errors.js";

/** A reference to a blob: the payload of the message that refers to it. */
export type BlobRef = BlobRefPayload;

/** What a {@link LocalBlobStore} is made of. */
export interface BlobStoreOptions {
  /** Default: the environment's `AGENTNET_BLOB_DIR`, else `.agentnet_blobs`. */
  baseDir?: string;
}

/** Whether a payload refers to a blob. */
export function isBlobRef(payload: unknown): payload is BlobRef {
  try {
    parseBlobRef(payload);
    return true;
  } catch {
    return false;
  }
}

/**
 * The reference in a payload, its missing members filled in.
 *
 * @throws {AgentNetError} `invalid_blob_ref`: it is none.
 */
export function parseBlobRef(payload: unknown): BlobRef {
  let why = "its type is not blob_ref";
  let cause: unknown;
  try {
    const found = parseReference(RawJson.from(payload).view());
    if (found !== undefined) return wireReference(found);
  } catch (error) {
    cause = error;
    why = error instanceof Error ? error.message : String(error);
  }
  throw new AgentNetError(`the payload is not a blob reference: ${why}`, { code: "invalid_blob_ref" }, { cause });
}

/** The blob calls that the client and the local store have. */
export abstract class BlobCalls {
  /** @internal */
  protected abstract get blobStore(): BlobStore;

  /** Stores bytes. */
  async putBlobBytes(bytes: Uint8Array, filename: string, mimeType?: string): Promise<BlobRef> {
    return wireReference(await translated(() => this.blobStore.putBytes(bytes, { filename, mimeType })));
  }

  /** Stores a file, under its own name. */
  async putBlobFile(path: string): Promise<BlobRef> {
    return wireReference(await translated(() => this.blobStore.putFile(path)));
  }

  /** A blob's bytes, checked against its hash. @throws {AgentNetError} `blob_not_found` among others. */
  async getBlobBytes(blob: AnyBlob): Promise<Uint8Array> {
    return await translated(() => this.blobStore.getBytes(blobKey(blob)));
  }

  /** A blob's text, UTF-8. @throws {AgentNetError} `blob_not_found` among others. */
  async getBlobText(blob: AnyBlob): Promise<string> {
    return await translated(() => this.blobStore.getText(blobKey(blob)));
  }

  /** The reference of a blob. @throws {AgentNetError} `blob_not_found` among others. */
  async headBlob(blob: AnyBlob): Promise<BlobRef> {
    return await translated(async () => {
      const found = await this.blobStore.head(blobKey(blob));
      if (found === undefined) throw new BlobNotFoundError(`there is no blob ${String(idOf(blob)).slice(0, 128)}`);
      return wireReference(found);
    });
  }

  /** Removes a blob; that there is none is no error. */
  async deleteBlob(blob: AnyBlob): Promise<void> {
    await translated(() => this.blobStore.delete(blobKey(blob)));
  }
}

/** Blobs in a directory: `data/<id>` and `meta/<id>.json`. Not in browsers. */
export class LocalBlobStore extends BlobCalls {
  readonly #store: BlobStore;

  constructor(options: BlobStoreOptions = {}) {
    super();
    const { baseDir } = optionsOf(options);
    this.#store = new BlobStore(
      baseDir === undefined ? { storage: "local_fs" } : { storage: "local_fs", dir: baseDir },
    );
  }

  /** @internal */
  protected override get blobStore(): BlobStore {
    return this.#store;
  }
}

function idOf(blob: AnyBlob): string {
  if (typeof blob === "string") return blob;
  return "blob_id" in blob ? blob.blob_id : blob.blobId;
}
