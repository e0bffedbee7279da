/**
 * The networks of the benchmark, and the processes that are measured on them.
 *
 * AGENTNET_BIN names the program (default: the release build), AGENTNET_NATS_SERVER the nats-server (default: the one of
 * `make tools`). AGENTNET_BENCH_FLAGS are flags of Node.js for the measured processes, such as
 * `--cpu-prof --cpu-prof-dir=/tmp/profiles`.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { connect } from "@nats-io/transport-node";

const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url));
const PEER = fileURLToPath(new URL("peer.mjs", import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR || join(REPOSITORY, "target");
const AGENTNET = process.env.AGENTNET_BIN || join(TARGET, "release/agentnet");
const NATS_SERVER = process.env.AGENTNET_NATS_SERVER || join(REPOSITORY, ".tools/bin/nats-server");
const FLAGS = (process.env.AGENTNET_BENCH_FLAGS ?? "").split(" ").filter((flag) => flag !== "");
/** How long the registry may take to store what is waiting. */
const STORING_TIMEOUT_MS = 60_000;

/** A program whose output, or whose log, is read line by line. */
class Program {
  constructor(command, args, { env = {}, read = "stdout" } = {}) {
    const stdio = ["pipe", "inherit", "inherit"];
    stdio[read === "stdout" ? 1 : 2] = "pipe";
    this.child = spawn(command, args, { stdio, env: { ...process.env, ...env } });
    this.lines = createInterface({ input: this.child[read] })[Symbol.asyncIterator]();
    this.ended = new Promise((resolve) => this.child.on("exit", resolve));
    this.child.on("error", (error) => {
      console.error(`bench: ${command}: ${error.message}`);
      process.exit(1);
    });
  }

  async line() {
    const { value, done } = await this.lines.next();
    if (done) throw new Error("a program of the benchmark has ended early");
    return value;
  }

  /** What the first line that matches has in brackets. */
  async found(pattern) {
    for (;;) {
      const found = pattern.exec(await this.line());
      if (found !== null) return found[1];
    }
  }

  async ask(question) {
    this.child.stdin.write(`${JSON.stringify(question)}\n`);
    return JSON.parse(await this.line());
  }

  async stop(signal) {
    if (signal === undefined) this.child.stdin.end();
    else this.child.kill(signal);
    await this.ended;
  }
}

/** Connects a plain client of nats.js. */
async function connectPlain(url) {
  const { host, username } = new URL(url);
  return await connect({ servers: host, ...(username === "" ? {} : { token: decodeURIComponent(username) }) });
}

/** A network, the processes on it, and how to wait until it has nothing left to do. */
export class Network {
  #programs = [];
  #directory = mkdtempSync(join(tmpdir(), "agentnet-bench-"));
  #server;
  #client;

  /** nats-server without JetStream, and in the place of a registry an answer to registrations: nothing is stored. */
  static async bare() {
    const network = new Network();
    const args = ["--addr", "127.0.0.1", "--port", "-1"];
    network.#server = new Program(NATS_SERVER, args, { read: "stderr" });
    network.url = `nats://${await network.#server.found(/Listening for client connections on (\S+)/)}`;
    network.#client = await connectPlain(network.url);
    network.#client.subscribe("registry.register", {
      callback: (_error, message) => {
        const { username } = message.json();
        const names = { account_id: `acct_${username}`, username, session_tag: `session_${username}` };
        message.respond(JSON.stringify(names));
      },
    });
    await network.#client.flush();
    return network;
  }

  /** `agentnet up`: nats-server with JetStream, and a registry that stores every message. */
  static async storing() {
    const network = new Network();
    const args = ["up", "--data-dir", network.#directory, "--port", "0", "--nats-server", NATS_SERVER];
    network.#server = new Program(AGENTNET, args, { env: { LOG_LEVEL: "warn" } });
    network.url = await network.#server.found(/(nats:\/\/[^\s"]+@[^\s"]+)/);
    network.#client = await connectPlain(network.url);
    network.isStoring = true;
    return network;
  }

  /** Two processes: one answers, one asks. */
  async startPair(implementation) {
    const start = (role, where) => {
      const program = new Program(process.execPath, [...FLAGS, PEER, implementation, role, this.url, where]);
      this.#programs.unshift(program);
      return program;
    };
    const where = JSON.parse(await start("answer", "bench.plain").line());
    const asks = start("ask", where);
    await asks.line();
    return asks;
  }

  /** Waits until the registry has stored what was measured before: its work is not the next one's. */
  async settled() {
    if (!this.isStoring) return;
    const deadline = Date.now() + STORING_TIMEOUT_MS;
    for (;;) {
      const { capture } = (await this.#client.request("registry.metrics", "{}", { timeout: 10_000 })).json();
      if (capture.lag === 0) return;
      if (Date.now() > deadline) throw new Error(`${capture.lag} messages are not stored`);
      await pause(20);
    }
  }

  async stop() {
    for (const program of this.#programs) await program.stop();
    await this.#client?.close();
    await this.#server?.stop("SIGTERM");
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
