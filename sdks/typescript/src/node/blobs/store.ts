/** {@link BlobStore}: bytes too large for a message, kept in a store and referred to by a small payload (docs/BLOBS.md). */

import type { NatsConnection } from "@nats-io/nats-core";

import { RawJson } from "../../json/index.js";
import { type BlobRef, isBlobId, prefixedId, Timestamp } from "../../protocol/index.js";
import { optionsOf } from "../checks.js";
import { Connection } from "../connection.js";
import { BlobError, InvalidArgumentError } from "../errors.js";
import { type Logger, SILENT_LOGGER } from "../logger.js";
import type { RegistryClient } from "../registry-client.js";
import { throwIfAborted } from "../waits.js";
import { type BlobProgress, type BlobSource, checkedBytes, type FoundBlob, Meter, ofBytes } from "./bytes.js";
import { fileError, invalidId } from "./errors.js";
import { LocalStore, requireFiles, StagedFile } from "./local.js";
import { mimeTypeOf, shownName } from "./names.js";
import { ObjectStore } from "./object-store.js";
import { RegistryStore } from "./registry-store.js";
import { type BlobOptions, type BlobSettings, resolveBlobSettings, storageOfReference } from "./settings.js";
import { upload } from "./upload.js";

/** What a blob is looked up by: an id, which is looked for where new blobs go, or a reference, which names its store. */
export type BlobKey = string | BlobRef;

/** The options of a put. */
export interface PutBlobOptions {
  /** What receivers are to call it. Default: a file's own name, else none. Path separators and the like become `_`. */
  readonly filename?: string | undefined;
  /** What it is. Default: by the file name, else `application/octet-stream`. */
  readonly mimeType?: string | undefined;
  /** A JSON object that goes with the reference. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  /** Is called with the bytes taken in so far, and with all bytes where they are known beforehand. */
  readonly progress?: BlobProgress | undefined;
  /** Gives the put up; nothing is left of it. */
  readonly signal?: AbortSignal | undefined;
}

/** The options of a read. */
export interface GetBlobOptions {
  /** Is called with the bytes read so far, and with all bytes. */
  readonly progress?: BlobProgress | undefined;
  /** Gives the read up. */
  readonly signal?: AbortSignal | undefined;
}

/** A blob that is read piece by piece. */
export interface OpenBlob extends AsyncIterable<Uint8Array> {
  /** The blob, as its store knows it. */
  readonly blob: BlobRef;
}

/** What a store with a connection knows of its node. */
export interface StoreSurroundings {
  readonly connection: Connection;
  /** In secure mode, the registry keeps what is in the network's store. */
  readonly registry?: RegistryClient | undefined;
  readonly logger: Logger;
  /** Is aborted when nothing more can be sent. */
  readonly ended?: AbortSignal | undefined;
  /** Puts that are under way are given up, and awaited, when this is called; the returned function ends that. */
  onClose?(giveUp: () => Promise<void>): () => void;
}

/**
 * Stores blobs and reads them, in a directory or in the network's object store.
 *
 * New blobs go where the settings say. Reading follows the reference: a blob that says `local_fs` is read from the directory, one that
 * says `nats_object` from the network, whatever the settings say. Transfers of any size need little memory; only {@link getBytes}
 * and {@link getText} hold a whole blob, up to `memoryLimit`. Every read compares size and SHA-256, and fails before its last bytes.
 *
 * All calls throw {@link BlobError}, {@link BlobNotFoundError} where a blob that is to be read is not there.
 *
 * ```ts
 * const chart = await node.blobs.putFile("chart.png");
 * await node.sendBlobRef("@vision_agent", chart);
 * ```
 */
export class BlobStore {
  /** The settings of this store. */
  readonly settings: BlobSettings;
  readonly #local: LocalStore;
  readonly #network: ObjectStore | RegistryStore | undefined;
  readonly #surroundings: StoreSurroundings | undefined;

