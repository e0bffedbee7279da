/**
 * The network's store: a bucket of the JetStream object store, readable by every client of it (`nats object get` included).
 *
 * A blob is an object whose name is its id; the reference is in the object's metadata. `upload.ts` stores, `download.ts` reads.
 */

import type { DiscardPolicy, JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";

import { JsonObject, JsonView } from "../../json/index.js";
import {
  type BlobRef,
  blobRefPayload,
  CONNECTION_INBOX_PREFIX,
  fromUnpaddedBase64,
  NATS_OBJECT_STORAGE,
  parseBlobRef,
  toHex,
} from "../../protocol/index.js";
import type { Connection } from "../connection.js";
import { BlobError } from "../errors.js";
import type { FoundBlob } from "./bytes.js";
import { Download } from "./download.js";
import { networkError, notFound, reasonOf } from "./errors.js";
import { mimeTypeOf, shownName } from "./names.js";
import type { BlobSettings } from "./settings.js";

/** How long the server may take to answer one request or to store one piece. */
export const REPLY_TIMEOUT_MS = 20_000;
/** The member of an object's metadata that holds the reference. */
const REFERENCE_MEMBER = "blob_ref";
/** Code of the server: there is no such stream. */
const STREAM_NOT_FOUND = 10_059;
/** Codes of the server: JetStream is off, as a whole or for the account. */
const WITHOUT_JETSTREAM: readonly number[] = [10_039, 10_076];

/** A bucket that is there. */
export interface Bucket {
  readonly name: string;
  readonly stream: string;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  /** Whether pieces can be read directly, many by one request. */
  readonly isDirect: boolean;
  /** Whether a reader may be answered by a server that has not stored the last pieces yet. */
  readonly isReplicated: boolean;
}

/** What the store knows of an object. */
export interface StoredObject {
  readonly blob: BlobRef;
  readonly nuid: string;
}

/** The subject of an object's entry. */
export function metaSubject(bucket: string, id: string): string {
  // Ids are ASCII.
  return `$O.${bucket}.M.${btoa(id).replaceAll("+", "-").replaceAll("/", "_")}`;
}

/** The subject of an object's pieces. */
export function chunkSubject(bucket: string, nuid: string): string {
  return `$O.${bucket}.C.${nuid}`;
}

/** The member of an object's metadata that {@link ObjectStore} reads. */
export function objectMetadata(blob: BlobRef): Record<string, string> {
  return { [REFERENCE_MEMBER]: blobRefPayload(blob).text };
}

/** One bucket on one connection. Ids that come here are checked. */
export class ObjectStore {
  readonly connection: Connection;
  readonly settings: BlobSettings;
  /** Opened when first needed; forgotten when something fails, since the bucket may be gone. */
  #bucket: Promise<Bucket | undefined> | undefined;

  constructor(connection: Connection, settings: BlobSettings) {
    this.connection = connection;
    this.settings = settings;
  }

  /** What the store knows of a blob; undefined if it has no such blob. */
  async head(id: string): Promise<BlobRef | undefined> {
    const bucket = await this.bucket(false);
    return bucket === undefined ? undefined : (await this.#find(bucket, id))?.blob;
  }

  /** A blob and its bytes. */
  async get(id: string, signal: AbortSignal | undefined): Promise<FoundBlob> {
    const bucket = await this.bucket(false);
    const found = bucket === undefined ? undefined : await this.#find(bucket, id);
    if (bucket === undefined || found === undefined) throw notFound(id, `the bucket ${this.settings.bucket}`);
    const subject = chunkSubject(bucket.name, found.nuid);
    const { stallTimeoutMs } = this.settings;
    const download = new Download(this.connection, bucket, subject, { stallTimeoutMs, signal });
    return { blob: found.blob, bytes: found.blob.size === 0 ? nothing() : download.pieces() };
  }

  /** Removes a blob, its reference first; whether there was anything to remove. */
  async delete(id: string): Promise<boolean> {
    const bucket = await this.bucket(false);
    const found = bucket === undefined ? undefined : await this.#find(bucket, id);
    if (bucket === undefined || found === undefined) return false;
    await this.attempt("delete the blob", async () => {
      for (const filter of [metaSubject(bucket.name, id), chunkSubject(bucket.name, found.nuid)]) {
        await bucket.jsm.streams.purge(bucket.stream, { filter });
      }
    });
    return true;
  }

  /** Removes the pieces that belong to no object and whose last one is older than this; how many objects' worth there were. */
  async sweep(olderThanMs: number): Promise<number> {
    const bucket = await this.bucket(false);
    if (bucket === undefined) return 0;
    return await this.attempt("remove unfinished blobs", async () => {
      const { jsm, stream, name } = bucket;
      // In this order: an object that is finished meanwhile is seen by the second look.
      const info = await jsm.streams.info(stream, { subjects_filter: chunkSubject(name, ">") });
      const whole = new Set<string>();
      const entries = new Download(this.connection, bucket, `$O.${name}.M.>`, {
        stallTimeoutMs: this.settings.stallTimeoutMs,
        signal: undefined,
      });
      for await (const entry of entries.pieces()) {
        const nuid = JsonObject.parseBody(new TextDecoder().decode(entry))?.get("nuid").text() ?? "";
        whole.add(chunkSubject(name, nuid));
      }
      let swept = 0;
      for (const subject of Object.keys(info.state.subjects ?? {})) {
        if (whole.has(subject)) continue;
        const last = await jsm.streams.getMessage(stream, { last_by_subj: subject });
        if (last === null || Date.now() - last.time.getTime() < olderThanMs) continue;
        await jsm.streams.purge(stream, { filter: subject });
        swept += 1;
      }
      return swept;
    });
  }

  /**
   * The bucket, made where that is asked for; undefined if there is none.
   *
   * @throws {BlobError} `blob_inbox_prefix`, `blob_no_jetstream`, `blob_network`.
   */
  async bucket(create: boolean): Promise<Bucket | undefined> {
    requireInboxPrefix(this.connection.nats);
    this.#bucket ??= this.#open(create);
    const opening = this.#bucket;
    try {
      const bucket = await opening;
      if (bucket === undefined && this.#bucket === opening) {
        this.#bucket = undefined;
        // Another call has looked for it, and was not to make it.
        return create ? await this.#open(true) : undefined;
      }
      return bucket;
    } catch (error) {
      if (this.#bucket === opening) this.#bucket = undefined;
      throw error;
    }
  }

  /** Runs work on the bucket. Where it fails, the bucket is looked for anew next time. */
  async attempt<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      this.#bucket = undefined;
      throw networkError(doing, this.settings.bucket, cause);
    }
  }

  async #open(create: boolean): Promise<Bucket | undefined> {
    const { bucket: name, replicas } = this.settings;
    const { jetstream, jetstreamManager } = await import("@nats-io/jetstream");
    const stream = `OBJ_${name}`;
    const js = jetstream(this.connection.nats, { timeout: REPLY_TIMEOUT_MS });
    try {
      const jsm = await jetstreamManager(this.connection.nats, { timeout: REPLY_TIMEOUT_MS, checkAPI: false });
      let info = await jsm.streams.info(stream).catch(ifNotFound);
      if (info === undefined && create) {
        // As object stores are made by every client of NATS.
        const config = {
          name: stream,
          description: "blobs of agents",
          subjects: [`$O.${name}.C.>`, `$O.${name}.M.>`],
          num_replicas: replicas,
          discard: "new" as DiscardPolicy,
          allow_rollup_hdrs: true,
          allow_direct: true,
        };
        const failure: unknown = await jsm.streams.add(config).then(
          () => undefined,
          (error: unknown) => error,
        );
        // Another agent may have been quicker, with other settings.
        info = await jsm.streams.info(stream).catch(ifNotFound);
        if (info === undefined) throw failure ?? new Error("the bucket cannot be made");
      }
      if (info === undefined) return undefined;
      const { allow_direct: isDirect, num_replicas } = info.config;
      return { name, stream, js, jsm, isDirect: isDirect === true, isReplicated: num_replicas > 1 };
    } catch (cause) {
      throw isWithoutJetStream(cause)
        ? new BlobError(
            "the NATS server has no JetStream, which the object store needs: start it with JetStream, or use the storage local",
            { code: "blob_no_jetstream", cause },
          )
        : networkError("find the store", name, cause);
    }
  }

  async #find(bucket: Bucket, id: string): Promise<StoredObject | undefined> {
    return await this.attempt("look for the blob", async () => {
      const last_by_subj = metaSubject(bucket.name, id);
      const message = await bucket.jsm.streams.getMessage(bucket.stream, { last_by_subj });
      return message === null ? undefined : storedObject(id, message.data);
    });
  }
}

