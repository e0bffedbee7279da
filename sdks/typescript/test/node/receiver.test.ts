import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { headers } from "@nats-io/nats-core";

import {
  type AgentNode,
  type Context,
  isAgentNetError,
  type Limits,
  type Message,
  StreamCancelledError,
} from "../../src/index.js";
import { encodeEnvelope } from "../../src/protocol/index.js";
import { Network, QuietLogger } from "../support/network.js";
import { eventually, Gate, within } from "../support/wait.js";

let network: Network;
let sender: AgentNode;
let count = 0;

before(async () => {
  network = await Network.start();
  sender = await network.node({ agentId: "sender" }).start();
});
after(() => network.stop());

/** A started agent with this handler, and its username. */
async function agent(
  handler: (message: Message, context: Context) => unknown,
  limits: Partial<Limits> = {},
  logger = new QuietLogger(),
): Promise<{ node: AgentNode; to: string; logger: QuietLogger }> {
  count += 1;
  const username = `receiver-${count}`;
  const generous = { rateLimitPerSenderPerSec: 1e6, rateLimitBurst: 1e6 };
  const node = network.node({ agentId: username, username, limits: { ...generous, ...limits } }, logger);
  node.onMessage(handler);
  await node.start();
  return { node, to: `@${username}`, logger };
}

test("a handler that takes too long is a timeout; its signal is aborted, and its late end has no effect", async () => {
  const aborted = new Gate<unknown>();
  const late = new Gate();
  const { node, to, logger } = await agent(
    async (_message, { signal }) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      aborted.open(signal.reason);
      late.open();
      throw new Error("after its time");
    },
    { workTimeoutMs: 100 },
  );
  await assert.rejects(sender.send(to, {}, { until: "processed" }), { reason: "timeout", detail: "handler timed out" });
  const reason = await within("the signal is aborted", aborted.promise);
  assert.ok(isAgentNetError(reason) && reason.code === "timeout");
  await late.promise;
  const { timeout_count, error_count, processed_count, inflight_count } = node.metricsSnapshot();
  assert.deepEqual([timeout_count, error_count, processed_count, inflight_count], [1, 0, 0, 0]);
  assert.ok(logger.has(/handler timed out/));
});

test("failures open the circuit, and a failed message may be sent again under its key", async () => {
  let fails = true;
  const { node, to, logger } = await agent(
    () => {
      if (fails) throw new Error("told to fail");
    },
    { circuitBreakerFailures: 2, circuitBreakerResetMs: 1_000 },
  );
  const options = { idempotencyKey: "k", until: "processed" } as const;
  await assert.rejects(sender.send(to, {}, options), { reason: "handler_error" });
  fails = false;
  await sender.send(to, {}, options);
  fails = true;
  for (const _ of [1, 2])
    await assert.rejects(sender.send(to, {}, { until: "processed" }), { reason: "handler_error" });
  fails = false;
  await assert.rejects(sender.send(to, {}), { code: "delivery_rejected", reason: "service_degraded" });
  assert.equal(node.metricsSnapshot().circuit_open, true);
  await eventually("the circuit closes", () => sender.send(to, {}, { until: "processed" }));
  assert.equal(node.metricsSnapshot().circuit_open, false);
  assert.equal(logger.records.filter((record) => record.level === "error").length, 3);
  assert.ok(logger.records.some((record) => (record.fields as { error?: Error }).error?.message === "told to fail"));
});

test("a full backlog is busy, which burns no id; handlers run up to the limit", async () => {
  const gate = new Gate();
  let running = 0;
  let most = 0;
  const { node, to } = await agent(
    async () => {
      running += 1;
      most = Math.max(most, running);
      await gate.promise;
      running -= 1;
    },
    { maxConcurrency: 2, maxPending: 3 },
  );
  const accepted = [];
  for (let number = 0; number < 5; number += 1) accepted.push(await sender.send(to, number));
  assert.deepEqual([node.metricsSnapshot().inflight_count, node.metricsSnapshot().pending_count], [2, 3]);
  await assert.rejects(sender.send(to, 5, { idempotencyKey: "busy" }), {
    reason: "busy",
    detail: "agent backlog is full",
  });
  gate.open();
  await eventually("there is room", () => node.metricsSnapshot().processed_count === 5);
  await sender.send(to, 5, { idempotencyKey: "busy", until: "processed" });
  assert.equal(most, 2);
});

test("a long backlog of handlers that end at once is worked off", async () => {
  const gate = new Gate();
  const { node, to } = await agent((message) => (message.payload === 0 ? gate.promise : undefined), {
    maxConcurrency: 1,
    maxPending: 10_000,
  });
  for (let number = 0; number < 8_000; number += 1) await sender.send(to, number, { until: "published" });
  await eventually("all wait", () => node.metricsSnapshot().pending_count === 7_999);
  gate.open();
  await eventually("all are handled", () => node.metricsSnapshot().processed_count === 8_000);
  assert.deepEqual([node.metricsSnapshot().inflight_count, node.metricsSnapshot().error_count], [0, 0]);
});

test("handlers that end at once are not refused as busy when many messages are read at once", async () => {
  const { node, to } = await agent((message, context) => context.reply(message.payload), {
    maxConcurrency: 1,
    maxPending: 2,
  });
  const replies = await Promise.all(Array.from({ length: 200 }, (_, number) => sender.request(to, number)));
  assert.deepEqual(
    replies.map((reply) => reply.payload),
    Array.from({ length: 200 }, (_, number) => number),
  );
  assert.equal(node.metricsSnapshot().busy_count, 0);
});