  /**
   * A store with these settings; what is in the network's store cannot be reached without a connection.
   *
   * @param connection One of the caller's, opened with the option `inboxPrefix: "_AGENTNET"`, which keeps blobs out of the history.
   * @throws {InvalidArgumentError} A setting, or a variable of the environment, cannot be used.
   */
  constructor(settings: BlobOptions = {}, connection?: NatsConnection | StoreSurroundings) {
    this.settings = resolveBlobSettings(settings);
    this.#local = new LocalStore(this.settings.dir);
    if (connection === undefined) return;
    this.#surroundings =
      "logger" in connection
        ? connection
        : { connection: Connection.on(connection, SILENT_LOGGER), logger: SILENT_LOGGER };
    // In secure mode, agents have no rights of the object store.
    const registry = this.#surroundings.connection.issuer.isSecure ? this.#surroundings.registry : undefined;
    this.#network =
      registry === undefined
        ? new ObjectStore(this.#surroundings.connection, this.settings)
        : new RegistryStore(registry, this.settings);
  }

  /** A store in this directory. */
  static local(dir: string): BlobStore {
    return new BlobStore({ dir, storage: "local_fs" });
  }

  /** The network's store on a connection of the caller's: see the constructor. */
  static network(connection: NatsConnection, settings: BlobOptions = {}): BlobStore {
    return new BlobStore({ storage: "nats_object", ...settings }, connection);
  }

  /** Stores bytes, or a text as UTF-8. */
  async putBytes(bytes: Uint8Array | ArrayBuffer | string, options: PutBlobOptions = {}): Promise<BlobRef> {
    const data = bytesOf(bytes);
    return await this.#put(ofBytes(data), data.length, undefined, options);
  }

  /** Stores a file, under its own name by default. Not in browsers: see {@link putStream}. */
  async putFile(path: string, options: PutBlobOptions = {}): Promise<BlobRef> {
    const { fs, path: paths } = requireFiles();
    const file = await fs.open(path, "r").catch((cause: unknown) => {
      throw fileError("open", path, cause);
    });
    try {
      const about = await file.stat();
      if (about.isDirectory()) throw new BlobError(`cannot store ${path}: it is a directory`, { code: "blob_file" });
      const stream = file.createReadStream({ autoClose: false, highWaterMark: 256 * 1024 });
      return await this.#put(stream, about.isFile() ? about.size : undefined, paths.basename(path), options);
    } finally {
      await file.close();
    }
  }

  /** Stores what a stream gives until its end: a `ReadableStream`, such as `file.stream()` of a browser, or an async iterable. */
  async putStream(source: BlobSource, options: PutBlobOptions = {}): Promise<BlobRef> {
    return await this.#put(source, undefined, undefined, options);
  }

  /** Reads a blob into memory, up to `memoryLimit`. */
  async getBytes(blob: BlobKey, options: GetBlobOptions = {}): Promise<Uint8Array> {
    const found = await this.#find(blob, options);
    const { blobId, size } = found.blob;
    const { memoryLimit } = this.settings;
    if (size > memoryLimit) {
      const text = `blob ${blobId} of ${size} bytes exceeds memoryLimit=${memoryLimit}: read it with getToFile or open`;
      throw new BlobError(text, { code: "blob_too_large" });
    }
    const bytes = new Uint8Array(size);
    let at = 0;
    for await (const piece of this.#checked(found, blob, options)) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  /** Reads a blob of UTF-8 text into memory, up to `memoryLimit`. */
  async getText(blob: BlobKey, options: GetBlobOptions = {}): Promise<string> {
    const bytes = await this.getBytes(blob, options);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch (cause) {
      throw new BlobError(`blob ${idOf(blob)} is not valid UTF-8`, { code: "blob_not_text", cause });
    }
  }

  /**
   * Writes a blob to a file, which appears (or is replaced) when all of the blob is there and checked. The directory must exist.
   *
   * @returns the blob, as its store knows it.
   */
  async getToFile(blob: BlobKey, path: string, options: GetBlobOptions = {}): Promise<BlobRef> {
    const files = requireFiles();
    const found = await this.#find(blob, options);
    const staged = new StagedFile(files, files.path.dirname(path));
    const doing = async (work: Promise<void>): Promise<void> => {
      await work.catch((cause: unknown) => {
        throw fileError("write", path, cause);
      });
    };
    try {
      await doing(staged.open());
      for await (const piece of this.#checked(found, blob, options)) await doing(staged.write(piece));
      await doing(staged.seal());
      await doing(staged.appear(path, true));
      return found.blob;
    } finally {
      await staged.discard();
    }
  }

  /** Opens a blob to be read piece by piece. What was read before the end is unchecked: act on it when the end is reached. */
  async open(blob: BlobKey, options: GetBlobOptions = {}): Promise<OpenBlob> {
    const found = await this.#find(blob, options);
    const pieces = this.#checked(found, blob, options);
    return { blob: found.blob, [Symbol.asyncIterator]: () => pieces };
  }

  /** What the store knows of a blob; undefined if it has no such blob. */
  async head(blob: BlobKey): Promise<BlobRef | undefined> {
    const id = idOf(blob);
    return this.#isLocal(blob) ? await this.#local.head(id) : await this.#connected().head(id);
  }

  /** Removes a blob; false if there was none. */
  async delete(blob: BlobKey): Promise<boolean> {
    const id = idOf(blob);
    return this.#isLocal(blob) ? await this.#local.delete(id) : await this.#connected().delete(id);
  }

  /**
   * Removes what processes that were killed in the middle of a put have left in the store where new blobs go, if nothing was written
   * to it for at least this long: choose a time longer than any put pauses, such as an hour.
   *
   * @returns how many unfinished blobs there were.
   */
  async sweep(olderThanMs: number): Promise<number> {
    if (typeof olderThanMs !== "number" || Number.isNaN(olderThanMs)) {
      throw new InvalidArgumentError("olderThanMs must be a number of milliseconds");
    }
    const { storage } = this.settings;
    return storage === "local_fs" ? await this.#local.sweep(olderThanMs) : await this.#connected().sweep(olderThanMs);
  }

  async #put(
    source: BlobSource,
    total: number | undefined,
    ownName: string | undefined,
    given: PutBlobOptions,
  ): Promise<BlobRef> {
    const options = optionsOf(given);
    throwIfAborted(options.signal);
    const network = this.settings.storage === "local_fs" ? undefined : this.#connected();
    const blob = newBlob(this.settings.storage, ownName, options);
    const meter = new Meter(total, options.progress);
    if (network === undefined) return await this.#local.put(blob, source, meter, options.signal);
    return await this.#upload(network, blob, source, meter, options.signal);
  }

  async #upload(
    network: ObjectStore | RegistryStore,
    blob: BlobRef,
    source: BlobSource,
    meter: Meter,
    given: AbortSignal | undefined,
  ): Promise<BlobRef> {
    const surroundings = this.#surroundings;
    const abort = new AbortController();
    const onAbort = (): void => abort.abort(given?.reason);
    given?.addEventListener("abort", onAbort, { once: true });
    const how = {
      signal: abort.signal,
      ended: surroundings?.ended,
      warn: (message: string, fields: Readonly<Record<string, unknown>>) => surroundings?.logger.warn(message, fields),
    };
    const stored =
      network instanceof RegistryStore
        ? network.put(blob, source, meter, how)
        : upload(network, blob, source, meter, how);
    const forget = surroundings?.onClose?.(async () => {
      abort.abort(
        new BlobError("the node was closed while the blob was being stored", { code: "blob_connection_lost" }),
      );
      await stored.catch(() => undefined);
    });
    try {
      return await stored;
    } finally {
      forget?.();
      given?.removeEventListener("abort", onAbort);
    }
  }

  async #find(blob: BlobKey, options: GetBlobOptions): Promise<FoundBlob> {
    const { signal } = optionsOf(options);
    throwIfAborted(signal);
    const id = idOf(blob);
    return this.#isLocal(blob) ? await this.#local.get(id) : await this.#connected().get(id, signal);
  }

  #checked(found: FoundBlob, blob: BlobKey, options: GetBlobOptions): AsyncGenerator<Uint8Array> {
    const sha256 = typeof blob === "string" ? undefined : blob.sha256;
    const { progress, signal } = optionsOf(options);
    return checkedBytes(found, sha256, progress, signal);
  }

