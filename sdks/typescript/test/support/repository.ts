/** Where the files of the repository are. */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The nearest folder above a place that holds a path. */
function above(start: string, path: string): string {
  let folder = start;
  while (!existsSync(join(folder, path))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`no folder above ${start} holds ${path}`);
    folder = parent;
  }
  return folder;
}

const here = dirname(fileURLToPath(import.meta.url));

/** The root of the repository. */
export const REPOSITORY = above(here, "spec/vectors");
/** The folder of the package. */
export const PACKAGE = above(here, "package-lock.json");
/** The folder of the vectors. */
export const VECTORS = join(REPOSITORY, "spec/vectors");
