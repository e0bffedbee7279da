/** The table "By task" of docs/PYTHON.md, row by row; the rows about streams, blobs and keys are in files of their own. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect } from "@nats-io/transport-node";

import {
  AgentBusyError,
  AgentNode,
  AgentRequestError,
  AgentSDK,
  AgentWrapper,
  DeliveryError,
  getProfile,
  getRegistryMetrics,
  getThreadMessages,
  getThreadStatus,
  InvalidArgumentError,
  listOnlineAgents,
  listThreads,
  type Message,
  NoReplySubjectError,
  RawJson,
  RegistryError,
  RequestTimeoutError,
  resolveAccountByUsername,
  SDKResult,
  searchMessages,
  searchProfiles,
  TargetError,
} from "../../src/index.js";
import { Network, QuietLogger, TOKEN } from "../support/network.js";
import { eventually } from "../support/wait.js";

let network: Network;
let sdk: AgentSDK;
const received: Message[] = [];

/** An SDK on the network, closed with it. */
async function started(agentId: string, settings: { defaultThreadPrefix?: string } = {}): Promise<AgentSDK> {
  return await AgentSDK.on(network.node({ agentId, username: agentId }), settings).start();
}

before(async () => {
  network = await Network.start();
  // The handler that never ends must not hold up the close.
  const limits = { rateLimitBurst: 1_000, rateLimitPerSenderPerSec: 1_000, drainTimeoutMs: 200 };
  const node = network.node({
    agentId: "helper",
    name: "Helper",
    username: "helper",
    capabilities: ["weather"],
    limits,
  });
  node.onMessage(async (message, context) => {
    received.push(message);
    if (!message.wantsReply) return;
    if (message.text === "error")
      await context.reply({ error: "no_data", detail: "nothing is known", trace_id: "t-1" });
    else if (message.text === "busy") await context.reply({ error: "busy", detail: "too much" }, { kind: "error" });
    else if (message.text === "silence") await new Promise(() => undefined);
    else await context.reply({ text: ` you said ${message.text} `, n: 1 });
  });
  await node.start();
  sdk = await started("asker");
});
after(() => network.stop());

const arrived = (text: string): Promise<Message> =>
  eventually(`"${text}" arrives`, () => received.find((message) => message.text === text));

test("send a message: every form of target, until the receipt or only until it is published", async () => {
  const account = await sdk.resolveUsername("helper");
  for (const to of ["@helper", "helper", "username:helper", account, `account:${account}`, "capability:weather"]) {
    const result = await sdk.sendText(to, `to ${to}`, { idempotencyKey: `key ${to}` });
    const message = await arrived(`to ${to}`);
    assert.equal(message.messageId, result.messageId);
    assert.equal(message.threadId, result.threadId);
    assert.equal(message.kind, "direct");
    assert.deepEqual(message.payload, { text: `to ${to}` });
    assert.equal(message.idempotencyKey, `key ${to}`);
  }
  const published = await sdk.sendJson("@helper", { text: "unconfirmed" }, { requireDeliveryAck: false });
  assert.equal((await arrived("unconfirmed")).messageId, published.messageId);
  const sent = await sdk.node.send("@helper", {}, { requireDeliveryAck: false });
  assert.equal(sent.receipt, undefined);
});

test("a refused send is an error with the receiver's code", async () => {
  const node = network.node({
    agentId: "strict",
    username: "strict",
    limits: { rateLimitBurst: 1, rateLimitPerSenderPerSec: 0.1 },
  });
  node.onMessage(() => undefined);
  await node.start();
  await sdk.sendText("@strict", "first");
  await assert.rejects(sdk.sendText("@strict", "second"), (error: unknown) => {
    assert.ok(error instanceof DeliveryError);
    assert.equal(error.code, "delivery_rejected");
    assert.equal(error.reason, "rate_limited");
    return true;
  });
  await assert.rejects(sdk.sendText("@nobody_at_all", "hi"), (error: unknown) => {
    assert.ok(error instanceof RegistryError);
    assert.equal(error.code, "not_found");
    assert.equal(error.message, "No account found for username 'nobody_at_all'");
    return true;
  });
  for (const to of ["", "@", "account:", "capability:"]) await assert.rejects(sdk.sendText(to, "hi"), TargetError);
  await assert.rejects(sdk.sendText("capability:a.b", "hi"), InvalidArgumentError);
});

test("send a request, and reach a capability", async () => {
  const reply = await sdk.node.request("@helper", { text: "ping" }, { timeoutMs: 20_000 });
  assert.deepEqual(reply.payload, { text: " you said ping ", n: 1 });
  assert.equal((await sdk.node.requestCapability("weather", { text: "sun?" })).text, "you said sun?");
  await sdk.node.sendToCapability("weather", { text: "rain" });
  await arrived("rain");
});