  #isLocal(blob: BlobKey): boolean {
    const storage = typeof blob === "string" ? this.settings.storage : storageOfReference(blob.storage);
    return storage === "local_fs";
  }

  #connected(): ObjectStore | RegistryStore {
    if (this.#network !== undefined) return this.#network;
    throw new BlobError("the network's object store needs a connection: start the node first", {
      code: "blob_not_connected",
    });
  }
}

function newBlob(storage: string, ownName: string | undefined, options: PutBlobOptions): BlobRef {
  const { metadata } = options;
  const name = options.filename ?? ownName;
  const filename = name === undefined ? undefined : shownName(name);
  const mimeType = options.mimeType?.trim();
  const hasMetadata = metadata !== undefined && Object.keys(metadata).length > 0;
  return {
    blobId: prefixedId("blob"),
    storage,
    mimeType: mimeType === undefined || mimeType === "" ? mimeTypeOf(filename) : mimeType,
    size: 0,
    createdAt: Timestamp.now().toString(),
    ...(filename === undefined ? {} : { filename }),
    ...(hasMetadata ? { metadata: RawJson.from(metadata) } : {}),
  };
}

/** @throws {BlobError} `blob_id_invalid`: before a path is made of it. */
function idOf(blob: BlobKey): string {
  const id = typeof blob === "string" ? blob : blob?.blobId;
  if (typeof id !== "string" || !isBlobId(id)) throw invalidId(id);
  return id;
}

function bytesOf(bytes: Uint8Array | ArrayBuffer | string): Uint8Array {
  if (typeof bytes === "string") return new TextEncoder().encode(bytes);
  if (bytes instanceof Uint8Array) return bytes;
  if (bytes instanceof ArrayBuffer) return new Uint8Array(bytes);
  throw new InvalidArgumentError("a blob is made of a Uint8Array, an ArrayBuffer or a text");
}
