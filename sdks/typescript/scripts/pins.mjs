// Renews test/package/pins.json from package.json and from what dist/ exports.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const { exports } = JSON.parse(readFileSync("package.json", "utf8"));
const names = Object.keys(await import(new URL("../dist/esm/index.js", import.meta.url).href)).sort();
writeFileSync("test/package/pins.json", `${JSON.stringify({ exports, names }, null, 2)}\n`);