test("receive messages and reply; a message without a reply subject cannot be answered", async () => {
  const answering = await started("answering");
  await answering.stop();
  let failure: unknown;
  answering.receive(async (message) => {
    try {
      await answering.reply(message, { text: "from the SDK" });
    } catch (error) {
      failure = error;
    }
  });
  await answering.start();
  assert.equal((await sdk.askText("@answering", "hello")).text, "from the SDK");
  await sdk.sendText("@answering", "no reply wanted", { until: "processed" });
  assert.ok(failure instanceof NoReplySubjectError);
});

test("send and receive text: the result of an ask, and of a send", async () => {
  const result = await sdk.askText("@helper", "how are you?", { threadId: " ops_1 ", parentMessageId: "before" });
  assert.ok(result instanceof SDKResult);
  assert.equal(result.ok, true);
  assert.equal(result.error, undefined);
  assert.equal(result.text, "you said how are you?");
  assert.deepEqual(result.data, { text: " you said how are you? ", n: 1 });
  assert.equal(result.dataText, '{"text":" you said how are you? ","n":1}');
  assert.equal(result.threadId, "ops_1");
  const question = await arrived("how are you?");
  assert.equal(question.kind, "request");
  assert.equal(question.parentMessageId, "before");
  assert.equal(result.parentMessageId, question.messageId);
  assert.equal(result.traceId, question.traceId);
  const sent = await sdk.sendText("@helper", "bye", { parentMessageId: result.messageId });
  assert.deepEqual([sent.text, sent.data, sent.parentMessageId], [undefined, undefined, result.messageId]);
  assert.match(sent.threadId, /^thread_sdk_[0-9a-hjkmnp-tv-z]{26}$/);
  const other = await started("prefixed", { defaultThreadPrefix: "mine" });
  assert.match(other.newThreadId(), /^mine_[0-9a-z]{26}$/);
});

test("an answer that reports an error is an error of its class, whatever its kind", async () => {
  await assert.rejects(sdk.askText("@helper", "error"), (error: unknown) => {
    assert.ok(error instanceof AgentRequestError);
    assert.equal(error.message, "no_data: nothing is known");
    assert.deepEqual([error.code, error.detail, error.traceId], ["no_data", "nothing is known", "t-1"]);
    return true;
  });
  await assert.rejects(sdk.askText("@helper", "busy"), AgentBusyError);
  await assert.rejects(sdk.askText("@helper", "silence", { timeoutMs: 300 }), RequestTimeoutError);
  assert.equal((await sdk.node.request("@helper", { text: "busy" })).errorCode, "busy");
  const offline = await started("gone");
  await offline.stop();
  await assert.rejects(sdk.askText("@gone", "anyone?", { timeoutMs: 20_000 }), (error: unknown) => {
    return error instanceof AgentRequestError && error.code === "recipient_offline";
  });
});

test("hold a conversation: each message has the one before as its parent", async () => {
  const thread = sdk.thread("talk_1", "start");
  const first = await thread.sendText("@helper", "one");
  assert.equal((await arrived("one")).parentMessageId, "start");
  const second = await thread.askText("@helper", "two");
  assert.equal((await arrived("two")).parentMessageId, first.messageId);
  await thread.sendJson("@helper", { text: "three" });
  const third = await arrived("three");
  assert.equal(third.parentMessageId, second.messageId);
  assert.equal(third.threadId, "talk_1");
  await thread.askJson("@helper", { text: "four" }, { parentMessageId: "else" });
  assert.equal((await arrived("four")).parentMessageId, "else");
  await assert.rejects(thread.askText("@helper", "error"));
  thread.setParent(undefined);
  await thread.sendText("@helper", "five");
  assert.equal((await arrived("five")).parentMessageId, undefined);
  await eventually("the history has the thread", async () => (await thread.status()).messageCount >= 9);
  const history = await thread.messages({ limit: 2 }).toArray();
  const answer = history.find((item) => item.messageId === second.messageId);
  assert.deepEqual([answer?.kind, answer?.text], ["reply", "you said two"]);
  assert.equal(history.find((item) => item.text === "one")?.messageId, first.messageId);
  assert.throws(() => sdk.thread("  "), InvalidArgumentError);
});

