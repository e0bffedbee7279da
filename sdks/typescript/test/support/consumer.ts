/** A project that uses the package as its users do: from what `npm pack` makes of it, type-checked, compiled and run. */

import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

import type { Network } from "./network.js";
import type { Program } from "./processes.js";
import { PACKAGE } from "./repository.js";

const run = promisify(execFile);
const NODE_MODULES = path.join(PACKAGE, "node_modules");

/** How strict its compiler is: more than `strict` asks for. */
const COMPILER_OPTIONS = {
  strict: true,
  noUncheckedIndexedAccess: true,
  target: "ES2022",
  lib: ["ES2023", "ESNext.Disposable", "DOM", "DOM.AsyncIterable"],
  types: ["node"],
  outDir: "out",
  skipLibCheck: true,
};

/** A project with the packed package in its node_modules. */
export class Consumer {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Packs the package and makes a project of these files, compiled. `npm run build` must have built it. */
  static async of(...files: string[]): Promise<Consumer> {
    const directory = await mkdtemp(path.join(tmpdir(), "agentnet-consumer-"));
    const consumer = new Consumer(directory);
    try {
      await consumer.#install();
      for (const file of files) await copyFile(file, path.join(directory, path.basename(file)));
      await consumer.compile({ ...COMPILER_OPTIONS, module: "nodenext" });
      return consumer;
    } catch (error) {
      await consumer.remove();
      throw error;
    }
  }

  /** Compiles the files of the project; what the compiler says is the error's message. */
  async compile(compilerOptions: Record<string, unknown>): Promise<void> {
    await writeFile(path.join(this.directory, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
    const tsc = path.join(NODE_MODULES, "typescript", "bin", "tsc");
    try {
      await run("node", [tsc, "-p", this.directory]);
    } catch (error) {
      const { stdout = "" } = error as { stdout?: string };
      throw new Error(`the project does not compile:\n${stdout}`, { cause: error });
    }
  }

  /** Only checks the types, as `tsc --noEmit` with these options does. */
  async check(options: Record<string, unknown>): Promise<void> {
    await this.compile({ ...COMPILER_OPTIONS, ...options, noEmit: true });
  }

  /** Runs one of its compiled files on Node.js, with unhandled rejections as failures. */
  run(network: Network, name: string, args: string[] = [], environment: Record<string, string> = {}): Program {
    const file = path.join(this.directory, "out", `${name}.js`);
    return network.spawn("node", ["--unhandled-rejections=strict", file, ...args], environment);
  }

  /** Removes it. */
  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  async #install(): Promise<void> {
    const modules = path.join(this.directory, "node_modules");
    await mkdir(path.join(modules, "@types"), { recursive: true });
    const { stdout } = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", this.directory], {
      cwd: PACKAGE,
      maxBuffer: 64 * 1024 * 1024,
    });
    const [packed] = JSON.parse(stdout) as { filename: string }[];
    if (packed === undefined) throw new Error(`npm pack made nothing: ${stdout}`);
    await run("tar", ["-xzf", path.join(this.directory, packed.filename), "-C", modules]);
    await run("mv", [path.join(modules, "package"), path.join(modules, "agentnet-sdk")]);
    await symlink(path.join(NODE_MODULES, "@nats-io"), path.join(modules, "@nats-io"));
    for (const name of ["@types/node", "undici-types"])
      await symlink(path.join(NODE_MODULES, name), path.join(modules, name));
    await writeFile(path.join(this.directory, "package.json"), '{ "type": "module", "private": true }');
  }
}
