/**
 * TypeScript with Rust (its echo agent and its commands), with the Python package, and with a foreign peer on nats-py, both ways:
 * sends until accepted and processed, requests, refusals by code, an inbox that two processes share, payloads to the letter.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  AgentBusyError,
  AgentHandlerError,
  AgentNetClient,
  type AgentNode,
  AgentSDK,
  DeliveryError,
  DeliveryTimeoutError,
  RawJson,
} from "../../src/index.js";
import { Network, QuietLogger } from "../support/network.js";
import { Python } from "../support/python.js";
import { eventually } from "../support/wait.js";

/** A float that is whole, an integer beyond every number, half a surrogate pair, and no number. */
const EXACT = '{"n":1.0,"big":12345678901234567890,"lone":"\\ud800","nan":NaN}';
const OPEN = { rateLimitBurst: 100_000, rateLimitPerSenderPerSec: 100_000, maxPending: 10_000 };

let network: Network;
let sdk: AgentSDK;
/** Sends larger messages than its peers take. */
let generous: AgentNode;
/** An agent of the Python package that makes calls. */
let python: Python;
const received: { text: string; from: string | undefined }[] = [];

before(async () => {
  // nats-py takes a token of an address as it is written.
  network = await Network.start({ authorization: 'token: "plain_token"', credentials: "plain_token" });
  await network.echo("rust", "--rate-limit", "100000", "--rate-burst", "100000");
  await Python.agent(network, "python");
  python = await Python.agent(network, "caller");
  generous = await network.node({ agentId: "generous", limits: { maxPayloadBytes: 500_000 } }).start();
  const node = network.node({ agentId: "ts", username: "ts", capabilities: ["rust"], limits: OPEN });
  node.onMessage(async (message, context) => {
    received.push({ text: message.payloadText, from: message.fromAccountId });
    const told = message.payload as { do?: string } | null;
    if (told?.do === "fail") throw new Error("told to fail");
    if (message.wantsReply) await context.reply(RawJson.parse(message.payloadText));
  });
  sdk = await AgentSDK.on(node).start();
});
after(() => network.stop());

for (const peer of ["rust", "python"]) {
  test(`TypeScript sends to ${peer} until accepted and processed, and asks it`, async () => {
    const { node } = sdk;
    assert.equal((await node.send(`@${peer}`, { text: "a" })).receipt?.status, "accepted");
    assert.equal((await node.send(`@${peer}`, { text: "b" }, { until: "processed" })).receipt?.status, "processed");
    assert.equal((await sdk.askText(`@${peer}`, "c", { timeoutMs: 20_000 })).text, "c");
  });

  test(`${peer} gives a payload back to the letter`, async () => {
    const result = await sdk.askJson(`@${peer}`, RawJson.parse(EXACT), { timeoutMs: 20_000 });
    assert.equal(result.dataText, EXACT);
    const lossless = result.dataLossless() as { big: bigint };
    assert.equal(lossless.big, 12345678901234567890n);
    const again = await sdk.askJson(`@${peer}`, result.dataLossless(), { timeoutMs: 20_000 });
    assert.equal(again.dataText, EXACT, "also when it passes through as values");
  });

  test(`${peer}'s refusals come by code`, async () => {
    const failing = { do: "fail" };
    await assert.rejects(sdk.askJson(`@${peer}`, failing, { timeoutMs: 20_000 }), AgentHandlerError);
    await assert.rejects(sdk.sendJson(`@${peer}`, failing, { until: "processed" }), (error: unknown) => {
      return error instanceof DeliveryError && error.code === "not_processed" && error.reason === "handler_error";
    });
    const strict = `strict_${peer}`;
    if (peer === "rust") await network.echo(strict, "--rate-limit", "0.1", "--rate-burst", "1");
    else await Python.agent(network, strict, {}, "1");
    await sdk.sendText(`@${strict}`, "first");
    await assert.rejects(sdk.sendText(`@${strict}`, "second"), (error: unknown) => {
      return error instanceof DeliveryError && error.code === "delivery_rejected" && error.reason === "rate_limited";
    });
    await assert.rejects(generous.send(`@${peer}`, "x".repeat(300_000)), (error: unknown) => {
      return error instanceof DeliveryError && error.reason === "payload_too_large";
    });
  });
}