test("stream to an inbox, frame by frame", async () => {
  const frames: unknown[] = [];
  const reader = await started("frame_reader");
  await reader.stop();
  const kinds = new Set<string>();
  const parents: (string | undefined)[] = [];
  reader.receive((message) => {
    frames.push(message.payload);
    kinds.add(message.kind);
    parents.push(message.parentMessageId);
  });
  await reader.start();
  const thread = sdk.thread("frames_1");
  const start = await thread.sendStreamStart("@frame_reader", " s-1 ", { metadata: { model: "m" } });
  await thread.sendStreamDelta("@frame_reader", "s-1", "Hel", { seq: 1 });
  await thread.sendStreamEnd("@frame_reader", "s-1", { seq: 2, text: "Hello", until: "processed" });
  await sdk.sendStreamError("@frame_reader", "s-2", "model_failed", {
    seq: 1,
    detail: "out of words",
    until: "processed",
  });
  await eventually("four frames", () => frames.length === 4);
  const [first, delta, end, error] = frames as Record<string, unknown>[];
  assert.deepEqual(start.data, first);
  const { started_at, ...rest } = first ?? {};
  assert.match(String(started_at), /^\d{4}-.*Z$/);
  const common = { role: "assistant", content_type: "text/plain" };
  assert.deepEqual(rest, { type: "stream_start", stream_id: "s-1", ...common, metadata: { model: "m" } });
  assert.deepEqual(delta, { type: "stream_delta", stream_id: "s-1", seq: 1, ...common, delta: "Hel" });
  assert.deepEqual(
    { ...end, finished_at: "" },
    { type: "stream_end", stream_id: "s-1", seq: 2, ...common, finished_at: "", metadata: {}, text: "Hello" },
  );
  assert.equal(error?.error, "model_failed");
  assert.deepEqual([...kinds], ["stream"]);
  assert.equal(parents[1], start.messageId);
  await assert.rejects(sdk.sendStreamStart("@frame_reader", " "), /streamId is required/);
  await assert.rejects(sdk.sendStreamDelta("@frame_reader", "s", "x", { seq: -1 }), /seq must be a whole number/);
  await assert.rejects(sdk.sendStreamError("@frame_reader", "s", " "), /error is required/);
});

test("find agents", async () => {
  const online = await sdk.listOnline();
  assert.ok(online.some((agent) => agent.username === "helper" && agent.name === "Helper"));
  const profile = await sdk.getProfile("@helper");
  assert.deepEqual([profile.displayName, profile.capabilities, profile.online], ["Helper", ["weather"], true]);
  assert.equal((await sdk.getProfile(profile.accountId)).username, "helper");
  assert.equal((await sdk.getProfile({ username: "helper" })).accountId, profile.accountId);
  await assert.rejects(sdk.getProfile("capability:weather"), /a capability has no profile/);
  await assert.rejects(sdk.getProfile("@nobody_at_all"), { code: "not_found" });
  const page = await sdk.searchProfiles({ query: "helper", capability: "WEATHER", onlineOnly: true });
  assert.deepEqual(
    page.results.map((hit) => hit.username),
    ["helper"],
  );
  const all = await sdk.searchProfiles({ limit: 1 }).toArray();
  assert.ok(all.length > 1, "the pages after the first are walked");
});

test("read the history: pages, all of them, and filters", async () => {
  const thread = sdk.thread("history_1");
  const exact = '{"text":"exact","n":1.0,"big":12345678901234567890}';
  for (let number = 0; number < 5; number += 1) await thread.sendText("@helper", `h ${number}`);
  await thread.sendJson("@helper", RawJson.parse(exact));
  await eventually("the history has them", async () => (await sdk.threadStatus("history_1")).messageCount === 6);
  const page = await sdk.getThreadMessages("history_1", { limit: 2 });
  assert.equal(page.messages.length, 2);
  assert.equal(page.messages[0]?.payloadText, exact);
  assert.ok(page.nextCursor);
  const next = await sdk.threadMessages("history_1", { limit: 2, cursor: page.nextCursor });
  assert.deepEqual(
    next.messages.map((item) => item.text),
    ["h 3", "h 2"],
  );
  const walked: string[] = [];
  for await (const item of sdk.threadMessages("history_1", { limit: 2 })) walked.push(item.text ?? "");
  assert.deepEqual(walked, ["exact", "h 4", "h 3", "h 2", "h 1", "h 0"]);
  let pages = 0;
  for await (const one of sdk.threadMessages("history_1", { limit: 4 }).pages())
    pages += one.messages.length > 0 ? 1 : 0;
  assert.equal(pages, 2);
  assert.equal((await sdk.threadMessages("history_1").toArray(3)).length, 3);
  const from = sdk.accountId;
  assert.ok(from);
  const found = await sdk
    .searchMessages({ threadId: "history_1", fromAccountId: from, kind: "direct", limit: 2 })
    .toArray();
  assert.equal(found.length, 6);
  const threads = await sdk.listThreads({ query: "history_", participantUsername: "@helper" });
  assert.deepEqual(
    threads.results.map((one) => one.threadId),
    ["history_1"],
  );
  const status = await sdk.threadStatus("history_1", { softLimitTokens: 5, hardLimitTokens: 9 });
  assert.deepEqual([status.softLimitTokens, status.hardLimitTokens], [5, 9]);
  await assert.rejects(sdk.threadStatus("no_such_thread"), { code: "not_found" });
  await assert.rejects(Promise.resolve(sdk.threadMessages("history_1", { cursor: "garbage" })), {
    code: "cursor_invalid",
  });
});

