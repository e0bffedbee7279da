/** What goes wrong in the first hour: each mistake is a clear error, with a code, of every class that can make it. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  AgentNetClient,
  type AgentNetError,
  AgentNode,
  AgentSDK,
  AgentWrapper,
  getThreadMessages,
  InvalidArgumentError,
  isAgentNetError,
  JsonError,
  listOnlineAgents,
  RawJson,
  RegistryError,
  searchProfiles,
} from "../../src/index.js";
import { freePort, Network, QuietLogger } from "../support/network.js";

let network: Network;
let node: AgentNode;
before(async () => {
  network = await Network.start();
  node = await network
    .node({ agentId: "node", username: "node" })
    .onMessage((message, context) => {
      return message.wantsReply ? context.reply(RawJson.parse(message.payloadText)) : undefined;
    })
    .start();
});
after(() => network.stop());

/** The error of this package that a call ends with. */
async function errorOf(work: () => unknown): Promise<AgentNetError> {
  try {
    await work();
  } catch (error) {
    assert.ok(isAgentNetError(error), `not of this package: ${String(error)}`);
    return error;
  }
  throw new assert.AssertionError({ message: "it did not fail" });
}

/** Starts an agent of each class at an address. */
function starts(natsUrl: string): Record<string, () => Promise<unknown>> {
  const options = { agentId: "x", name: "x", natsUrl, logger: new QuietLogger() };
  return {
    AgentNode: () => new AgentNode(options).start(),
    AgentSDK: () => new AgentSDK(options).start(),
    AgentWrapper: () => new AgentWrapper(options).connect(),
    AgentNetClient: () => new AgentNetClient(options).start(),
    listOnlineAgents: () => listOnlineAgents(natsUrl),
  };
}

test("a wrong token says where to look, and does not repeat it", async () => {
  for (const [name, start] of Object.entries(starts(network.urlAs("my_wrong_token")))) {
    const error = await errorOf(start);
    assert.equal(error.code, "connect_failed", name);
    assert.match(error.message, /refused the credentials: check the token in the URL/, name);
    assert.doesNotMatch(`${error.message} ${error.stack}`, /my_wrong_token/, name);
  }
});

test("no server says which address was asked", async () => {
  const port = await freePort();
  for (const [name, start] of Object.entries(starts(`nats://token@127.0.0.1:${port}`))) {
    const error = await errorOf(start);
    assert.equal(error.code, "connect_failed", name);
    assert.equal(
      error.message.startsWith(`Cannot connect to NATS at nats://***@127.0.0.1:${port}. Is it running?`),
      true,
    );
  }
});

test("an address that cannot be used is named before anything is tried", async () => {
  for (const natsUrl of ["http://127.0.0.1:4222", "nats://", "nats://host:port"]) {
    for (const [name, start] of Object.entries(starts(natsUrl))) {
      assert.equal((await errorOf(start)).code, "connect_failed", `${name} ${natsUrl}`);
    }
  }
});

test("a WebSocket address where the runtime has no WebSocket", async (t) => {
  const own = Object.getOwnPropertyDescriptor(globalThis, "WebSocket");
  Object.defineProperty(globalThis, "WebSocket", { value: undefined, configurable: true, writable: true });
  t.after(() => {
    if (own === undefined) Reflect.deleteProperty(globalThis, "WebSocket");
    else Object.defineProperty(globalThis, "WebSocket", own);
  });
  for (const [name, start] of Object.entries(starts("ws://127.0.0.1:4280"))) {
    const error = await errorOf(start);
    assert.equal(error.code, "connect_failed", name);
    assert.match(error.message, /this runtime has no WebSocket.*use a nats:\/\/ address/, name);
  }
});

test("a handler that throws, in every way, is reported to the sender, and the next message is handled", async () => {
  const logger = new QuietLogger();
  const failing = network.node({ agentId: "failing", username: "failing" }, logger);
  failing.onMessage((message) => {
    if (message.text === "throw") throw new Error("thrown at once");
    if (message.text === "reject") return Promise.reject(new TypeError("rejected later"));
    if (message.text === "nothing") throw undefined;
    return undefined;
  });
  await failing.start();
  for (const text of ["throw", "reject", "nothing"]) {
    const reply = await node.request("@failing", { text }, { timeoutMs: 20_000 });
    assert.deepEqual([reply.errorCode, reply.errorDetail], ["handler_error", "handler raised an exception"], text);
  }
  assert.equal(logger.records.filter((record) => record.message === "handler failed").length, 3);
  assert.equal((await node.send("@failing", { text: "fine" }, { until: "processed" })).receipt?.status, "processed");
});

