/**
 * Storing an object, in the form of the JetStream object store.
 *
 * The client's own `put` waits for each piece to be stored before it sends the next. This one has a few on their way at the same
 * time, notices a lost connection at once, and takes back what it has sent when it fails or is given up.
 *
 * 1. the pieces, to `$O.<bucket>.C.<nuid>`
 * 2. when all are stored, the object's entry to `$O.<bucket>.M.<name>`: only now there is an object
 */

import { headers } from "@nats-io/nats-core";
import { type BlobRef, NATS_OBJECT_STORAGE, newUlid, toHex } from "../../protocol/index.js";
import { BlobError } from "../errors.js";
import { pause, TIMED_OUT, withDeadline } from "../waits.js";
import { type BlobSource, inPieces, type Meter } from "./bytes.js";
import {
  type Bucket,
  chunkSubject,
  metaSubject,
  type ObjectStore,
  objectMetadata,
  REPLY_TIMEOUT_MS,
} from "./object-store.js";

/** The object store's usual size of a piece. */
const CHUNK_BYTES = 128 * 1024;
/** Pieces on their way at the same time. */
const MAX_CHUNKS_IN_FLIGHT = 16;
/** How often the state of the connection is looked at. */
const POLL_INTERVAL_MS = 100;
/** How long a failed put waits for the removal of its pieces; after that the removal goes on in the background. */
const CLEANUP_TIMEOUT_MS = 2_000;
/** How long the removal of pieces waits for a lost connection. */
const CLEANUP_RETRY_TIMEOUT_MS = 600_000;

/** What an upload needs of its surroundings. */
export interface UploadOptions {
  readonly signal: AbortSignal | undefined;
  /** Is aborted when nothing more can be sent. */
  readonly ended: AbortSignal | undefined;
  /** Is told of pieces that could not be removed. */
  warn(message: string, fields: Readonly<Record<string, unknown>>): void;
}

/** Stores a blob in the bucket of a store; size and hash are filled in. */
export async function upload(
  store: ObjectStore,
  blob: BlobRef,
  source: BlobSource,
  meter: Meter,
  options: UploadOptions,
): Promise<BlobRef> {
  const bucket = await store.bucket(true);
  if (bucket === undefined) throw new BlobError("the bucket cannot be made", { code: "blob_network" });
  const one = new Upload(store, bucket, blob, options);
  try {
    return await one.run(source, meter);
  } catch (error) {
    await withDeadline(one.takeBack(), CLEANUP_TIMEOUT_MS).catch(() => undefined);
    throw error;
  }
}

/** A put under way. */
class Upload {
  readonly #store: ObjectStore;
  readonly #bucket: Bucket;
  readonly #blob: BlobRef;
  readonly #options: UploadOptions;
  readonly #nuid = newUlid();
  readonly #inFlight = new Set<Promise<unknown>>();
  /** Which connection this is; what was on its way on another is lost. */
  readonly #connection: number;
  #failure: { readonly error: unknown } | undefined;

  constructor(store: ObjectStore, bucket: Bucket, blob: BlobRef, options: UploadOptions) {
    this.#store = store;
    this.#bucket = bucket;
    this.#blob = blob;
    this.#options = options;
    this.#connection = store.connection.number;
  }

