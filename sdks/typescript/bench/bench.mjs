/**
 * How fast the package is, beside plain request and reply of nats.js.
 *
 *   node bench/bench.mjs [ROUNDS [MILLISECONDS]]     default: 9 rounds, 1,000 ms each measurement
 *
 * On each of two networks, one after the other: one that stores nothing, as nats.js has it, where a stand-in answers the
 * registrations; and one of `agentnet up`, whose registry stores every message of the agents on the same cores. On each, two
 * processes of the package and two of nats.js: one answers, one asks. In each round both are measured, one after another and with
 * 256 calls in flight, in turns, so that they get the same good and bad moments of the machine. What nats.js sends is neither
 * stored nor acknowledged, and has no envelope, guards or receipts.
 *
 * See network.mjs for the environment.
 */
import { cpus } from "node:os";
import process from "node:process";

import { Network } from "./network.mjs";

const ROUNDS = Number(process.argv[2] ?? 9);
const MILLISECONDS = Number(process.argv[3] ?? 1_000);
const IN_FLIGHT = 256;
/** What the figures on the network without a store should be, as in docs/TYPESCRIPT.md. */
const GOALS = { sequential: 1.5, burst: 0.3 };

const percentile = (values, part) => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * part)] ?? 0;
const median = (values) => percentile(values, 0.5);
const rounded = (value) => Math.round(value).toLocaleString("en");
const fixed = (value) => value.toFixed(2);
const spread = (values, show) =>
  `${show(median(values))} (${show(Math.min(...values))} to ${show(Math.max(...values))})`;
const ratios = (rounds, way, figure) =>
  rounds.map((round) => round[`agentnet ${way}`][figure] / round[`nats ${way}`][figure]);

/** The rounds on one network. */
async function measureOn(network) {
  try {
    const asks = { nats: await network.startPair("nats"), agentnet: await network.startPair("agentnet") };
    const measure = async (name, call, inFlight, milliseconds = MILLISECONDS) => {
      const result = await asks[name].ask([call, inFlight, milliseconds]);
      await network.settled();
      return result;
    };
    // Until the code of all is compiled.
    for (const name of ["nats", "agentnet"]) {
      await measure(name, "request", IN_FLIGHT, 1_500);
      await measure(name, "request", 1, 500);
    }
    const rounds = [];
    for (let number = 0; number < ROUNDS; number += 1) {
      const order = number % 2 === 0 ? ["nats", "agentnet"] : ["agentnet", "nats"];
      const round = {};
      for (const name of order) round[`${name} sequential`] = await measure(name, "request", 1);
      for (const name of order) round[`${name} burst`] = await measure(name, "request", IN_FLIGHT);
      round["agentnet send"] = await measure("agentnet", "send", 1);
      round["agentnet sends"] = await measure("agentnet", "send", IN_FLIGHT);
      rounds.push(round);
    }
    return rounds;
  } finally {
    await network.stop();
  }
}

function report(title, rounds) {
  const of = (name, figure, show) =>
    spread(
      rounds.map((round) => round[name][figure]),
      show,
    );
  const beside = [
    ["a request, one after another, p50 in µs", "p50", "sequential", rounded],
    [`requests a second, ${IN_FLIGHT} in flight`, "perSecond", "burst", rounded],
    [`CPU time of the asking process in µs a request, ${IN_FLIGHT} in flight`, "cpuMicros", "burst", rounded],
  ];
  console.log(`\n| ${title} | agentnet | nats.js | ratio |\n|---|---|---|---|`);
  for (const [row, figure, way, show] of beside) {
    const [ours, plain] = [`agentnet ${way}`, `nats ${way}`].map((name) => of(name, figure, show));
    console.log(`| ${row} | ${ours} | ${plain} | ${spread(ratios(rounds, way, figure), fixed)} |`);
  }
  const alone = [
    [`sends with receipt a second, ${IN_FLIGHT} in flight`, "perSecond", "agentnet sends"],
    ["a send with receipt, one after another, p50 in µs", "p50", "agentnet send"],
  ];
  for (const [row, figure, name] of alone) console.log(`| ${row} | ${of(name, figure, rounded)} | | |`);
}

console.log(
  `Node.js ${process.version}, ${cpus().length} CPUs, ${ROUNDS} rounds of ${MILLISECONDS} ms: median (lowest to highest)`,
);
const bare = await measureOn(await Network.bare());
report("nothing stored", bare);
report("a registry stores every message", await measureOn(await Network.storing()));

const sequential = median(ratios(bare, "sequential", "p50"));
const burst = median(ratios(bare, "burst", "perSecond"));
const met = (is) => (is ? "met" : "NOT met");
console.log(`\nGoals, where nothing is stored:
  p50 at most ${GOALS.sequential} x nats.js: ${fixed(sequential)}, ${met(sequential <= GOALS.sequential)}
  rate at least ${GOALS.burst} x nats.js: ${fixed(burst)}, ${met(burst >= GOALS.burst)}`);