test("a payload that is no JSON names the place; a BigInt is one", async () => {
  const sdk = AgentSDK.on(node);
  const cycle: Record<string, unknown> = { list: [] };
  (cycle.list as unknown[]).push(cycle);
  const wrong: readonly [unknown, RegExp][] = [
    [() => 1, /function/],
    [{ callback: () => 1 }, /callback.*function/],
    [{ list: [1, Symbol("s")] }, /list\[1\].*symbol/],
    [cycle, /contains itself/],
    [new Map([["a", 1]]), /Map/],
    [{ bytes: new Uint8Array(3) }, /bytes/],
  ];
  for (const [payload, message] of wrong) {
    for (const call of [
      () => node.send("@node", payload),
      () => node.request("@node", payload),
      () => sdk.sendJson("@node", payload),
      () => sdk.askJson("@node", payload),
    ]) {
      const error = await errorOf(call);
      assert.ok(error instanceof JsonError);
      assert.equal(error.code, "invalid_payload");
      assert.match(error.message, message);
    }
  }
  const reply = await node.request("@node", { big: 2n ** 70n, float: 1.5, nan: Number.NaN, none: undefined });
  assert.equal(reply.payloadText, '{"big":1180591620717411303424,"float":1.5,"nan":NaN}');
});

/** Every call that takes options, with these; `open` answers requests. */
function callsWith(open: AgentNode, client: AgentNetClient, options: never): Record<string, () => unknown> {
  const sdk = AgentSDK.on(open);
  const wrapper = new AgentWrapper({ agentId: "wrapper", natsUrl: network.url, logger: new QuietLogger() });
  const thread = sdk.thread("options_1");
  const to = "@open";
  const id = open.accountId ?? "";
  const { url } = network;
  return {
    send: () => open.send(to, 1, options),
    sendToAccount: () => open.sendToAccount(id, 1, options),
    sendToUsername: () => open.sendToUsername("open", 1, options),
    sendToCapability: () => open.sendToCapability("opening", 1, options),
    request: () => open.request(to, 1, options),
    requestCapability: () => open.requestCapability("opening", 1, options),
    requestStream: () => open.requestStream(to, 1, options).text(),
    "node.sendStream": async () => (await open.sendStream(to, options)).end(),
    resolveUsername: () => open.resolveUsername("open", options),
    "node.start": () => open.start(options),
    connect: async () => {
      await wrapper.connect(options).finally(() => wrapper.close());
    },
    listOnline: () => open.listOnline(options),
    registryMetrics: () => open.registryMetrics(options),
    getProfile: () => sdk.getProfile(to, options),
    sendText: () => sdk.sendText(to, "x", options),
    sendJson: () => sdk.sendJson(to, 1, options),
    askText: () => sdk.askText(to, "x", options),
    askStream: () => sdk.askStream(to, "x", options).text(),
    "sdk.sendStream": async () => (await sdk.sendStream(to, options)).end(),
    sendStreamStart: () => sdk.sendStreamStart(to, "s_1", options),
    sendStreamError: () => sdk.sendStreamError(to, "s_1", "gone", options),
    searchProfiles: () => sdk.searchProfiles(options, options),
    listThreads: () => sdk.listThreads(options, options),
    threadMessages: () => sdk.threadMessages("options_1", options, options),
    searchMessages: () => sdk.searchMessages(options, options),
    "thread.sendText": () => thread.sendText(to, "x", options),
    "thread.askStream": () => thread.askStream(to, "x", options).text(),
    "thread.messages": () => thread.messages(options, options),
    listOnlineAgents: () => listOnlineAgents(url, options),
    "searchProfiles without an agent": () => searchProfiles(url, options, options),
    "getThreadMessages without an agent": () => getThreadMessages(url, { threadId: "options_1" }, options),
    "client.send": () => client.send(to, 1, options),
    "client.request": () => client.request(to, 1, options),
    "client.searchProfiles": () => client.searchProfiles(options),
    "client.listThreads": () => client.listThreads(options),
    "client.getThreadMessages": () => client.getThreadMessages("options_1", options),
    "client.searchMessages": () => client.searchMessages(options),
    "client.subscribeInbox": () => client.subscribeInbox(() => undefined, undefined, options),
  };
}

test("null is no option, as the whole and as a member, and what is no object is named", async () => {
  const generous = { rateLimitPerSenderPerSec: 1e6, rateLimitBurst: 1e6 };
  const open = await network
    .node({ agentId: "open", username: "open", capabilities: ["opening"], limits: generous })
    .onMessage((message, context) => {
      return message.wantsReply ? context.reply("fine", null as never) : undefined;
    })
    .start();
  await using client = new AgentNetClient({
    natsUrl: network.url,
    agentId: "nulls",
    name: "Nulls",
    logger: new QuietLogger(),
    limits: null as never,
  });
  await client.start();
  const members = {
    signal: null,
    timeoutMs: null,
    until: null,
    threadId: null,
    ttlMs: null,
    limit: null,
    cursor: null,
  };
  for (const options of [null, members]) {
    for (const [name, call] of Object.entries(callsWith(open, client, options as never))) {
      await assert.doesNotReject(async () => await call(), `${name} with ${JSON.stringify(options)}`);
    }
  }
  for (const [options, shown] of [
    ["5 s", '"5 s"'],
    [[], "an array"],
    [() => 1, "a value of type function"],
  ] as const) {
    for (const [name, call] of Object.entries(callsWith(open, client, options as never))) {
      const error = await errorOf(call);
      assert.equal(error.code, "invalid_option", `${name}: ${error.message}`);
      assert.match(error.message, /^(options|filters|page) must be an object, not /, name);
      assert.ok(error.message.endsWith(shown), `${name}: ${error.message}`);
    }
  }
  const wrapper = new AgentWrapper({ agentId: "wrapper", natsUrl: network.url });
  for (const call of [
    () => new AgentNode(null as never),
    () => new AgentSDK("x" as never),
    () => AgentSDK.on(open).getProfile(null as never),
    () => getThreadMessages(network.url, null as never),
    () => wrapper.send("x" as never),
  ]) {
    const error = await errorOf(call);
    assert.ok(error instanceof InvalidArgumentError, String(call));
  }
});

