/** Which store keeps new blobs, and where (docs/BLOBS.md). */

import { platform } from "../../platform/index.js";
import { LOCAL_STORAGE, NATS_OBJECT_STORAGE } from "../../protocol/index.js";
import { optionsOf } from "../checks.js";
import { BlobError, InvalidArgumentError } from "../errors.js";

/** Which store keeps a blob: a directory of this host, or the object store of the network's NATS servers. */
export type BlobStorage = "local_fs" | "nats_object";

/** Settings of a `BlobStore`. */
export interface BlobSettings {
  /** The directory of the local store. Default: the environment's `AGENTNET_BLOB_DIR`, else `.agentnet_blobs`. */
  readonly dir: string;
  /**
   * Which store keeps new blobs, and is looked in for an id alone. Default: the environment's `AGENTNET_BLOB_STORAGE`, else `local_fs`
   * (written `local` too); in browsers, which have no files, `nats_object`.
   */
  readonly storage: BlobStorage;
  /**
   * The bucket of the object store, the same for all agents that exchange blobs. Default: the environment's `AGENTNET_BLOB_BUCKET`,
   * else `agentnet_blobs`.
   */
  readonly bucket: string;
  /** How many servers of a cluster keep each blob, if the bucket has yet to be made. Default: `AGENTNET_BLOB_REPLICAS`, else 1. */
  readonly replicas: number;
  /** The largest blob that is read into memory, in bytes. Default 64 MiB. */
  readonly memoryLimit: number;
  /** How long a read waits for the next piece from the network, in milliseconds. Default 30,000. */
  readonly stallTimeoutMs: number;
}

/** What programs may write: every setting has a default, and `local` stands for `local_fs`. */
export type BlobOptions = Partial<Omit<BlobSettings, "storage">> & {
  readonly storage?: BlobStorage | "local" | undefined;
};

/**
 * The settings: what is given, else the environment, else the defaults.
 *
 * @throws {InvalidArgumentError} One of them cannot be used.
 */
export function resolveBlobSettings(options: BlobOptions = {}): BlobSettings {
  const given = optionsOf(options, "blobs");
  const bucket = given.bucket ?? variable("AGENTNET_BLOB_BUCKET") ?? "agentnet_blobs";
  if (!/^[-\w]+$/.test(bucket)) {
    throw new InvalidArgumentError(
      `${JSON.stringify(bucket.slice(0, 64))} is no name of a bucket: use A-Z a-z 0-9 _ -`,
    );
  }
  return {
    dir: given.dir ?? variable("AGENTNET_BLOB_DIR") ?? ".agentnet_blobs",
    storage: chosenStorage(given.storage),
    bucket,
    replicas: wholeNumber("replicas", given.replicas ?? replicasOfEnvironment(), 1),
    memoryLimit: wholeNumber("memoryLimit", given.memoryLimit ?? 64 * 1024 * 1024, 0),
    stallTimeoutMs: wholeNumber("stallTimeoutMs", given.stallTimeoutMs ?? 30_000, 1),
  };
}

function chosenStorage(given: string | undefined): BlobStorage {
  const name = given ?? variable("AGENTNET_BLOB_STORAGE");
  if (name === undefined) return platform.files === undefined ? NATS_OBJECT_STORAGE : LOCAL_STORAGE;
  const storage = storageOf(name);
  if (storage === undefined) {
    const where = given === undefined ? "AGENTNET_BLOB_STORAGE" : "storage";
    throw new InvalidArgumentError(
      `${where}=${JSON.stringify(name.slice(0, 64))} is no blob storage: use local or nats_object`,
    );
  }
  return storage;
}

/** The store that a reference or a setting names; undefined for one that this version does not know. */
function storageOf(name: string): BlobStorage | undefined {
  if (name === "local" || name === LOCAL_STORAGE) return LOCAL_STORAGE;
  return name === NATS_OBJECT_STORAGE ? NATS_OBJECT_STORAGE : undefined;
}

/** The store that a reference names. @throws {BlobError} `blob_storage_unknown`. */
export function storageOfReference(name: string): BlobStorage {
  const storage = storageOf(name === "" ? LOCAL_STORAGE : name);
  if (storage !== undefined) return storage;
  throw new BlobError(
    `the blob is kept in ${JSON.stringify(name.slice(0, 64))}, which is neither local_fs nor nats_object`,
    {
      code: "blob_storage_unknown",
    },
  );
}

function variable(name: string): string | undefined {
  const text = platform.environment(name)?.trim();
  return text === "" ? undefined : text;
}

function replicasOfEnvironment(): number {
  const text = variable("AGENTNET_BLOB_REPLICAS") ?? "1";
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError(`AGENTNET_BLOB_REPLICAS=${JSON.stringify(text.slice(0, 64))} is not a number`);
}

function wholeNumber(name: string, value: number, minimum: number): number {
  if (typeof value !== "number" || Number.isNaN(value))
    throw new InvalidArgumentError(`blobs.${name} must be a number`);
  return Math.max(minimum, Math.floor(value));
}
