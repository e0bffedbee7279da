/** Files that only their owner may read: keys and identities. */

import type { Files } from "../platform/platform.js";
import { KeyError } from "../protocol/index.js";

/** Nothing that is larger is a key file or an identity file. */
const MAX_FILE_BYTES = 64 * 1024;

/** How errors speak of a file. */
export interface PrivateFileKind {
  /** What it is: `key file`. */
  readonly name: string;
  /** What to do if somebody else may have read it. */
  readonly ifExposed: string;
  /** The error for a file whose content cannot be used. */
  damaged(path: string, why: string): KeyError;
}

/**
 * The content of a file.
 *
 * @throws {KeyError} Others may read it, or it is too large. @throws What the file system says, such as that it does not exist.
 */
export async function readPrivateFile(files: Files, path: string, kind: PrivateFileKind): Promise<string> {
  const file = await files.fs.open(path, "r");
  try {
    // Of the open file, so that what is judged is what is read.
    const about = await file.stat();
    if (!about.isFile()) throw new KeyError(`cannot read the ${kind.name} ${path}: it is no regular file`);
    const mode = about.mode & 0o7777;
    if (!files.isWindows && (mode & 0o077) !== 0) {
      throw new KeyError(
        `the ${kind.name} ${path} may be read or changed by others (mode ${mode.toString(8).padStart(4, "0")}): ` +
          `run \`chmod 600 ${path}\`, and ${kind.ifExposed}`,
      );
    }
    if (about.size > MAX_FILE_BYTES) throw kind.damaged(path, `it has ${about.size} bytes`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/** Whether the file system says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return (error as { code?: unknown } | undefined)?.code === "ENOENT";
}
