// Runs the tests on the other runtimes: Node.js 22 and 26, Deno, Bun. Fetches them into .tools/typescript-runtimes, by npm, with
// the versions and hashes of scripts/runtimes/package-lock.json.
//
//   node scripts/runtimes.mjs                unit tests, vectors and the tests of nodes, on each runtime
//   node scripts/runtimes.mjs deno bun       on these alone
//   node scripts/runtimes.mjs deno -- node   only the tests whose path below test/ begins with one of the words
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));

const RUNTIMES = {
  node22: { find: /^node22-.*\/bin\/node$/, test: ["--enable-source-maps", "--test"] },
  node26: { find: /^node26-.*\/bin\/node$/, test: ["--enable-source-maps", "--test"] },
  deno: { find: /^@deno\/[^/]+\/deno$/, test: ["test", "--allow-all", "--no-check"] },
  bun: { find: /^@oven\/[^/]+\/bin\/bun$/, test: ["test", "--timeout", "600000"] },
};
/** What of test/ holds for every runtime. */
const FOLDERS = [
  "unit",
  "vectors",
  "node",
  "sdk",
  "compat",
  "streams/cancel",
  "streams/replies",
  "blobs/local",
  "dev-auth/key-store",
];

const directory = resolve("../../.tools/typescript-runtimes");

function install() {
  const files = ["package.json", "package-lock.json", ".npmrc"];
  const wanted = files.map((file) => readFileSync(join("scripts/runtimes", file), "utf8")).join();
  const stamp = join(directory, ".installed");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  mkdirSync(directory, { recursive: true });
  for (const file of files) copyFileSync(join("scripts/runtimes", file), join(directory, file));
  console.log(`runtimes: fetching them into ${directory}`);
  execFileSync("npm", ["ci", "--ignore-scripts", "--loglevel=error"], { cwd: directory, stdio: "inherit" });
  writeFileSync(stamp, wanted);
}

/** The program of a runtime; undefined where there is none for this machine. */
function program({ find }) {
  const modules = join(directory, "node_modules");
  const names = readdirSync(modules).flatMap((name) =>
    name.startsWith("@") ? readdirSync(join(modules, name)).map((inner) => `${name}/${inner}`) : [name],
  );
  const candidates = names.flatMap((name) => ["bin/node", "deno", "bin/bun"].map((file) => `${name}/${file}`));
  const found = candidates.find((file) => find.test(file) && existsSync(join(modules, file)));
  return found === undefined ? undefined : join(modules, found);
}

const split = process.argv.indexOf("--");
const names = process.argv.slice(2, split < 0 ? undefined : split);
const words = split < 0 ? FOLDERS : process.argv.slice(split + 1);
for (const name of names) {
  if (!(name in RUNTIMES)) {
    console.error(`runtimes: ${name} is none of ${Object.keys(RUNTIMES).join(", ")}`);
    process.exit(2);
  }
}

install();
execFileSync(
  process.execPath,
  [createRequire(import.meta.url).resolve("typescript/bin/tsc"), "-p", "tsconfig.test.json"],
  {
    stdio: "inherit",
  },
);
const files = readdirSync("test", { recursive: true })
  .map((file) => String(file).replaceAll("\\", "/"))
  .filter((file) => file.endsWith(".test.ts") && words.some((word) => file.startsWith(word)))
  .map((file) => `./.test-build/test/${file.replace(/\.ts$/, ".js")}`)
  .sort();
if (files.length === 0) {
  console.error(`runtimes: no test below test/ begins with ${words.join(" or ")}`);
  process.exit(1);
}

const failed = [];
for (const [name, runtime] of Object.entries(RUNTIMES)) {
  if (names.length > 0 && !names.includes(name)) continue;
  const command = program(runtime);
  if (command === undefined) {
    console.log(`runtimes: NOT RUN: npm has no ${name} for ${process.platform} ${process.arch}`);
    continue;
  }
  const version = execFileSync(command, ["--version"], { encoding: "utf8" }).split("\n")[0];
  console.log(`runtimes: ${name} (${version}): ${files.length} files`);
  const run = spawnSync(command, [...runtime.test, ...files], {
    stdio: "inherit",
    env: { ...process.env, NO_COLOR: "1" },
  });
  if (run.status !== 0) failed.push(name);
}
if (failed.length > 0) {
  console.error(`runtimes: failed on ${failed.join(", ")}`);
  process.exit(1);
}
