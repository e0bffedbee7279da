/**
 * The store in a directory, in the layout of the Python implementation: bytes in `data/<id>`, the reference in `meta/<id>.json`.
 *
 * A put writes the reference after the bytes, and a delete removes it before them: a blob exists when its reference does.
 */

import type { FileHandle } from "node:fs/promises";
import { JsonView } from "../../json/index.js";
import { platform } from "../../platform/index.js";
import type { Files } from "../../platform/platform.js";
import { type BlobRef, blobRefPayload, LOCAL_STORAGE, newNonce, parseBlobRef, toHex } from "../../protocol/index.js";
import { BlobError } from "../errors.js";
import { type BlobSource, type FoundBlob, inPieces, type Meter } from "./bytes.js";
import { damaged, fileError, notFound, reasonOf, systemCode } from "./errors.js";

const CHUNK_BYTES = 256 * 1024;
/** No reference is longer. */
const MAX_METADATA_BYTES = 4 * 1024 * 1024;
/** What files under construction are called; no blob id begins with a dot. */
const TEMPORARY_PREFIX = ".put-";

/** The files of this runtime. @throws {BlobError} `blob_no_files`. */
export function requireFiles(): Files {
  if (platform.files !== undefined) return platform.files;
  throw new BlobError("this runtime has no files: use the storage nats_object", { code: "blob_no_files" });
}

/** A directory of blobs. Ids that come here are checked. */
export class LocalStore {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Stores a blob; size and hash are filled in. */
  async put(blob: BlobRef, source: BlobSource, meter: Meter, signal: AbortSignal | undefined): Promise<BlobRef> {
    const files = requireFiles();
    const { data, meta } = this.#paths(files, blob.blobId);
    for (const path of [data, meta]) {
      const directory = files.path.dirname(path);
      await files.fs.mkdir(directory, { recursive: true }).catch((cause: unknown) => {
        throw fileError("make the directory", directory, cause);
      });
    }
    const staged = new StagedFile(files, files.path.dirname(data));
    const reference = new StagedFile(files, files.path.dirname(meta));
    try {
      await staged.open();
      for await (const piece of inPieces(source, CHUNK_BYTES, signal)) {
        await staged.write(piece);
        meter.count(piece);
      }
      const stored: BlobRef = { ...blob, size: meter.done, sha256: toHex(meter.digest()) };
      await staged.seal();
      await reference.open();
      await reference.write(new TextEncoder().encode(blobRefPayload(stored).text));
      await reference.seal();
      signal?.throwIfAborted();
      await staged.appear(data, false);
      try {
        await reference.appear(meta, false);
      } catch (error) {
        await files.fs.unlink(data).catch(() => undefined);
        throw error;
      }
      return stored;
    } catch (error) {
      if (error === signal?.reason) throw error;
      throw systemCode(error) === undefined || !(error instanceof Error) || error instanceof BlobError
        ? error
        : fileError("store", data, error);
    } finally {
      await staged.discard();
      await reference.discard();
    }
  }

  /** What the store knows of a blob; undefined if it has no such blob. */
  async head(id: string): Promise<BlobRef | undefined> {
    const files = requireFiles();
    const path = this.#paths(files, id).meta;
    const opened = await openRegular(files, path);
    if (opened === undefined) return undefined;
    try {
      if (opened.size > MAX_METADATA_BYTES) throw damaged(id, `its reference has ${opened.size} bytes`);
      const text = await opened.file.readFile();
      const blob = readReference(id, text, path);
      return { ...blob, storage: LOCAL_STORAGE };
    } catch (cause) {
      throw fileError("read", path, cause);
    } finally {
      await opened.file.close();
    }
  }

