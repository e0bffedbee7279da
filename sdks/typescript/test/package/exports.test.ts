/** Pins what the package offers and to whom: a change here is a change for its users. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { PACKAGE } from "../support/repository.js";

interface Manifest {
  name: string;
  main: string;
  types: string;
  sideEffects: boolean;
  engines: { node: string };
  exports: Record<string, unknown>;
  dependencies: Record<string, string>;
  peerDependencies?: Record<string, string>;
}

const manifest = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8")) as Manifest;
const pins = JSON.parse(readFileSync(join(PACKAGE, "test/package/pins.json"), "utf8")) as {
  exports: Record<string, unknown>;
  names: string[];
};

const esm = () => import(pathToFileURL(join(PACKAGE, "dist/esm/index.js")).href) as Promise<Record<string, unknown>>;

test("the export map is the pinned one, in this order of conditions", () => {
  assert.equal(JSON.stringify(manifest.exports, null, 2), JSON.stringify(pins.exports, null, 2));
});

test("every file that package.json names is built", () => {
  const files = [
    ...JSON.stringify([manifest.exports, manifest.main, manifest.types]).matchAll(/"(\.\/[^"]+\.(?:js|ts|json))"/g),
  ];
  assert.ok(files.length > 10);
  for (const [, file] of files)
    assert.ok(existsSync(join(PACKAGE, file ?? "")), `${file} is missing: run npm run build`);
});

test("types come before code under each condition", () => {
  const visit = (conditions: unknown): void => {
    if (typeof conditions !== "object" || conditions === null) return;
    const names = Object.keys(conditions);
    if (names.includes("types")) assert.equal(names[0], "types");
    for (const nested of Object.values(conditions)) visit(nested);
  };
  visit(manifest.exports);
});

test("nothing is needed at run time but @nats-io/*", () => {
  const needed = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
  assert.deepEqual(
    needed.filter((name) => !name.startsWith("@nats-io/")),
    [],
  );
  assert.equal(manifest.sideEffects, false);
  assert.equal(manifest.engines.node, ">=20");
});

test("import, require and the browser's file give the same names", async () => {
  const imported = Object.keys(await esm()).sort();
  const required = Object.keys(createRequire(import.meta.url)(join(PACKAGE, "dist/cjs/index.js")) as object).sort();
  assert.deepEqual(required, imported);
  const browser = (await import(pathToFileURL(join(PACKAGE, "dist/browser.js")).href)) as object;
  const onlyHere = imported.filter((name) => !Object.keys(browser).includes(name));
  const onlyThere = Object.keys(browser).filter((name) => !imported.includes(name));
  assert.deepEqual({ onlyHere, onlyThere }, { onlyHere: NOT_IN_BROWSERS, onlyThere: [] });
});

/** What needs files or sockets. */
const NOT_IN_BROWSERS: string[] = [];

test("the names are the pinned ones", async () => {
  const names = Object.keys(await esm()).sort();
  const missing = pins.names.filter((name) => !names.includes(name));
  const added = names.filter((name) => !pins.names.includes(name));
  assert.deepEqual({ missing, added }, { missing: [], added: [] }, "run `npm run pins` where this is meant");
});

test("the browser's file needs nothing", () => {
  const text = readFileSync(join(PACKAGE, "dist/browser.js"), "utf8");
  const needed = [...text.matchAll(/\b(?:from|import|require)\s*\(?\s*["']([^"'\s]+)["']/g)].map(([, name]) => name);
  assert.deepEqual(needed, []);
  assert.ok(!text.includes("node:"));
});

test("numbers of a copy that was required are written by one that was imported, and the other way round", async () => {
  type Copy = { float(value: number): unknown; stringify(value: unknown): string };
  const required = createRequire(import.meta.url)(join(PACKAGE, "dist/cjs/index.js")) as Copy;
  const imported = (await esm()) as unknown as Copy;
  assert.equal(imported.stringify({ number: required.float(1) }), '{"number":1.0}');
  assert.equal(required.stringify({ number: imported.float(1) }), '{"number":1.0}');
});
