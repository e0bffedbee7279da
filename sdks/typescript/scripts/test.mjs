// Compiles sources and tests into .test-build/ and runs the tests.
//
//   node scripts/test.mjs               all tests but those of test/soak, which take minutes
//   node scripts/test.mjs unit vectors  those whose path below test/ begins with one of these words
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "-p", "tsconfig.test.json"], { stdio: "inherit" });

const wanted = process.argv.slice(2);
// The sources decide, not the build: it may hold tests that are gone.
const files = readdirSync("test", { recursive: true })
  .map((file) => String(file).replaceAll("\\", "/"))
  .filter((file) => file.endsWith(".test.ts"))
  .filter((file) => (wanted.length === 0 ? !file.startsWith("soak/") : wanted.some((word) => file.startsWith(word))))
  .map((file) => `.test-build/test/${file.replace(/\.ts$/, ".js")}`);
if (files.length === 0) {
  console.error(`test: no test below test/ begins with ${wanted.join(" or ")}`);
  process.exit(1);
}
// Most tests wait for servers, so there are more files at a time than the runner's default of one processor less.
const concurrency = Math.ceil(availableParallelism() * 1.5);
const flags = ["--enable-source-maps", "--expose-gc", "--test", `--test-concurrency=${concurrency}`];
const run = spawnSync(process.execPath, [...flags, ...files.sort()], { stdio: "inherit" });
process.exit(run.status ?? 1);
