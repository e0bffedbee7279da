/** Programs in Python that speak by lines of JSON: a foreign peer on nats-py, and an agent of this repository's Python package. */

import { existsSync } from "node:fs";
import path from "node:path";
import process from "node:process";

import type { Network } from "./network.js";
import type { Program } from "./processes.js";
import { PACKAGE, REPOSITORY } from "./repository.js";
import { eventually } from "./wait.js";

/** A line that a program has printed. */
export type Line = { readonly event: string } & Readonly<Record<string, unknown>>;

/** A program in Python that runs. */
export class Python {
  readonly program: Program;
  #read = 0;

  private constructor(program: Program) {
    this.program = program;
  }

  /** `spec/peers/stream.py`, which shares no code with this project. */
  static streamPeer(network: Network, ...args: string[]): Python {
    const [command = "", ...rest] = args;
    const script = path.join(REPOSITORY, "spec/peers/stream.py");
    const python = interpreter("AGENTNET_PEER_PYTHON", ".tools/python/bin/python", "make python-peer");
    return new Python(network.spawn(python, [script, command, network.url, ...rest]));
  }

  /** `spec/peers/agent.py`, which shares no code with this project. */
  static wirePeer(network: Network, command: "serve" | "talk", ...args: string[]): Python {
    const script = path.join(REPOSITORY, "spec/peers/agent.py");
    const python = interpreter("AGENTNET_PEER_PYTHON", ".tools/python/bin/python", "make python-peer");
    return new Python(network.spawn(python, [script, command, network.url, ...args]));
  }

  /** An agent of the Python package; ready when this resolves. */
  static async agent(
    network: Network,
    username: string,
    environment: Record<string, string> = {},
    ...args: string[]
  ): Promise<Python> {
    const script = path.join(PACKAGE, "test/support/peers/agent.py");
    const python = interpreter("AGENTNET_PYTHON", ".tools/python-wheel/bin/python", "make typescript-test");
    const agent = new Python(network.spawn(python, [script, username, ...args], environment));
    await agent.next("ready");
    return agent;
  }

  /** The next line, which must be of this event. */
  async next(event: string): Promise<Line> {
    const line = await eventually(`the program in Python says ${event}`, () => {
      const lines = this.program.stdout.split("\n");
      if (lines.length - 1 > this.#read) return lines[this.#read];
      return this.program.hasEnded ? "" : undefined;
    });
    if (line === "") throw new Error(`expected ${event}, but it has ended: ${this.program.stderr}`);
    this.#read += 1;
    const said = JSON.parse(line) as Line;
    if (said.event !== event) throw new Error(`expected ${event}, but it says ${line}`);
    return said;
  }

  /** Makes a call; the result. */
  async call<T = unknown>(op: string, members: Readonly<Record<string, unknown>>): Promise<T> {
    this.program.child.stdin?.write(`${JSON.stringify({ op, ...members })}\n`);
    return (await this.next("result")).result as T;
  }

  /** Makes a call that fails; the class and the text of the error. */
  async failingCall(op: string, members: Readonly<Record<string, unknown>>): Promise<string> {
    this.program.child.stdin?.write(`${JSON.stringify({ op, ...members })}\n`);
    const { error, text } = await this.next("error");
    return `${error}: ${text}`;
  }
}

function interpreter(variable: string, otherwise: string, hint: string): string {
  const given = process.env[variable];
  const found = given === undefined || given === "" ? path.join(REPOSITORY, otherwise) : given;
  if (!existsSync(found)) throw new Error(`${found} does not exist: run \`${hint}\`, or set ${variable}`);
  return found;
}