test("Rust's commands send to a TypeScript agent and ask it, and report its refusals", async () => {
  const send = network.agentnet(["send", "--to-username", "ts", '{"text":"from Rust"}']);
  assert.equal(await send.ended(), 0, send.stderr);
  assert.ok(received.some(({ text }) => text === '{"text":"from Rust"}'));
  const ask = network.agentnet(["request", "--to-username", "ts", EXACT, "--json"]);
  assert.equal(await ask.ended(), 0, ask.stderr);
  assert.ok(ask.stdout.includes('"big":12345678901234567890') || ask.stdout.includes('"big": 12345678901234567890'));
  assert.match(ask.stdout, /"n": ?1\.0/);
  const failed = network.agentnet(["request", "--to-username", "ts", '{"do":"fail"}']);
  assert.notEqual(await failed.ended(), 0);
  assert.match(failed.stderr + failed.stdout, /handler_error/);
});

test("the Python package sends to a TypeScript agent and asks it, and reports its refusals", async () => {
  await python.call("send", { to: "@ts", payload: { text: "from Python" } });
  assert.ok(received.some(({ text }) => text === '{"text":"from Python"}'));
  const reply = await python.call<{ kind: string; payload: unknown }>("request", {
    to: "@ts",
    payload: { text: "ask" },
  });
  assert.deepEqual(reply, { kind: "reply", payload: { text: "ask" } });
  assert.equal(await python.call("echo", { to: "@ts", text: EXACT }), EXACT);
  assert.ok(received.some(({ text }) => text === EXACT));
  const failed = await python.call<{ kind: string; payload: { error: string } }>("request", {
    to: "@ts",
    payload: { do: "fail" },
  });
  assert.deepEqual([failed.kind, failed.payload.error], ["error", "handler_error"]);
  const strict = network.node({
    agentId: "strict_ts",
    username: "strict_ts",
    limits: { ...OPEN, rateLimitBurst: 1, rateLimitPerSenderPerSec: 0.1 },
  });
  strict.onMessage(() => undefined);
  await strict.start();
  await python.call("send", { to: "@strict_ts", payload: 1 });
  assert.match(await python.failingCall("send", { to: "@strict_ts", payload: 2 }), /delivery_rejected rate_limited/);
});

test("a foreign peer on nats-py answers TypeScript, and acknowledges", async () => {
  const peer = Python.wirePeer(network, "serve", "foreign");
  await peer.next("ready");
  assert.equal((await sdk.node.send("@foreign", { text: "hé" }, { until: "processed" })).receipt?.status, "processed");
  const got = (await peer.next("message")).envelope as Record<string, unknown>;
  assert.deepEqual([got.payload, got.from_account_id], [{ text: "hé" }, sdk.accountId]);
  const answer = await sdk.askJson("@foreign", RawJson.parse('{"n":1.5,"big":12345678901234567890}'), {
    timeoutMs: 20_000,
  });
  assert.equal(answer.text, "hé 😀");
  assert.equal(answer.dataText?.includes('"big":12345678901234567890'), true);
  peer.program.child.stdin?.end();
  assert.equal(await peer.program.ended(), 0, peer.program.stderr);
});

