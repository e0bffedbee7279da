import assert from "node:assert/strict";
import { createServer, type Server, type Socket } from "node:net";
import { after, before, test } from "node:test";

import { AgentNode, ConnectError, isAgentNetError, NotRunningError, RegistryError } from "../../src/index.js";
import { freePort, Network, QuietLogger } from "../support/network.js";
import { eventually, Gate, within } from "../support/wait.js";

let network: Network;
before(async () => {
  network = await Network.start();
});
after(() => network.stop());

test("a node joins, is listed with its description, and says goodbye", async () => {
  const node = network.node({
    agentId: "lister",
    name: "The Lister",
    username: "Lister!",
    capabilities: ["chat", "not routable"],
    metadata: { team: "ops", big: 12345678901234567890n },
  });
  assert.equal(node.isRunning, false);
  assert.equal(node.accountId, undefined);
  assert.equal(await node.start(), node);
  assert.equal(node.isRunning, true);
  assert.equal(node.username, "lister");
  assert.match(node.accountId ?? "", /^acct_[0-9a-z]{26}$/);
  assert.match(node.sessionTag ?? "", /^registry_[0-9A-Z]{26}$/);
  const listed = (await node.listOnline()).find((agent) => agent.username === "lister");
  assert.equal(listed?.name, "The Lister");
  assert.deepEqual(listed?.capabilities, ["chat", "not routable"]);
  assert.equal(listed?.metadata.text, '{"team":"ops","big":12345678901234567890}');
  assert.equal(node.info().accountId, node.accountId);
  await node.close();
  assert.equal(node.isRunning, false);
  assert.equal(node.info().sessionTag, undefined);
  assert.equal(node.metricsSnapshot().username, "lister", "the last session is known after the close");
  await network.offline("lister");
});