test("query the registry without an agent, by address and on a connection that is open", async () => {
  const nats = await connect({ servers: `127.0.0.1:${network.port}`, token: TOKEN });
  for (const source of [network.url, nats]) {
    assert.ok((await listOnlineAgents(source)).some((agent) => agent.username === "helper"));
    const { accountId } = await resolveAccountByUsername(source, "@Helper");
    assert.equal((await getProfile(source, { accountId })).username, "helper");
    assert.equal((await searchProfiles(source, { query: "helper" })).results.length, 1);
    const sent = await sdk.sendText("@helper", "for the functions", { threadId: "functions_1" });
    await eventually(
      "the history has it",
      async () => (await searchMessages(source, { messageId: sent.messageId })).messages.length === 1,
    );
    assert.ok((await getThreadStatus(source, { threadId: "functions_1" })).messageCount >= 1);
    assert.ok((await getThreadMessages(source, { threadId: "functions_1" })).messages.length >= 1);
    assert.equal((await listThreads(source, { query: "functions_1" })).results.length, 1);
    assert.ok((await getRegistryMetrics(source)).has("latency_ms"));
  }
  assert.equal(nats.isClosed(), false, "the caller's connection stays open");
  await nats.close();
});

test("embed an agent in a framework", async () => {
  const logger = new QuietLogger();
  await using wrapper = new AgentWrapper({ agentId: "framework", username: "framework", natsUrl: network.url, logger });
  let heard: string | undefined;
  wrapper.receive(async (message) => {
    heard = message.text;
    if (message.wantsReply) await wrapper.reply(message, { ok: true });
  });
  await wrapper.connect();
  assert.deepEqual([wrapper.username, wrapper.isRunning, wrapper.info().agentId], ["framework", true, "framework"]);
  const account = await wrapper.resolveUsername("helper");
  const { receipt } = await wrapper.send({ toUsername: "helper", payload: { text: "w 1" } });
  assert.equal(receipt?.status, "accepted");
  await wrapper.send({ toAccountId: account, payload: { text: "w 2" }, until: "published" });
  assert.equal((await wrapper.request({ toCapability: "weather", payload: { text: "w 3" } })).text, "you said w 3");
  await assert.rejects(wrapper.request({ toUsername: "helper", payload: { text: "busy" } }), AgentBusyError);
  assert.deepEqual((await sdk.askText("@framework", "hi")).data, { ok: true });
  assert.equal(heard, "hi");
  const wrong = /exactly one target: toAccountId, toUsername or toCapability/;
  await assert.rejects(wrapper.send({ payload: {} }), wrong);
  await assert.rejects(wrapper.request({ toUsername: "a", toAccountId: "b", payload: {} }), wrong);
  assert.ok((await wrapper.searchProfiles({ query: "helper" })).results.length === 1);
  await wrapper.close();
  await network.offline("framework");
});

test("read counters", async () => {
  await sdk.sendText("@helper", "counted");
  const snapshot = sdk.metricsSnapshot();
  assert.equal(snapshot.agent_id, "asker");
  assert.ok(snapshot.latency_ms.send_account.count > 0);
  assert.ok("handlers" in (await sdk.registryMetrics()));
});

test("the SDK on a node that is there shares it, and await using leaves the network", async () => {
  const node = network.node({ agentId: "there", username: "there" });
  {
    await using own = await AgentSDK.on(node).start();
    assert.equal(own.node, node);
    assert.equal(node.isRunning, true);
  }
  assert.equal(node.isRunning, false);
  assert.ok(node instanceof AgentNode);
});

test("wrong arguments are named", async () => {
  await assert.rejects(sdk.sendText("@helper", 5 as unknown as string), /the text must be a string, not number/);
  await assert.rejects(sdk.askText("@helper", "x", { timeoutMs: Number.NaN }), /a timeout must be a number/);
  assert.throws(() => new AgentSDK({ agentId: "" }), /agentId is required/);
  const stopped = AgentSDK.on(network.node({ agentId: "stopped" }));
  await assert.rejects(stopped.askText("@helper", "x"), { code: "not_running" });
});
