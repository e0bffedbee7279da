/**
 * Keys in files, as `agentnet keys` and the Rust and Python SDKs keep them: `<directory>/<name>`, readable by their owner alone.
 *
 * A file appears under its name only when it is whole: it is written beside it, with mode 0600 from its first byte, and then linked or
 * renamed. A file that is damaged, or that other users may read, is an error and is never replaced.
 */

import { platform } from "../../platform/index.js";
import type { Files } from "../../platform/platform.js";
import { DEFAULT_KEY_DIR, KeyError, newNonce, SigningKey } from "../../protocol/index.js";
import { isMissing, type PrivateFileKind, readPrivateFile } from "../private-file.js";
import type { KeyStore } from "./key-store.js";

const KEY_FILE: PrivateFileKind = {
  name: "key file",
  ifExposed: "rotate the key if somebody may have read it",
  damaged,
};

/** Keeps keys in the files of a directory. Not in browsers. */
export class FileKeyStore implements KeyStore {
  /** The directory, as it was given. */
  readonly directory: string;
  readonly #files: Files;

  /**
   * @param directory Made when the first key is. Default: the environment's `DEV_AUTH_KEY_DIR`, else `.keys`.
   * @throws {KeyError} This runtime has no files.
   */
  constructor(directory?: string) {
    if (platform.files === undefined) {
      throw new KeyError("this runtime has no files to keep keys in: use a MemoryKeyStore, or a KeyStore of your own");
    }
    this.#files = platform.files;
    const given = directory ?? platform.environment("DEV_AUTH_KEY_DIR")?.trim();
    this.directory = given === undefined || given === "" ? DEFAULT_KEY_DIR : given;
  }

  async load(name: string): Promise<SigningKey | undefined> {
    const path = this.#path(name);
    let content: string;
    try {
      content = await readPrivateFile(this.#files, path, KEY_FILE);
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      if (cause instanceof KeyError) throw cause;
      throw new KeyError(`cannot read the key file ${path}: ${textOf(cause)}`, { cause });
    }
    try {
      return await SigningKey.fromKeyFile(content);
    } catch (cause) {
      if (!(cause instanceof KeyError)) throw cause;
      throw damaged(path, cause.message, cause);
    }
  }

  async create(name: string, key: SigningKey): Promise<boolean> {
    const path = this.#path(name);
    return await this.#write(path, key, async (written) => {
      try {
        // A link, unlike a renaming, never replaces.
        await this.#files.fs.link(written, path);
        return true;
      } catch (cause) {
        if (codeOf(cause) === "EEXIST") return false;
        throw cause;
      } finally {
        await this.#files.fs.unlink(written);
      }
    });
  }

  async replace(name: string, key: SigningKey): Promise<void> {
    const path = this.#path(name);
    await this.#write(path, key, async (written) => {
      await this.#files.fs.rename(written, path);
      return true;
    });
  }

  async remove(name: string): Promise<void> {
    const path = this.#path(name);
    try {
      await this.#files.fs.unlink(path);
    } catch (cause) {
      if (!isMissing(cause)) throw cannotWrite(path, cause);
    }
  }

  describe(name: string): string {
    return `the key file ${this.#path(name)}`;
  }

  #path(name: string): string {
    if (name === "" || name === "." || name === ".." || /[/\\\0]/.test(name)) {
      throw new KeyError(`${JSON.stringify(name)} cannot be the name of a key file`);
    }
    return this.#files.path.join(this.directory, name);
  }

  /** Writes a key beside its place and lets `settle` put it there. */
  async #write(path: string, key: SigningKey, settle: (written: string) => Promise<boolean>): Promise<boolean> {
    const { fs, path: paths } = this.#files;
    const directory = paths.dirname(path);
    const written = paths.join(directory, `.key-${newNonce()}.tmp`);
    try {
      await fs.mkdir(directory, { recursive: true, mode: 0o700 });
      const file = await fs.open(written, "wx", 0o600);
      try {
        await file.writeFile(`${key.toKeyFile()}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      const settled = await settle(written);
      await this.#files.syncDirectory(directory);
      return settled;
    } catch (cause) {
      await fs.unlink(written).catch(() => undefined);
      throw cannotWrite(path, cause);
    }
  }
}

function damaged(path: string, why: string, cause?: unknown): KeyError {
  return new KeyError(
    `the key file ${path} is damaged: ${why}. It is not replaced, since its account is bound to the key that it held: ` +
      "restore it from a backup, or move it away to join as somebody new",
    { cause },
  );
}

function cannotWrite(path: string, cause: unknown): KeyError {
  return new KeyError(`cannot write the key file ${path}: ${textOf(cause)}`, { cause });
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