/** Where the connection delivers into `_INBOX`, registries would take the pieces of blobs for messages. */
function requireInboxPrefix(nats: NatsConnection): void {
  const { inboxPrefix } = (nats as { options?: { inboxPrefix?: string } }).options ?? {};
  if (inboxPrefix?.startsWith(CONNECTION_INBOX_PREFIX) === true) return;
  throw new BlobError(
    `this connection cannot carry blobs: registries would record their pieces. Open it with the option inboxPrefix: "${CONNECTION_INBOX_PREFIX}"`,
    { code: "blob_inbox_prefix" },
  );
}

function ifNotFound(error: unknown): undefined {
  if ((error as { code?: unknown }).code === STREAM_NOT_FOUND) return undefined;
  throw error;
}

function isWithoutJetStream(error: unknown): boolean {
  const { code, name } = error as { code?: number; name?: string };
  return (
    WITHOUT_JETSTREAM.includes(code ?? 0) ||
    name === "NoRespondersError" ||
    /no responders|jetstream (is )?not enabled/i.test(reasonOf(error))
  );
}

/** The reference in an object's entry; for an object that no agent has put, one made from its name and size. */
function storedObject(id: string, entry: Uint8Array): StoredObject | undefined {
  const object = JsonObject.parseBody(new TextDecoder().decode(entry));
  if (object === undefined || object.get("deleted").isTruthy()) return undefined;
  const digest = /^SHA-256=(.+)$/.exec(object.get("digest").text())?.[1];
  const hash = digest === undefined ? undefined : fromUnpaddedBase64(digest);
  const name = object.get("name").text();
  const filename = shownName(name);
  const blob: BlobRef = readReference(object) ?? {
    blobId: id,
    storage: NATS_OBJECT_STORAGE,
    mimeType: mimeTypeOf(name),
    size: 0,
    ...(filename === undefined ? {} : { filename }),
  };
  return {
    blob: {
      ...blob,
      blobId: id,
      storage: NATS_OBJECT_STORAGE,
      size: Number(object.get("size").int() ?? 0),
      ...(hash?.length === 32 ? { sha256: toHex(hash) } : {}),
    },
    nuid: object.get("nuid").text(),
  };
}

function readReference(object: JsonObject): BlobRef | undefined {
  const text = object.get("metadata").asObject()?.get(REFERENCE_MEMBER).asString();
  try {
    return text === undefined ? undefined : parseBlobRef(JsonView.parse(text));
  } catch {
    return undefined;
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
