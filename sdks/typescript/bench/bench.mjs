/**
 * How fast the package is, beside plain request and reply of nats.js.
 *
 *   node bench/bench.mjs [ROUNDS [MILLISECONDS]]     default: 9 rounds, 1,000 ms each measurement
 *
 * A network of its own (`agentnet up`: nats-server with JetStream, and a registry that stores every message), and two processes
 * for each of the two: one answers, one asks. In each round both are measured, one after another and with 256 calls in flight,
 * in turns, so that they get the same good and bad moments of the machine. What nats.js sends is neither stored nor
 * acknowledged, and has no envelope, guards or receipts.
 *
 * AGENTNET_BIN names the program (default: the release build), AGENTNET_NATS_SERVER the nats-server. AGENTNET_BENCH_FLAGS are flags
 * of Node.js for the measured processes, such as `--cpu-prof --cpu-prof-dir=/tmp/profiles`.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url));
const PEER = fileURLToPath(new URL("peer.mjs", import.meta.url));
const TARGET = process.env.CARGO_TARGET_DIR || join(REPOSITORY, "target");
const AGENTNET = process.env.AGENTNET_BIN || join(TARGET, "release/agentnet");
const FLAGS = (process.env.AGENTNET_BENCH_FLAGS ?? "").split(" ").filter((flag) => flag !== "");
const ROUNDS = Number(process.argv[2] ?? 9);
const MILLISECONDS = Number(process.argv[3] ?? 1_000);
const IN_FLIGHT = 256;
/** What the figures should be, as in docs/TYPESCRIPT.md. */
const GOALS = { sequential: 1.5, burst: 0.3 };

/** A program whose output is read line by line. */
class Program {
  constructor(command, args, env = {}) {
    this.child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, ...env } });
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
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

  async ask(question) {
    this.child.stdin.write(`${JSON.stringify(question)}\n`);
    return JSON.parse(await this.line());
  }

  async stop() {
    this.child.stdin.end();
    await this.ended;
  }
}

async function startNetwork(directory) {
  const up = new Program(AGENTNET, ["up", "--data-dir", directory, "--port", "0"], { LOG_LEVEL: "warn" });
  const pattern = /nats:\/\/[^\s"]+@[^\s"]+/;
  for (;;) {
    const found = pattern.exec(await up.line());
    if (found !== null) return { up, url: found[0] };
  }
}

async function startPair(implementation, url) {
  const answers = new Program(process.execPath, [...FLAGS, PEER, implementation, "answer", url, "bench.plain"]);
  const where = JSON.parse(await answers.line());
  const asks = new Program(process.execPath, [...FLAGS, PEER, implementation, "ask", url, where]);
  await asks.line();
  return { answers, asks };
}

const median = (values) => percentile(values, 0.5);
const percentile = (values, part) => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * part)] ?? 0;
const rounded = (value) => Math.round(value).toLocaleString("en");
const fixed = (value) => value.toFixed(2);
const spread = (values, show) =>
  `${show(median(values))} (${show(Math.min(...values))} to ${show(Math.max(...values))})`;

function report(results) {
  const of = (name, figure) => results.map((round) => round[name][figure]);
  const ratios = (a, b, figure) => results.map((round) => round[a][figure] / round[b][figure]);
  const rows = [
    ["request, one after another, p50 in µs", "p50", "sequential", rounded],
    [`requests a second, ${IN_FLIGHT} in flight`, "perSecond", "burst", rounded],
    [`CPU time of the asking process in µs, ${IN_FLIGHT} in flight`, "cpuMicros", "burst", rounded],
  ];
  console.log(
    `Node.js ${process.version}, ${cpus().length} CPUs, ${ROUNDS} rounds of ${MILLISECONDS} ms: median (lowest to highest)\n`,
  );
  console.log("| | agentnet | nats.js | ratio |\n|---|---|---|---|");
  for (const [title, figure, way, show] of rows) {
    const [ours, plain] = [`agentnet ${way}`, `nats ${way}`];
    console.log(
      `| ${title} | ${spread(of(ours, figure), show)} | ${spread(of(plain, figure), show)} | ${spread(ratios(ours, plain, figure), fixed)} |`,
    );
  }
  console.log(
    `| sends with receipt a second, ${IN_FLIGHT} in flight | ${spread(of("agentnet sends", "perSecond"), rounded)} | | |`,
  );
  console.log(
    `| send with receipt, one after another, p50 in µs | ${spread(of("agentnet send", "p50"), rounded)} | | |`,
  );
  const sequential = median(ratios("agentnet sequential", "nats sequential", "p50"));
  const burst = median(ratios("agentnet burst", "nats burst", "perSecond"));
  const met = (is) => (is ? "met" : "NOT met");
  console.log(
    `\nGoals: p50 at most ${GOALS.sequential} x nats.js: ${fixed(sequential)}, ${met(sequential <= GOALS.sequential)};`,
  );
  console.log(`       rate at least ${GOALS.burst} x nats.js: ${fixed(burst)}, ${met(burst >= GOALS.burst)}`);
}

const directory = mkdtempSync(join(tmpdir(), "agentnet-bench-"));
const programs = [];
try {
  const { up, url } = await startNetwork(directory);
  programs.push(up);
  const pairs = { nats: await startPair("nats", url), agentnet: await startPair("agentnet", url) };
  for (const { answers, asks } of Object.values(pairs)) programs.unshift(asks, answers);
  const measure = async (implementation, call, inFlight, milliseconds = MILLISECONDS) =>
    await pairs[implementation].asks.ask([call, inFlight, milliseconds]);
  // Until the code of all is compiled.
  for (const name of ["nats", "agentnet"]) {
    await measure(name, "request", IN_FLIGHT, 1_500);
    await measure(name, "request", 1, 500);
  }
  const results = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const order = round % 2 === 0 ? ["nats", "agentnet"] : ["agentnet", "nats"];
    const result = {};
    for (const name of order) result[`${name} sequential`] = await measure(name, "request", 1);
    for (const name of order) result[`${name} burst`] = await measure(name, "request", IN_FLIGHT);
    result["agentnet send"] = await measure("agentnet", "send", 1);
    result["agentnet sends"] = await measure("agentnet", "send", IN_FLIGHT);
    results.push(result);
  }
  report(results);
} finally {
  for (const program of programs) {
    if (program.child.spawnargs.includes("up")) program.child.kill("SIGTERM");
    await program.stop();
  }
  rmSync(directory, { recursive: true, force: true });
}
