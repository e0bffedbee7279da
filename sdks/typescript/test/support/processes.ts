/** Programs that tests start: their output, their readiness and their end. */

import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import process from "node:process";

import { REPOSITORY } from "./repository.js";
import { DEADLINE_MS, eventually } from "./wait.js";

const TARGET = process.env.CARGO_TARGET_DIR ?? path.join(REPOSITORY, "target");

/** The `agentnet` program: `AGENTNET_BIN`, else the one of the repository's build. */
export const AGENTNET = program("AGENTNET_BIN", path.join(TARGET, "debug", "agentnet"), "cargo build -p agentnet-cli");
/** The `nats-server` program: `NATS_SERVER`, else `AGENTNET_NATS_SERVER`, else the pinned one. */
export const NATS_SERVER = program(
  process.env.NATS_SERVER ? "NATS_SERVER" : "AGENTNET_NATS_SERVER",
  path.join(REPOSITORY, ".tools", "bin", "nats-server"),
  "make tools",
);

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** The arguments with which this runtime runs a file; unhandled rejections end the program. */
export function runArguments(file: string): string[] {
  if ("Deno" in globalThis) return ["run", "--allow-all", "--no-check", file];
  return "Bun" in globalThis ? [file] : ["--unhandled-rejections=strict", file];
}

/** A program that runs. */
export class Program {
  readonly name: string;
  readonly child: ChildProcess;
  /** What it has printed so far. */
  stdout = "";
  stderr = "";
  #end: number | string | undefined;

  constructor(command: string, args: readonly string[], options: SpawnOptions = {}) {
    this.name = path.basename(command);
    this.child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], ...options });
    running.add(this.child);
    this.child.on("exit", (code, signal) => {
      running.delete(this.child);
      this.#end = code ?? signal ?? "unknown";
    });
    this.child.on("error", (error) => {
      this.#end ??= "not started";
      this.stderr += `${error.message}\n`;
    });
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
  }

  /** Whether it has ended. */
  get hasEnded(): boolean {
    // Not by the properties of the child, which Deno sets when the signal is sent.
    return this.#end !== undefined;
  }

  /** Waits until it has printed something that matches, on stdout or stderr. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    return await eventually(`${this.name} prints ${pattern}; it printed ${this.stdout}${this.stderr}`, () => {
      const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
      if (match === null && this.hasEnded) throw new Error(`${this.name} has ended: ${this.stdout}${this.stderr}`);
      return match;
    });
  }

  /** Waits for its end; its exit code, or the name of the signal that ended it. */
  async ended(deadlineMs = DEADLINE_MS): Promise<number | string> {
    await eventually(`${this.name} ends; it printed ${this.stdout}${this.stderr}`, () => this.hasEnded, deadlineMs);
    return this.#end ?? "unknown";
  }

  /** Sends it a signal. */
  kill(signal: NodeJS.Signals): void {
    // Not by the child's own method, after which Deno reports the end at once.
    if (this.child.pid !== undefined && !this.hasEnded) process.kill(this.child.pid, signal);
  }

  /** Ends it and waits for that. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | string> {
    this.kill(signal);
    try {
      return await this.ended(15_000);
    } catch {
      this.kill("SIGKILL");
      return await this.ended();
    }
  }
}

function program(variable: string, otherwise: string, hint: string): string {
  const given = process.env[variable];
  const found = given === undefined || given === "" ? otherwise : given;
  if (!existsSync(found)) throw new Error(`${found} does not exist: set ${variable}, or run \`${hint}\``);
  return found;
}