  /** A blob and its bytes. */
  async get(id: string): Promise<FoundBlob> {
    const files = requireFiles();
    const blob = await this.head(id);
    const path = this.#paths(files, id).data;
    const about = blob === undefined ? undefined : await files.fs.lstat(path).catch(ignoreMissing);
    if (blob === undefined || about === undefined) throw notFound(id, this.#dir);
    if (!about.isFile()) throw fileError("read", path, new Error("it is not a regular file"));
    if (about.size !== blob.size) throw damaged(id, `it has ${about.size} bytes, not ${blob.size}`);
    return { blob, bytes: readChunks(files, path, () => notFound(id, this.#dir)) };
  }

  /** Removes a blob; whether there was anything to remove. */
  async delete(id: string): Promise<boolean> {
    const files = requireFiles();
    const { data, meta } = this.#paths(files, id);
    let existed = false;
    for (const path of [meta, data]) {
      try {
        await files.fs.unlink(path);
        existed = true;
      } catch (cause) {
        if (systemCode(cause) !== "ENOENT") throw fileError("delete", path, cause);
      }
    }
    return existed;
  }

  /** Removes files under construction and bytes without a reference that were last written to longer ago than this. */
  async sweep(olderThanMs: number): Promise<number> {
    const files = requireFiles();
    const meta = files.path.join(this.#dir, "meta");
    const isTemporary = (name: string): boolean => name.startsWith(TEMPORARY_PREFIX);
    const staged = await sweepDirectory(files, meta, olderThanMs, async (name) => isTemporary(name));
    const orphans = await sweepDirectory(files, files.path.join(this.#dir, "data"), olderThanMs, async (name) => {
      if (isTemporary(name)) return true;
      try {
        await files.fs.lstat(files.path.join(meta, `${name}.json`));
        return false;
      } catch (error) {
        // Only what is surely not there: an unreadable directory must not cost a blob.
        return systemCode(error) === "ENOENT";
      }
    });
    return staged + orphans;
  }

  #paths(files: Files, id: string): { readonly data: string; readonly meta: string } {
    return { data: files.path.join(this.#dir, "data", id), meta: files.path.join(this.#dir, "meta", `${id}.json`) };
  }
}

/** A file that is written under a temporary name, and appears under its own when it is complete. */
export class StagedFile {
  readonly #files: Files;
  readonly #path: string;
  #file: FileHandle | undefined;
  #exists = false;

  /** Beside where it is to appear. */
  constructor(files: Files, directory: string) {
    this.#files = files;
    this.#path = files.path.join(directory, `${TEMPORARY_PREFIX}${newNonce()}`);
  }

  async open(): Promise<void> {
    this.#file = await this.#files.fs.open(this.#path, "wx");
    this.#exists = true;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const written = await this.#file?.write(bytes, at, bytes.length - at);
      at += written?.bytesWritten ?? bytes.length;
    }
  }

  /** Everything is written, and on disk. */
  async seal(): Promise<void> {
    await this.#file?.sync();
    await this.#close();
  }

  /** Gives it its name. */
  async appear(path: string, replace: boolean): Promise<void> {
    const { fs, path: paths } = this.#files;
    if (replace) {
      await fs.rename(this.#path, path);
    } else {
      // A link, unlike a renaming, never replaces.
      await fs.link(this.#path, path);
      await fs.unlink(this.#path);
    }
    this.#exists = false;
    await this.#files.syncDirectory(paths.dirname(path));
  }

  /** Removes it, if it has not appeared. */
  async discard(): Promise<void> {
    await this.#close().catch(() => undefined);
    if (this.#exists) await this.#files.fs.unlink(this.#path).catch(() => undefined);
    this.#exists = false;
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }
}

/** Opens a file and tells its size; undefined if there is none. A link is not followed: it may lead out of the directory. */
async function openRegular(
  files: Files,
  path: string,
): Promise<{ readonly file: FileHandle; readonly size: number } | undefined> {
  try {
    // Before it is opened: opening a pipe waits.
    if (!(await files.fs.lstat(path)).isFile()) throw new Error("it is not a regular file");
    const file = await files.fs.open(path, files.readNoFollow);
    const about = await file.stat();
    if (about.isFile()) return { file, size: about.size };
    await file.close();
    throw new Error("it is not a regular file");
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return undefined;
    throw fileError("read", path, cause);
  }
}

/** The file is opened when the reading begins, so that nothing is left open of what is not read. */
async function* readChunks(files: Files, path: string, missing: () => Error): AsyncGenerator<Uint8Array> {
  const opened = await openRegular(files, path);
  if (opened === undefined) throw missing();
  const { file } = opened;
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read(new Uint8Array(CHUNK_BYTES), 0, CHUNK_BYTES);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (cause) {
    throw fileError("read", path, cause);
  } finally {
    await file.close();
  }
}

function readReference(id: string, text: Uint8Array, path: string): BlobRef {
  let blob: BlobRef | undefined;
  try {
    blob = parseBlobRef(JsonView.parse(new TextDecoder("utf-8", { fatal: true }).decode(text)));
  } catch (cause) {
    throw damaged(id, reasonOf(cause), cause);
  }
  if (blob?.blobId !== id) throw damaged(id, `${path} is no reference to it`);
  return blob;
}

async function sweepDirectory(
  files: Files,
  directory: string,
  olderThanMs: number,
  isLeft: (name: string) => Promise<boolean>,
): Promise<number> {
  let swept = 0;
  try {
    for (const name of await files.fs.readdir(directory)) {
      const path = files.path.join(directory, name);
      const about = await files.fs.lstat(path).catch(ignoreMissing);
      if (about === undefined || !about.isFile() || Date.now() - about.mtimeMs < olderThanMs) continue;
      if (!(await isLeft(name))) continue;
      await files.fs.unlink(path).catch(ignoreMissing);
      swept += 1;
    }
  } catch (cause) {
    if (systemCode(cause) !== "ENOENT") throw fileError("sweep", directory, cause);
  }
  return swept;
}

function ignoreMissing(error: unknown): undefined {
  if (systemCode(error) !== "ENOENT") throw error;
  return undefined;
}