  async run(source: BlobSource, meter: Meter): Promise<BlobRef> {
    const { name } = this.#bucket;
    const limit = Math.min(CHUNK_BYTES, this.#store.connection.nats.info?.max_payload ?? CHUNK_BYTES);
    const subject = chunkSubject(name, this.#nuid);
    let chunks = 0;
    for await (const piece of inPieces(source, limit, this.#options.signal)) {
      meter.count(piece);
      await this.#stored(MAX_CHUNKS_IN_FLIGHT - 1);
      this.#publish(subject, piece);
      chunks += 1;
    }
    await this.#stored(0);
    const digest = meter.digest();
    const blob: BlobRef = { ...this.#blob, storage: NATS_OBJECT_STORAGE, size: meter.done, sha256: toHex(digest) };
    const entry = {
      name: blob.blobId,
      description: blob.filename,
      metadata: objectMetadata(blob),
      options: { max_chunk_size: limit },
      bucket: name,
      nuid: this.#nuid,
      size: blob.size,
      mtime: blob.createdAt,
      chunks,
      digest: `SHA-256=${base64Url(digest)}`,
    };
    this.#publish(metaSubject(name, blob.blobId), new TextEncoder().encode(JSON.stringify(entry)), true);
    await this.#stored(0);
    return blob;
  }

  #publish(subject: string, body: Uint8Array, isEntry = false): void {
    this.#check();
    const options: { timeout: number; headers?: ReturnType<typeof headers> } = { timeout: REPLY_TIMEOUT_MS };
    if (isEntry) {
      options.headers = headers();
      options.headers.set("Nats-Rollup", "sub");
    }
    const stored = this.#bucket.js.publish(subject, body, options);
    this.#inFlight.add(stored);
    stored.then(
      () => this.#inFlight.delete(stored),
      (error: unknown) => {
        this.#failure ??= { error };
        this.#inFlight.delete(stored);
      },
    );
  }

  /** Waits until no more than so many pieces are on their way. */
  async #stored(underWay: number): Promise<void> {
    for (;;) {
      this.#check();
      if (this.#inFlight.size <= underWay) return;
      const settled = Promise.race(this.#inFlight).catch(() => undefined);
      await withDeadline(settled, POLL_INTERVAL_MS, this.#options.signal);
    }
  }

  #check(): void {
    const { signal, ended } = this.#options;
    signal?.throwIfAborted();
    const { connection } = this.#store;
    if (!connection.isConnected || connection.number !== this.#connection || ended?.aborted === true) {
      throw new BlobError(
        "the connection to NATS was lost while the blob was being stored: nothing is stored, put it again",
        { code: "blob_connection_lost", cause: this.#failure?.error },
      );
    }
    const failure = this.#failure;
    if (failure === undefined) return;
    const { message } = failure.error instanceof Error ? failure.error : { message: String(failure.error) };
    throw new BlobError(`cannot store the blob in the bucket ${this.#bucket.name}: ${message}`, {
      code: "blob_network",
      cause: failure.error,
    });
  }

  /** Takes everything back, as soon as there is a connection. Never rejects. */
  async takeBack(): Promise<void> {
    const { ended } = this.#options;
    // A purge must not overtake what it is to remove.
    await withDeadline(Promise.allSettled(this.#inFlight), CLEANUP_TIMEOUT_MS);
    const cleared = (async (): Promise<void> => {
      while (ended?.aborted !== true && !(await this.#purge())) await pause(POLL_INTERVAL_MS, ended);
    })();
    if ((await withDeadline(cleared, CLEANUP_RETRY_TIMEOUT_MS)) !== TIMED_OUT && ended?.aborted !== true) return;
    const subject = chunkSubject(this.#bucket.name, this.#nuid);
    this.#options.warn("pieces of a blob that failed could not be removed; sweep() removes them", { subject });
  }

  /** Whether nothing is left to purge. */
  async #purge(): Promise<boolean> {
    if (!this.#store.connection.isConnected) return false;
    const { jsm, name, stream } = this.#bucket;
    try {
      // The entry too: it may have been stored though no answer came.
      for (const filter of [metaSubject(name, this.#blob.blobId), chunkSubject(name, this.#nuid)]) {
        const { purged } = await jsm.streams.purge(stream, { filter });
        if (purged > 0) return false;
      }
      return true;
    } catch (error) {
      // There is no bucket any more.
      return (error as { code?: unknown }).code === 10_059;
    }
  }
}

/** Base64url with padding, as object stores write digests. */
function base64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_");
}
