/**
 * How fast streams are, and how soon a sender hears of a cancel; with the built package, on a network that runs.
 *
 *   agentnet up
 *   node bench/streams.mjs [PIECES]                  default: 10,000 pieces of a few bytes
 *   DEV_AUTH=true node bench/streams.mjs [PIECES]    on a network of `agentnet up --dev-auth`
 *
 * The reader and the sender share this process; the address is that of the environment.
 */
import process from "node:process";
import { AgentNode, DevAuth, MemoryKeyStore } from "../dist/esm/index.js";

const PIECES = Number(process.argv[2] ?? 10_000);
const ROUNDS = 5;
const CANCELS = 50;

const options = () => ({
  ...(process.env.DEV_AUTH === "true" ? { devAuth: new DevAuth({ keys: new MemoryKeyStore() }) } : {}),
  limits: { rateLimitPerSenderPerSec: 10_000, rateLimitBurst: 10_000 },
});
let heardAt = 0;
const poet = new AgentNode({ agentId: `poet_${process.pid}`, username: `poet_${process.pid}`, ...options() });
poet.onMessage(async (message, context) => {
  const stream = await context.replyStream();
  if (message.text === "cancel me") {
    stream.cancelled.addEventListener("abort", () => {
      heardAt = performance.now();
    });
    for (;;) {
      await stream.delta("on and on ");
      await new Promise(setImmediate);
    }
  }
  for (let number = 0; number < PIECES; number += 1) await stream.delta(`${number} `);
  await stream.end();
});
await poet.start();
const reader = await new AgentNode({ agentId: `reader_${process.pid}`, ...options() }).start();
const ask = (text) => reader.requestStreamAccount(poet.accountId, { text }, { timeoutMs: 30_000 });

for (let round = 1; round <= ROUNDS; round += 1) {
  const started = performance.now();
  const used = process.cpuUsage();
  let next = 0;
  for await (const piece of ask("all")) {
    if (piece.text !== `${next} `) throw new Error(`piece ${next} is ${piece.text}`);
    next += 1;
  }
  if (next !== PIECES) throw new Error(`${next} of ${PIECES} pieces came`);
  const milliseconds = performance.now() - started;
  const { user, system } = process.cpuUsage(used);
  const each = (user + system) / PIECES;
  const rate = Math.round((PIECES / milliseconds) * 1_000);
  console.log(
    `${PIECES} pieces in order: ${milliseconds.toFixed()} ms, ${rate} a second, ${each.toFixed()} µs of CPU each`,
  );
}

const delays = [];
for (let count = 0; count < CANCELS; count += 1) {
  heardAt = 0;
  let leftAt = 0;
  for await (const piece of ask("cancel me")) {
    if (piece.seq < 5) continue;
    leftAt = performance.now();
    break;
  }
  while (heardAt === 0) await new Promise(setImmediate);
  delays.push(heardAt - leftAt);
}
delays.sort((a, b) => a - b);
const [p50, p99] = [delays[Math.floor(CANCELS / 2)], delays[CANCELS - 1]];
console.log(`a cancel is heard after ${p50.toFixed(1)} ms (median), ${p99.toFixed(1)} ms (slowest of ${CANCELS})`);
await reader.close();
await poet.close();