test("a call after the close says so", async () => {
  const logger = new QuietLogger();
  const sdk = await new AgentSDK({ agentId: "closed", natsUrl: network.url, logger }).start();
  const wrapper = new AgentWrapper({ agentId: "closed", natsUrl: network.url, logger });
  await wrapper.connect();
  await sdk.stop();
  await wrapper.close();
  const calls = [
    () => sdk.sendText("@node", "x"),
    () => sdk.askText("@node", "x"),
    () => sdk.askStream("@node", "x"),
    () => sdk.sendStream("@node"),
    () => sdk.listOnline(),
    () => sdk.threadMessages("t"),
    () => sdk.thread("t").sendText("@node", "x"),
    () => wrapper.send({ toUsername: "node", payload: 1 }),
    () => wrapper.request({ toUsername: "node", payload: 1 }),
  ];
  for (const call of calls) {
    const error = await errorOf(call);
    assert.deepEqual([error.code, error.message], ["not_running", "the node is not running: start it first"]);
  }
});

test("two starts at once are one", async () => {
  const sdk = AgentSDK.on(network.node({ agentId: "twice", username: "twice" }));
  await Promise.all([sdk.start(), sdk.start(), sdk.start()]);
  assert.equal((await sdk.listOnline()).filter((agent) => agent.username === "twice").length, 1);
  await sdk.stop();
});

test("an empty and an unknown username", async () => {
  const sdk = AgentSDK.on(node);
  for (const to of ["", "  ", "@", "username:"]) {
    assert.equal((await errorOf(() => sdk.askText(to, "x"))).code, "invalid_target", JSON.stringify(to));
    assert.equal((await errorOf(() => node.send(to, "x"))).code, "invalid_target", JSON.stringify(to));
  }
  for (const call of [() => sdk.askText("@no_such_name", "x"), () => node.send("no_such_name", "x")]) {
    const error = await errorOf(call);
    assert.ok(error instanceof RegistryError);
    assert.equal(error.code, "not_found");
    assert.equal(error.message, "No account found for username 'no_such_name'");
  }
  const wrapper = await errorOf(() => sdk.getProfile("@no_such_name"));
  assert.equal(wrapper.code, "not_found");
});

test("a message above the maximum size names both sizes, and is not sent", async () => {
  const sdk = AgentSDK.on(node);
  for (const call of [
    () => sdk.sendText("@node", "x".repeat(300_000)),
    () => sdk.askText("@node", "x".repeat(300_000)),
    () => node.send("@node", "x".repeat(300_000)),
  ]) {
    const error = await errorOf(call);
    assert.ok(error instanceof InvalidArgumentError);
    assert.equal(error.code, "message_too_large");
    assert.match(error.message, /300\d{3} bytes/);
    assert.match(error.message, /256000/);
  }
});

test("what is said of options that are wrong", async () => {
  const make = (options: object) => () => new AgentNode({ agentId: "x", ...options } as never);
  const cases: readonly [object, RegExp][] = [
    [{ agentId: " " }, /agentId is required/],
    [{ username: 5 }, /username must be a string/],
    [{ capabilities: "one" }, /capabilities must be an array of strings/],
    [{ metadata: [] }, /metadata must be an object/],
    [{ limits: { maxConcurency: 1 } }, /no limit "maxConcurency"/],
    [{ limits: { maxPending: "5" } }, /limits\.maxPending must be a number/],
    [{ natsUrl: "nats://h:1", servers: ["nats://h:1"] }, /give one of natsUrl, servers and connection/],
    [{ connection: {} }, /connection must be a NatsConnection/],
  ];
  for (const [options, message] of cases) {
    const error = await errorOf(make(options));
    assert.match(error.message, message, JSON.stringify(options));
  }
  const sdk = AgentSDK.on(node);
  assert.match((await errorOf(() => sdk.sendText("@node", "x", { until: "done" as never }))).message, /until must be/);
  assert.match(
    (await errorOf(() => sdk.sendText("@node", "x", { ttlMs: Number.NaN }))).message,
    /ttlMs must be a number/,
  );
  assert.match((await errorOf(() => node.onMessage("x" as never))).message, /the handler must be a function/);
});