test("messages that come before the start has ended are handled like any other", async () => {
  const limits = { rateLimitPerSenderPerSec: 1e6, rateLimitBurst: 1e6, maxPending: 100_000 };
  const node = network.node({ agentId: "early", username: "early", limits });
  let early = 0;
  node.onMessage(async (message, context) => {
    if (!node.isRunning) early += 1;
    if (message.wantsReply) await context.reply({ ok: true });
  });
  const account = (await node.start()).accountId ?? "";
  await node.close();
  const asker = await network.node({ agentId: "impatient" }).start();
  const codes = new Set<string | undefined>();
  let isOver = false;
  const ask = async (): Promise<void> => {
    const reply = await asker.requestAccount(account, {}, { timeoutMs: 500 }).catch(() => undefined);
    if (reply !== undefined) codes.add(reply.errorCode);
  };
  const asking = (async (): Promise<void> => {
    const asked: Promise<void>[] = [];
    while (!isOver) {
      for (let count = 0; count < 20; count += 1) asked.push(ask());
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(asked);
  })();
  await eventually("a message comes before the start has ended", async () => {
    await node.start();
    await node.close();
    return early > 0;
  });
  isOver = true;
  await asking;
  assert.ok(!codes.has("handler_error"), [...codes].join());
  await asker.close();
});

test("two starts at once are one, a start of a running node does nothing, and a node starts again", async () => {
  const node = network.node({ agentId: "starter" });
  await Promise.all([node.start(), node.start()]);
  const session = node.sessionTag;
  await node.start();
  assert.equal(node.sessionTag, session);
  const sessions = (await node.listOnline()).filter((agent) => agent.accountId === node.accountId);
  assert.equal(sessions.length, 1);
  await Promise.all([node.close(), node.close()]);
  await node.close();
  await node.start();
  assert.notEqual(node.sessionTag, session);
  const closing = node.close();
  await node.start();
  await closing;
  assert.equal(node.isRunning, true, "a start during a close comes after it");
  await node.close();
});

test("calls of a node that does not run say so", async () => {
  const node = network.node({ agentId: "sleeper" });
  const calls = (): Promise<unknown>[] => [
    node.send("@x", {}),
    node.request("@x", {}),
    node.listOnline(),
    node.threadStatus("t"),
    node.resolveUsername("x"),
  ];
  const expected = (error: unknown): boolean =>
    error instanceof NotRunningError && /start it first/.test(error.message);
  for (const call of calls()) await assert.rejects(call, expected);
  await node.start();
  await node.close();
  for (const call of calls()) await assert.rejects(call, expected);
});

test("a close during the start ends it, and leaves nothing behind", async () => {
  const node = network.node({ agentId: "hasty", username: "hasty" });
  const starting = node.start();
  const rejected = assert.rejects(starting, (error: unknown) => {
    return error instanceof NotRunningError && /closed while it started/.test(error.message);
  });
  await node.close();
  await rejected;
  assert.equal(node.isRunning, false);
  await network.offline("hasty");
  await node.start();
  assert.equal(node.isRunning, true);
  await node.close();
});

test("a start ends with its signal's reason", async () => {
  const node = network.node({ agentId: "aborted" });
  const reason = new Error("not now");
  await assert.rejects(node.start({ signal: AbortSignal.abort(reason) }), (error) => error === reason);
  const controller = new AbortController();
  const starting = node.start({ signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(starting, (error) => error === reason);
  assert.equal(node.isRunning, false);
});

test("of two starts at once each ends with its own signal, and the start goes on while one waits for it", async () => {
  const node = network.node({ agentId: "shared_start", username: "shared_start" });
  for (const quits of ["first", "second"]) {
    const reason = new Error(`not the ${quits}`);
    const controllers = [new AbortController(), new AbortController()] as const;
    const starts = controllers.map(({ signal }) => node.start({ signal }));
    const outcomes = Promise.allSettled(starts);
    controllers[quits === "first" ? 0 : 1].abort(reason);
    const stays = { status: "fulfilled", value: node };
    const leaves = { status: "rejected", reason };
    assert.deepEqual(await outcomes, quits === "first" ? [leaves, stays] : [stays, leaves]);
    assert.equal(node.isRunning, true);
    await node.close();
  }
});

test("a start that nobody waits for any more is given up, and the next one is another", async () => {
  const node = network.node({ agentId: "given_up", username: "given_up" });
  const reasons = [new Error("one"), new Error("two")];
  const controllers = reasons.map(() => new AbortController());
  const starts = controllers.map(({ signal }) => node.start({ signal }));
  const outcomes = Promise.allSettled(starts);
  for (const [index, controller] of controllers.entries()) controller.abort(reasons[index]);
  await Promise.race(starts).catch(() => undefined);
  // The first caller has gone, and the start is being given up.
  const next = node.start();
  assert.deepEqual(
    await outcomes,
    reasons.map((reason) => ({ status: "rejected", reason })),
  );
  await next;
  assert.equal(node.isRunning, true);
  const sessions = (await node.listOnline()).filter((agent) => agent.username === "given_up");
  assert.deepEqual(
    sessions.map((agent) => agent.sessionTag),
    [node.sessionTag],
  );
  await node.close();
});

test("await using closes the node", async () => {
  const node = network.node({ agentId: "disposed", username: "disposed" });
  {
    await using started = await node.start();
    assert.equal(started.isRunning, true);
  }
  assert.equal(node.isRunning, false);
  await network.offline("disposed");
});

test("startForever runs until its signal, and closes", async () => {
  const node = network.node({ agentId: "forever", username: "forever" });
  const controller = new AbortController();
  const running = node.startForever({ signal: controller.signal });
  await network.online("forever");
  controller.abort();
  await within("startForever ends", running);
  assert.equal(node.isRunning, false);
  await within("startForever with an aborted signal ends", node.startForever({ signal: AbortSignal.abort() }));
  assert.equal(node.isRunning, false);
});

test("a wrong token, a missing server and a silent one are clear errors, without the token", async () => {
  const wrong = new AgentNode({ agentId: "a", natsUrl: `nats://wrong_secret@127.0.0.1:${network.port}` });
  await assert.rejects(wrong.start(), (error: unknown) => {
    assert.ok(error instanceof ConnectError);
    assert.equal(error.reason, "refused");
    assert.match(error.message, /refused the credentials: check the token in the URL/);
    assert.doesNotMatch(error.message, /wrong_secret/);
    assert.ok(error.cause instanceof Error);
    return true;
  });
  const nobody = new AgentNode({ agentId: "a", natsUrl: `nats://secret@127.0.0.1:${await freePort()}` });
  await assert.rejects(nobody.start(), (error: unknown) => {
    assert.ok(error instanceof ConnectError && error.reason === "unreachable");
    assert.match(error.message, /Cannot connect to NATS at nats:\/\/\*\*\*@127.0.0.1:\d+\. Is it running\?/);
    return true;
  });
  const sockets: Socket[] = [];
  const silent: Server = createServer((socket) => sockets.push(socket));
  const port = await freePort();
  await new Promise<void>((resolve) => silent.listen(port, "127.0.0.1", resolve));
  const started = performance.now();
  await assert.rejects(new AgentNode({ agentId: "a", natsUrl: `127.0.0.1:${port}` }).start(), (error: unknown) => {
    return error instanceof ConnectError && error.reason === "unreachable";
  });
  assert.ok(performance.now() - started < 15_000);
  for (const socket of sockets) socket.destroy();
  silent.close();
});

test("a WebSocket address where the runtime has none is a clear error", async (t) => {
  const own = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
  Object.defineProperty(globalThis, "WebSocket", { value: undefined, configurable: true, writable: true });
  t.after(() => {
    if (own === undefined) Reflect.deleteProperty(globalThis, "WebSocket");
    else Object.defineProperty(globalThis, "WebSocket", own);
  });
  const node = new AgentNode({ agentId: "a", natsUrl: "ws://127.0.0.1:1" });
  await assert.rejects(node.start(), (error: unknown) => {
    assert.ok(error instanceof ConnectError && error.reason === "no_websocket");
    assert.match(error.message, /this runtime has no WebSocket.*use a nats:\/\/ address/);
    return true;
  });
});

test("a registry that refuses, and none at all, are clear errors", async () => {
  const refused = network.node({ agentId: "refused", accountId: "no good id" });
  await assert.rejects(refused.start(), (error: unknown) => {
    assert.ok(error instanceof RegistryError);
    assert.equal(error.message, "Registry register failed: account_id is invalid");
    assert.equal(error.code, "registry_refused");
    assert.equal(error.rpc, "register");
    return true;
  });
  const lonely = await Network.start({ registry: false });
  try {
    const started = performance.now();
    await assert.rejects(lonely.node({ agentId: "a" }).start(), (error: unknown) => {
      assert.ok(isAgentNetError(error));
      assert.equal(error.code, "no_registry");
      assert.equal(error.message, "No registry answers registry.register. Is it running?");
      return true;
    });
    assert.ok(performance.now() - started < 4_000, "at once, not at the end of the timeout");
  } finally {
    await lonely.stop();
  }
});

test("a handler that is set while the node runs replaces the previous one; without one nothing is received", async () => {
  const logger = new QuietLogger();
  const node = network.node({ agentId: "late", username: "late", capabilities: ["x"] }, logger);
  const sender = await network.node({ agentId: "late_sender" }).start();
  await node.start();
  assert.ok(logger.has(/without a handler no message is taken/));
  node.onMessage(() => undefined);
  await assert.rejects(sender.send("@late", {}, { retryAttempts: 0, receiptTimeoutMs: 300 }), /delivery_ack_timeout/);
  await node.close();
  const got: string[] = [];
  node.onMessage(() => void got.push("first"));
  await node.start();
  await sender.send("@late", {}, { until: "processed" });
  node.onMessage(() => void got.push("second"));
  await sender.send("@late", {}, { until: "processed" });
  assert.deepEqual(got, ["first", "second"]);
});

test("what handlers accepted is finished during the close, and new messages go to the other session", async () => {
  const gate = new Gate();
  const entered = new Gate();
  const first = network.node({ agentId: "pair", username: "pair" });
  first.onMessage(async (_message, context) => {
    entered.open();
    await gate.promise;
    await context.reply("first");
  });
  await first.start();
  const sender = await network.node({ agentId: "pair_sender" }).start();
  const answer = sender.request("@pair", {}, { timeoutMs: 30_000 });
  await entered.promise;
  const second = network.node({ agentId: "pair", username: "pair" });
  second.onMessage((_message, context) => context.reply("second"));
  await second.start();
  assert.equal(second.accountId, first.accountId);
  const closing = first.close();
  // Its queue group is left within a round trip and a quiet time; then the other session gets all.
  await eventually("the first session has left", async () => {
    const replies = await Promise.all(
      [1, 2, 3, 4].map(() => sender.request("@pair", {}, { timeoutMs: 500 }).catch(() => undefined)),
    );
    return replies.every((reply) => reply?.payload === "second");
  });
  gate.open();
  assert.equal((await answer).payload, "first");
  await within("the close ends", closing);
});

test("the rest is refused as shutting_down when the drain time is over", async () => {
  const node = network.node({
    agentId: "stuck",
    username: "stuck",
    limits: { drainTimeoutMs: 200, maxConcurrency: 1 },
  });
  const entered = new Gate<AbortSignal>();
  node.onMessage(async (_message, context) => {
    entered.open(context.signal);
    await new Promise(() => undefined);
  });
  await node.start();
  const sender = await network.node({ agentId: "stuck_sender" }).start();
  const running = sender.request("@stuck", {}, { timeoutMs: 30_000 });
  const signal = await entered.promise;
  const waiting = sender.send("@stuck", {}, { until: "processed" });
  const refused = assert.rejects(waiting, {
    code: "not_processed",
    reason: "shutting_down",
    detail: "agent is shutting down",
  });
  await eventually("the second message waits", () => node.metricsSnapshot().pending_count === 1);
  await within("the close ends", node.close());
  assert.equal((await running).errorCode, "shutting_down");
  await refused;
  assert.ok(signal.aborted);
});

test("a goodbye is published by close, and no hello after it", async () => {
  const node = network.node({ agentId: "parting", username: "parting" });
  await node.start();
  const session = node.session();
  await node.close();
  await session.hello();
  await network.offline("parting");
});