test("a foreign peer on nats-py sends to a TypeScript agent, asks it and its capability, and reads the thread", async () => {
  const peer = Python.wirePeer(network, "talk", "talker", "ts", "talk_thread");
  // The receipts of its message, and of its requests, come among its own lines.
  const lines = new Map<string, Record<string, unknown>>();
  assert.equal(await peer.program.ended(), 0, peer.program.stderr);
  const receipts: unknown[] = [];
  for (const line of peer.program.stdout.trim().split("\n")) {
    const record = JSON.parse(line) as { event: string; receipt?: { status: string } };
    lines.set(record.event, record);
    if (record.event === "receipt") receipts.push(record.receipt?.status);
  }
  assert.ok(receipts.includes("accepted") && receipts.includes("processed"));
  assert.ok(
    received.some(({ text }) => text === '{"b":2,"a":12345678901234567890123,"f":1.5,"s":"h\\u00e9 \\ud83d\\ude00"}'),
  );
  const reply = lines.get("reply")?.envelope as Record<string, unknown>;
  assert.deepEqual([reply.kind, reply.payload, reply.thread_id], ["reply", { text: "ping" }, "talk_thread"]);
  const capability = lines.get("capability_reply")?.envelope as Record<string, unknown>;
  assert.deepEqual(capability.payload, { text: "cap" });
  const history = lines.get("history")?.reply as { messages: unknown[] };
  assert.equal(history.messages.length, 5);
});

test("an agent of the original's TypeScript client answers requests, and sends no receipts", async () => {
  const peer = Python.wirePeer(network, "serve", "silent", "--typescript");
  await peer.next("ready");
  assert.equal((await sdk.askText("@silent", "hi", { timeoutMs: 20_000 })).text, "hé 😀");
  await assert.rejects(sdk.sendText("@silent", "x", { retryAttempts: 0, receiptTimeoutMs: 300 }), DeliveryTimeoutError);
  const client = new AgentNetClient({
    natsUrl: network.url,
    agentId: "compat",
    name: "compat",
    logger: new QuietLogger(),
  });
  await client.start();
  await client.send("@silent", { text: "no receipt is waited for" });
  await client.close();
  peer.program.child.stdin?.end();
  assert.equal(await peer.program.ended(), 0, peer.program.stderr);
});

test("processes of one account in TypeScript, Rust and Python share its inbox: each message is handled once", async () => {
  await network.echo("shared", "--rate-limit", "100000", "--rate-burst", "100000");
  await Python.agent(network, "shared");
  const counts = { node: 0, client: 0 };
  const node = network.node({ agentId: "shared", username: "shared", limits: OPEN });
  node.onMessage((message, context) => {
    counts.node += 1;
    return context.reply({ by: "node", got: message.payload });
  });
  await node.start();
  const client = new AgentNetClient({
    natsUrl: network.url,
    agentId: "shared",
    name: "shared",
    username: "shared",
    limits: OPEN,
    logger: new QuietLogger(),
  });
  await client.start();
  await client.subscribeInbox(async (message, ctx) => {
    counts.client += 1;
    await ctx.reply({ by: "client", got: message.payload });
  });
  assert.equal(client.getAccountId(), node.accountId);
  let asked = 0;
  let elsewhere = 0;
  await eventually("all have answered", async () => {
    const reply = await sdk.node.request("@shared", asked, { timeoutMs: 30_000 });
    if (reply.payload === asked) elsewhere += 1;
    asked += 1;
    return counts.node > 0 && counts.client > 0 && elsewhere > 1 && asked > 40;
  });
  assert.equal(counts.node + counts.client + elsewhere, asked);
  await client.close();
});

test("an agent that is closing refuses what it cannot finish, and says so to Python", async () => {
  const node = network.node({ agentId: "leaving", username: "leaving", limits: { ...OPEN, drainTimeoutMs: 200 } });
  let entered = false;
  node.onMessage(async () => {
    entered = true;
    await new Promise(() => undefined);
  });
  await node.start();
  const asked = python.call<{ kind: string; payload: { error: string } }>("request", { to: "@leaving", payload: 1 });
  await eventually("the handler runs", () => entered);
  const mine = assert.rejects(sdk.askText("@leaving", "me too", { timeoutMs: 20_000 }), AgentBusyError);
  await eventually("both are accepted", () => node.metricsSnapshot().inflight_count === 2);
  await node.close();
  assert.deepEqual((await asked).payload.error, "shutting_down");
  await mine;
});
