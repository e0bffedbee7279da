// Checks the sources: layers, circles of imports, what browsers reach, sizes of files, the licences, the lock file.
// Prints every problem and exits 1, or one line of success.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));

const MAX_FILE_LINES = 400;
/** A layer imports itself and those before it. The files of src/ itself stand above all, but errors.ts below. */
const LAYERS = ["errors", "json", "protocol", "platform", "node", "sdk", "compat", "index"];
/** Types may be imported from a layer above: they are gone when the code runs. */
const IMPORT = /^(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/gms;

const problems = [];
const files = sources("src");
const imports = new Map(files.map((file) => [file, readImports(file)]));

/** The TypeScript files below a folder. */
function sources(folder) {
  return readdirSync(folder, { recursive: true })
    .map((file) => join(folder, String(file)))
    .filter((file) => /\.m?ts$/.test(file));
}

/** What a file imports: packages by name, files by path. */
function readImports(file) {
  return [...readFileSync(file, "utf8").matchAll(IMPORT)].map(([, type, from, dynamic]) => {
    const target = from ?? dynamic;
    const path = target.startsWith(".") ? normalize(join(dirname(file), target)).replace(/\.js$/, ".ts") : undefined;
    return { target, path, isType: type !== undefined };
  });
}

function layer(file) {
  const [name] = file
    .replace(/^src\//, "")
    .replace(/\.ts$/, "")
    .split("/");
  return LAYERS.indexOf(LAYERS.includes(name) ? name : "index");
}

function checkLayers() {
  for (const [file, list] of imports) {
    for (const { target, path, isType } of list) {
      if (path === undefined) continue;
      if (!existsSync(path)) problems.push(`${file}: ${target}: there is no such file`);
      else if (layer(path) > layer(file) && !isType)
        problems.push(`${file}: must not import ${target}, of a layer above`);
    }
  }
}

/** Files that import each other. Types do not count: nothing of them is left when the code runs. */
function checkCircles() {
  const done = new Set();
  const visit = (file, path) => {
    const start = path.indexOf(file);
    if (start >= 0) {
      problems.push(`circle of imports: ${[...path.slice(start), file].join(" -> ")}`);
      return;
    }
    if (done.has(file)) return;
    for (const { path: target, isType } of imports.get(file) ?? []) {
      if (target !== undefined && !isType) visit(target, [...path, file]);
    }
    done.add(file);
  };
  for (const file of files) visit(file, []);
}

/** Nothing of Node.js may be reached from the browser's entry; package.json names what browsers get in the place of others. */
function checkBrowser() {
  const source = (built) => built.replace(/^\.\/dist\/esm\//, "src/").replace(/\.js$/, ".ts");
  const { browser = {} } = JSON.parse(readFileSync("package.json", "utf8"));
  const replaced = new Map(Object.entries(browser).map(([file, other]) => [source(file), source(other)]));
  const reached = new Set();
  const visit = (file, path) => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const { target, path: next, isType } of imports.get(file) ?? []) {
      if (isType) continue;
      const file = next === undefined ? undefined : (replaced.get(next) ?? next);
      if (file !== undefined) visit(file, [...path, file]);
      else if (target.startsWith("node:") || builtinModules.includes(target) || target === "@nats-io/transport-node") {
        problems.push(`the browser entry reaches ${target}: ${path.join(" -> ")}`);
      }
    }
  };
  visit("src/index.browser.ts", ["src/index.browser.ts"]);
}

function checkSizes() {
  for (const file of [...files, ...sources("test")]) {
    const lines = readFileSync(file, "utf8").split("\n").length - 1;
    if (lines > MAX_FILE_LINES) problems.push(`${file}: ${lines} lines; at most ${MAX_FILE_LINES} are allowed`);
  }
}

/** npm leaves links out of a package, so the licences are copies; those of the repository count. */
function checkLicences() {
  for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) {
    if (readFileSync(name, "utf8") !== readFileSync(`../../${name}`, "utf8"))
      problems.push(`${name}: differs from ../../${name}`);
  }
}

/** Addresses of another registry than npm's own would be asked by everyone who installs. */
function checkLock() {
  for (const [, url] of readFileSync("package-lock.json", "utf8").matchAll(/"resolved": "([^"]+)"/g)) {
    if (!url.startsWith("https://registry.npmjs.org/"))
      problems.push(`package-lock.json: ${url} is not of registry.npmjs.org`);
  }
}

checkLayers();
checkCircles();
checkBrowser();
checkSizes();
checkLicences();
checkLock();
for (const problem of problems) console.error(`check: ${problem}`);
if (problems.length > 0) process.exit(1);
console.log(`check: ${files.length} files: layers, imports, sizes and licences are in order`);
