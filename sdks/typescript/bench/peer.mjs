/**
 * One side of a measurement, in a process of its own.
 *
 *   peer.mjs agentnet|nats answer URL SUBJECT    answers requests until its input ends; prints where
 *   peer.mjs agentnet|nats ask URL SUBJECT       does what each line of its input says, and prints a line about it
 *
 * A line is a JSON array of a call, the number of calls in flight, and milliseconds; the answer is a JSON object.
 */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { createInterface } from "node:readline";

import { connect } from "@nats-io/transport-node";
import { AgentNode } from "agentnet-sdk";

const PAYLOAD = { text: "What is the spread?", n: 17, tags: ["a", "b"], ratio: 0.25 };
/** Guards that count, and refuse nothing. */
const OPEN = { rateLimitPerSenderPerSec: 1e9, rateLimitBurst: 1e9, maxPending: 10_000, maxConcurrency: 256 };

const [implementation, role, url, subject] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin });

async function startNode(name) {
  const node = new AgentNode({ agentId: name, username: name, natsUrl: url, limits: OPEN });
  node.onMessage(async (message, context) => {
    if (message.wantsReply) await context.reply({ ok: true, n: message.payload.n });
  });
  return await node.start();
}

async function connectPlain() {
  const { host, username } = new URL(url);
  return await connect({ servers: host, ...(username === "" ? {} : { token: decodeURIComponent(username) }) });
}

async function answer() {
  if (implementation === "agentnet") {
    const node = await startNode(`bench-${process.pid}`);
    say(node.accountId);
    return () => node.close();
  }
  const nats = await connectPlain();
  nats.subscribe(subject, {
    callback: (_error, message) => {
      message.respond(JSON.stringify({ ok: true, n: JSON.parse(message.string()).n }));
    },
  });
  await nats.flush();
  say(subject);
  return () => nats.close();
}

/** The calls that can be measured, and how to end. */
async function callsOf() {
  if (implementation === "agentnet") {
    const node = await startNode(`bench-${process.pid}`);
    return {
      request: async () => (await node.requestAccount(subject, PAYLOAD, { timeoutMs: 30_000 })).payload.n,
      send: () => node.sendToAccount(subject, PAYLOAD),
      close: () => node.close(),
    };
  }
  const nats = await connectPlain();
  return {
    request: async () =>
      JSON.parse((await nats.request(subject, JSON.stringify(PAYLOAD), { timeout: 30_000 })).string()).n,
    close: () => nats.close(),
  };
}

async function ask() {
  const calls = await callsOf();
  say({ ready: true });
  for await (const line of lines) {
    const [name, inFlight, milliseconds] = JSON.parse(line);
    say(await measure(calls[name], inFlight, milliseconds));
  }
  return calls.close;
}

async function measure(call, inFlight, milliseconds) {
  const took = [];
  const cpu = process.cpuUsage();
  const start = performance.now();
  const caller = async () => {
    for (let now = performance.now(); now - start < milliseconds; ) {
      await call();
      const end = performance.now();
      took.push(end - now);
      now = end;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  const seconds = (performance.now() - start) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  took.sort((a, b) => a - b);
  return {
    count: took.length,
    perSecond: took.length / seconds,
    p50: took[Math.floor(took.length / 2)] * 1_000,
    p99: took[Math.floor(took.length * 0.99)] * 1_000,
    cpuMicros: (user + system) / took.length,
  };
}

function say(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

if (role === "answer") {
  const close = await answer();
  for await (const _line of lines);
  await close();
} else {
  await (await ask())();
}
