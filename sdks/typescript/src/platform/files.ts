/** The files of Node.js, Deno and Bun. */

import { constants } from "node:fs";
import * as fs from "node:fs/promises";
import * as path from "node:path";

import type { Files } from "./platform.js";

const isWindows = path.sep === "\\";

/** The files of this runtime. */
export const files: Files = {
  fs,
  path,
  isWindows,
  readNoFollow: constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0),
  syncDirectory: async (directory) => {
    if (isWindows) return;
    const handle = await fs.open(directory, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};
