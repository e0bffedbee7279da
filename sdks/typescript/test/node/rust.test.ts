/** TypeScript with the Rust implementation: its echo agent, its commands, and its conformance test. */

import assert from "node:assert/strict";
import path from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";

import { type AgentNode, DeliveryError, RawJson } from "../../src/index.js";
import { Network } from "../support/network.js";
import { runArguments } from "../support/processes.js";
import { PACKAGE } from "../support/repository.js";
import { eventually } from "../support/wait.js";

let network: Network;
let sender: AgentNode;
before(async () => {
  network = await Network.start();
  await network.echo("rust", "--capability", "rusty", "--rate-limit", "1000", "--rate-burst", "1000");
  sender = await network.node({ agentId: "sender", username: "sender" }).start();
});
after(() => network.stop());

test("TypeScript sends to Rust until accepted and processed, and is answered", async () => {
  assert.equal((await sender.send("@rust", { text: "hi" })).receipt?.status, "accepted");
  assert.equal((await sender.send("@rust", { text: "hi" }, { until: "processed" })).receipt?.status, "processed");
  const reply = await sender.requestCapability("rusty", { text: "which?" });
  assert.equal(reply.text, "which?");
  const exact = '{"n":1.0,"big":12345678901234567890,"lone":"\\ud800","nan":NaN}';
  assert.equal((await sender.request("@rust", RawJson.parse(exact))).payloadText, exact);
});

test("Rust's failures are errors by code", async () => {
  const failing = { do: "fail" };
  await assert.rejects(sender.send("@rust", failing, { until: "processed" }), (error: unknown) => {
    return error instanceof DeliveryError && error.reason === "handler_error";
  });
  assert.equal((await sender.request("@rust", failing)).errorCode, "handler_error");
  const late = await sender.send("@rust", {}, { ttlMs: 1, until: "published" });
  assert.equal(late.receipt, undefined);
});

test("many sends and requests at once reach Rust and come back", async () => {
  const numbers = Array.from({ length: 90 }, (_, number) => number);
  const replies = await Promise.all(numbers.map((number) => sender.request("@rust", number, { timeoutMs: 30_000 })));
  assert.deepEqual(
    replies.map((reply) => reply.payload),
    numbers,
  );
});

test("Rust's commands send to a TypeScript agent, ask it, and are refused by it", async () => {
  const got: (string | undefined)[] = [];
  const node = network.node({
    agentId: "ts",
    username: "ts",
    limits: { rateLimitBurst: 3, rateLimitPerSenderPerSec: 0.1 },
  });
  node.onMessage(async (message, context) => {
    got.push(message.text);
    if (message.wantsReply) await context.reply({ text: `TypeScript heard ${message.text}` });
  });
  await node.start();
  const send = network.agentnet(["send", "--to-username", "ts", '{"text":"from Rust"}']);
  assert.equal(await send.ended(), 0, send.stderr);
  const ask = network.agentnet(["request", "--to-username", "ts", '{"text":"a question"}', "--json"]);
  assert.equal(await ask.ended(), 0, ask.stderr);
  assert.match(ask.stdout, /TypeScript heard a question/);
  assert.deepEqual(got, ["from Rust", "a question"]);
});

test("two sessions of one account, one in Rust and one in TypeScript, share its inbox", async () => {
  await network.echo("shared", "--rate-limit", "1000", "--rate-burst", "1000");
  let mine = 0;
  const node = network.node({ agentId: "shared", username: "shared", limits: { rateLimitBurst: 1_000 } });
  node.onMessage((message, context) => {
    mine += 1;
    return context.reply(message.payload);
  });
  await node.start();
  let asked = 0;
  await eventually("both have answered", async () => {
    const reply = await sender.request("@shared", asked, { timeoutMs: 30_000 });
    assert.equal(reply.payload, asked);
    asked += 1;
    return mine > 0 && asked > mine;
  });
});

test("the agent passes the conformance test", async () => {
  const echo = path.join(PACKAGE, "test", "conformance", "echo.mjs");
  const agent = network.spawn(process.execPath, [...runArguments(echo), "subject", "check"]);
  await agent.printed(/ready acct_/);
  const run = network.agentnet([
    "conformance",
    "agent",
    "--to",
    "@subject",
    "--capability",
    "check",
    "--slow",
    "--timeout",
    "10",
    "--json",
  ]);
  const code = await run.ended(300_000);
  const { counts } = JSON.parse(run.stdout) as { counts: Record<string, number> };
  assert.equal(code, 0, run.stdout);
  assert.deepEqual(
    { ...counts, pass: 62 },
    { pass: 62, intended_difference: 0, fail: 0, not_run: 0 },
    JSON.stringify(counts),
  );
  agent.child.stdin?.end();
  assert.equal(await agent.ended(), 0, agent.stderr);
});