test("a sender has a rate", async () => {
  const { to, node } = await agent(() => undefined, { rateLimitBurst: 3, rateLimitPerSenderPerSec: 0.1 });
  for (let number = 0; number < 3; number += 1) await sender.send(to, number);
  await assert.rejects(sender.send(to, 3), { reason: "rate_limited", detail: "sender rate exceeded" });
  assert.equal(node.metricsSnapshot().rate_limited_count, 1);
});

test("a handler that ends because its stream was cancelled has not failed; what it returns is reported once", async () => {
  const { to, node, logger } = await agent((message, context) => {
    if (message.text === "cancelled") throw new Error("stop", { cause: new StreamCancelledError() });
    return message.text === "sent" ? context.reply({}) : "a value";
  });
  await sender.request(to, "sent");
  assert.ok(!logger.has(/returned a value/), "the result of a reply is no value to be sent");
  await sender.send(to, "cancelled", { until: "processed" });
  await sender.send(to, "value", { until: "processed" });
  await sender.send(to, "value", { until: "processed" });
  assert.equal(node.metricsSnapshot().error_count, 0);
  assert.equal(logger.records.filter((record) => /returned a value/.test(record.message)).length, 1);
});

test("handlers may return anything that looks like a promise, and fail in every way", async () => {
  const outcomes: Record<string, () => unknown> = {
    // biome-ignore lint/suspicious/noThenProperty: it is the case.
    thenable: () => ({ then: (resolve: (value: undefined) => void) => resolve(undefined) }),
    "throwing then": () => ({
      // biome-ignore lint/suspicious/noThenProperty: it is the case.
      then: () => {
        throw new Error("in then");
      },
    }),
    "throwing getter": () => ({
      // biome-ignore lint/suspicious/noThenProperty: it is the case.
      get then() {
        throw new Error("in the getter");
      },
    }),
    "no error": () => Promise.reject(undefined),
    string: () => {
      throw "text";
    },
  };
  const { to, node } = await agent((message) => outcomes[message.text ?? ""]?.(), { circuitBreakerFailures: 100 });
  await sender.send(to, "thenable", { until: "processed" });
  for (const text of ["throwing then", "throwing getter", "no error", "string"]) {
    await assert.rejects(sender.send(to, text, { until: "processed" }), { reason: "handler_error" }, text);
  }
  assert.deepEqual([node.metricsSnapshot().inflight_count, node.metricsSnapshot().error_count], [0, 4]);
});

test("a logger that fails, and one of the caller's, do no harm", async () => {
  const failing = new QuietLogger();
  failing.error = () => {
    throw new Error("the logger fails");
  };
  const { to } = await agent(
    () => {
      throw new Error("told to fail");
    },
    {},
    failing,
  );
  await assert.rejects(sender.send(to, {}, { until: "processed" }), { reason: "handler_error" });
  await assert.rejects(sender.send(to, {}, { until: "processed" }), { reason: "handler_error" });
});

test("messages of the server's look, and reply subjects that are none, are refused or ignored", async () => {
  const got: Message[] = [];
  const { node } = await agent((message) => void got.push(message));
  const { nats } = sender.session().connection;
  const subject = `account.${node.accountId}.inbox`;
  const compose = async (): Promise<string> => {
    const { composer } = sender.session();
    const draft = composer.draft({}, {}, "direct");
    return encodeEnvelope(await composer.compose({ ...draft, toAgent: node.accountId ?? "" }));
  };
  const answer = async (set: (h: ReturnType<typeof headers>) => void, status?: [number, string]): Promise<string> => {
    const inbox = `_INBOX.test.${Math.random().toString(36).slice(2)}`;
    const answered = new Gate<string>();
    const subscription = nats.subscribe(inbox, { callback: (_error, message) => answered.open(message.string()) });
    const block = status === undefined ? headers() : headers(...status);
    set(block);
    nats.publish(subject, await compose(), { reply: inbox, headers: block });
    const text = await within("an error reply comes", answered.promise);
    subscription.unsubscribe();
    return (JSON.parse(text) as { payload: { error: string; detail: string } }).payload.detail;
  };
  assert.match(await answer((h) => h.set("Nats-Rollup", "all")), /^header Nats-Rollup is for the NATS server/);
  assert.match(await answer(() => undefined, [404, "Not Found"]), /^status 404 is the NATS server's to give/);
  nats.publish(subject, await compose(), { reply: "registry.goodbye" });
  nats.publish(subject, await compose(), { reply: "$JS.API.INFO" });
  await eventually("both arrive", () => got.length === 2);
  assert.deepEqual(
    got.map((message) => message.wantsReply),
    [false, false],
  );
});

test("any client may name any account, which gets no flood of rejections", async () => {
  const { node } = await agent(() => undefined);
  const victim = sender.accountId;
  const { nats } = sender.session().connection;
  let rejections = 0;
  const subscription = nats.subscribe(`account.${victim}.receipts`, {
    callback: () => {
      rejections += 1;
    },
  });
  const expired = (id: number): string =>
    JSON.stringify({ message_id: `f${id}`, from_account_id: victim, sent_at: "2020-01-01T00:00:00Z", ttl_ms: 1 });
  for (let id = 0; id < 2_000; id += 1) nats.publish(`account.${node.accountId}.inbox`, expired(id));
  await eventually("all are refused", () => node.metricsSnapshot().expired_count === 2_000);
  await node.send(`@${sender.username}`, {}, { until: "published" });
  await eventually("the receipts have come", () => rejections >= 500);
  assert.ok(rejections < 1_500, `${rejections} receipts`);
  subscription.unsubscribe();
});
