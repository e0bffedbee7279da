/** Asks the Rust implementation: `crates/agentnet-protocol/examples/wire_oracle.rs`. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY } from "../support/repository.js";

/** A question: its name, and its arguments as text or bytes. */
export interface Question {
  name: string;
  arguments: readonly (string | Uint8Array)[];
}

/** The parts of an answer; `undefined` for one that is absent. */
export type Answer = (string | undefined)[];

const target = process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, "target");
const program = process.env.AGENTNET_WIRE_ORACLE ?? join(target, "debug/examples/wire_oracle");

/** The answers to many questions, in their order. */
export function askOracle(questions: readonly Question[]): Answer[] {
  assert.ok(
    existsSync(program),
    `${program} is missing: build it with \`cargo build -p agentnet-protocol --example wire_oracle\`, or set AGENTNET_WIRE_ORACLE`,
  );
  const input = questions.map((question) => [question.name, ...question.arguments.map(hex)].join("\t"));
  const run = spawnSync(program, { input: `${input.join("\n")}\n`, maxBuffer: 1 << 30, encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
  const lines = run.stdout.split("\n").slice(0, -1);
  assert.equal(lines.length, questions.length);
  return lines.map((line) =>
    line.split("\t").map((part) => (part === "-" ? undefined : Buffer.from(part, "hex").toString())),
  );
}

function hex(argument: string | Uint8Array): string {
  return Buffer.from(argument).toString("hex");
}
