/** `AgentNetClient`: the original's class, its codes and defaults, with its defects mended. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  type AgentMessage,
  AgentNetClient,
  type AgentNetClientOptions,
  AgentNetError,
  type AgentNode,
  ConnectError,
  exactMessage,
  listOnlineAgents,
  RawJson,
  type SendOptions,
} from "../../src/index.js";
import { freePort, Network, QuietLogger } from "../support/network.js";
import { eventually, Gate, within } from "../support/wait.js";

let network: Network;
let other: AgentNode;
const clients: AgentNetClient[] = [];

/** A client on the network, not started; it is closed with the network. */
function client(name: string, options: Partial<AgentNetClientOptions> = {}): AgentNetClient {
  const made = new AgentNetClient({
    natsUrl: network.url,
    agentId: name,
    name,
    username: name,
    logger: new QuietLogger(),
    ...options,
  });
  clients.push(made);
  return made;
}

async function started(name: string, options: Partial<AgentNetClientOptions> = {}): Promise<AgentNetClient> {
  const made = client(name, options);
  await made.start();
  return made;
}

before(async () => {
  network = await Network.start();
  other = network.node({ agentId: "other", username: "other", limits: { rateLimitBurst: 1_000, drainTimeoutMs: 200 } });
  other.onMessage(async (message, context) => {
    if (message.text === "silence") await new Promise(() => undefined);
    if (message.wantsReply)
      await context.reply(message.text === "bad" ? { error: "no" } : RawJson.parse(message.payloadText));
  });
  await other.start();
});
after(async () => {
  await Promise.all(clients.map((one) => one.close()));
  await network.stop();
});

/** Rejects with an AgentNetError of this code, and this message where one is given. */
async function fails(work: Promise<unknown>, code: string, message?: string | RegExp): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof AgentNetError, String(error));
    assert.equal(error.name, "AgentNetError");
    assert.equal(error.code, code, error.message);
    if (typeof message === "string") assert.equal(error.message, message);
    else if (message !== undefined) assert.match(error.message, message);
    return true;
  });
}

test("a blank address is an error of the constructor", () => {
  for (const natsUrl of ["", "  ", undefined as unknown as string]) {
    assert.throws(() => new AgentNetClient({ natsUrl }), { message: "natsUrl is required" });
  }
});

test("every call before connect is not_connected, and those of an agent before start not_registered", async () => {
  const early = client("early");
  const agentCalls = [
    () => early.send("@other", {}),
    () => early.request("@other", {}),
    () => early.subscribeInbox(() => undefined),
    () => early.publishHello(),
    () => early.publishGoodbye(),
  ];
  const registryCalls = [() => early.listOnlineAgents(), () => early.searchProfiles(), () => early.threadStatus("t")];
  for (const call of [...agentCalls, ...registryCalls, () => early.register()]) await fails(call(), "not_connected");
  await early.connect();
  await early.connect();
  for (const call of agentCalls) await fails(call(), "not_registered");
  assert.ok((await early.listOnlineAgents()).some((agent) => agent.username === "other"));
  assert.equal(early.getAccountId(), null);
  assert.equal(early.getSessionTag(), null);
  await early.close();
  await fails(early.listOnlineAgents(), "not_connected");
});

test("without an agent id or a name nothing registers", async () => {
  const nameless = { username: undefined } as unknown as Partial<AgentNetClientOptions>;
  await fails(new AgentNetClient({ natsUrl: network.url, name: "x", ...nameless }).start(), "missing_agent_id");
  await fails(client("x", { name: " " }).start(), "missing_name");
  await fails(client("x", { accountId: "no good id" }).start(), "register_failed", "account_id is invalid");
});

test("start registers once, says hello at once, and starts again after close", async () => {
  const one = client("starter", { capabilities: ["start"], metadata: { n: 1 } });
  const [first, second] = await Promise.all([one.start(), one.start()]);
  assert.deepEqual(first, second);
  assert.deepEqual(await one.start(), first);
  assert.equal(one.getAccountId(), first.account_id);
  assert.equal(one.getSessionTag(), first.session_tag);
  assert.equal(first.username, "starter");
  assert.equal(typeof first.heartbeat_interval, "number");
  assert.equal(typeof first.ttl_seconds, "number");
  const mine = (await one.listOnlineAgents()).filter((agent) => agent.username === "starter");
  assert.equal(mine.length, 1, "one session, and no wait for the first heartbeat");
  assert.deepEqual(mine[0]?.capabilities, ["start"]);
  assert.deepEqual(mine[0]?.metadata, { n: 1 });
  await Promise.all([one.close(), one.close()]);
  assert.equal(one.getAccountId(), null);
  await network.offline("starter");
  await fails(one.send("@other", {}), "not_connected");
  assert.notEqual((await one.start()).session_tag, first.session_tag);
  const closing = one.close();
  await one.start();
  await closing;
  assert.ok((await one.listOnlineAgents()).some((agent) => agent.session_tag === one.getSessionTag()));
  const starting = one.close().then(() => one.start());
  await one.close();
  await starting;
  await one.publishGoodbye();
  await network.offline("starter");
  await one.publishHello();
  await network.online("starter");
});

test("a send waits for no receipt by default, and with requireDeliveryAck reports what comes", async () => {
  const sender = await started("sender");
  assert.match(await sender.send("@other", { text: "hi" }), /^[0-9a-f]{32}$/);
  const account = other.accountId ?? "";
  const acked: SendOptions = { requireDeliveryAck: true };
  assert.match(await sender.send(account, {}, acked), /^[0-9a-f]{32}$/);
  assert.match(await sender.sendToAccount(account, {}, acked), /^[0-9a-f]{32}$/);
  assert.match(await sender.sendToUsername("@Other", {}, acked), /^[0-9a-f]{32}$/);
  const strict = network.node({
    agentId: "s",
    username: "strict",
    limits: { rateLimitBurst: 1, rateLimitPerSenderPerSec: 0.1 },
  });
  strict.onMessage(() => undefined);
  await strict.start();
  await sender.send("@strict", {}, acked);
  await assert.rejects(sender.send("@strict", {}, acked), (error: unknown) => {
    assert.ok(error instanceof AgentNetError);
    assert.deepEqual([error.code, error.message], ["delivery_rejected", "delivery rejected: rate_limited"]);
    assert.ok(error.detail);
    assert.ok(error.cause instanceof Error);
    return true;
  });
  const deaf = network.node({ agentId: "deaf", username: "deaf" });
  await deaf.start();
  const quick = { ...acked, retryAttempts: 1, receiptTimeoutMs: 200 };
  await fails(sender.send("@deaf", {}, quick), "delivery_ack_timeout", "delivery acknowledgement timed out");
  assert.equal(sender.node?.metricsSnapshot().retry_count, 1, "it was tried again");
  await fails(sender.send("@nobody_here", {}), "resolve_account_failed", "not_found");
  for (const to of ["", "@", "account:", "capability:", 5 as unknown as string]) {
    await fails(sender.send(to, {}), "invalid_target");
  }
  const able = network.node({ agentId: "able", username: "able", capabilities: ["able"] });
  able.onMessage((_message, context) => context.reply("by capability"));
  await able.start();
  assert.equal((await sender.request("Capability:able", {}, { timeoutMs: 20_000 })).payload, "by capability");
});

test("a request gives the reply, an error reply like any other, and its failures by code", async () => {
  const asker = await started("asker", { defaultRequestTimeoutMs: 300 });
  const reply = await asker.request("@other", { text: "echo" }, { threadId: "t_1", timeoutMs: 20_000 });
  assert.deepEqual(reply.payload, { text: "echo" });
  assert.equal(reply.kind, "reply");
  assert.equal(reply.thread_id, "t_1");
  assert.equal(reply.to_account_id, asker.getAccountId());
  const account = other.accountId ?? "";
  assert.deepEqual((await asker.requestUsername("other", [1], { timeoutMs: 20_000 })).payload, [1]);
  assert.deepEqual((await asker.requestAccount(account, null, { timeoutMs: 20_000 })).payload, null);
  assert.deepEqual((await asker.request("@other", { text: "bad" }, { timeoutMs: 20_000 })).payload, { error: "no" });
  await fails(asker.request("@other", { text: "silence" }), "request_timeout");
  await fails(asker.request("@nobody_here", {}), "resolve_account_failed", "not_found");
});

test("payloads of any number come back as they were, by their exact text", async () => {
  const exact = '{"n":1.0,"big":12345678901234567890,"lone":"\\ud800","nan":NaN}';
  const asker = await started("exact");
  const reply = await asker.request("@other", RawJson.parse(exact), { timeoutMs: 20_000 });
  assert.equal(exactMessage(reply)?.payloadText, exact);
  assert.equal(exactMessage({ ...reply }), undefined);
});

test("an inbox is acknowledged, checked, and outlives a handler that throws", async () => {
  const inbox = await started("inbox");
  const got: AgentMessage[] = [];
  await inbox.subscribeInbox(async (message, ctx) => {
    got.push(message);
    if (message.payload === "fail") throw new Error("told to fail");
    if (message.reply_to !== undefined) {
      const id = await ctx.reply({ heard: message.payload }, { kind: "reply" });
      assert.match(id, /^[0-9a-f]{32}$/);
    } else {
      await assert.rejects(ctx.reply("x"), (error: unknown) => {
        return error instanceof AgentNetError && error.code === "missing_reply_to" && error.name === "AgentNetError";
      });
    }
    assert.equal(ctx.raw.subject, `account.${inbox.getAccountId()}.inbox`);
    assert.equal((ctx.raw.json() as AgentMessage).message_id, message.message_id);
    assert.equal(ctx.message.messageId, message.message_id);
  });
  assert.equal((await other.send("@inbox", "one", { until: "processed" })).receipt?.status, "processed");
  await assert.rejects(other.send("@inbox", "fail", { until: "processed" }), { reason: "handler_error" });
  assert.deepEqual((await other.request("@inbox", "two")).payload, { heard: "two" });
  const repeated = await other.send("@inbox", "three", { idempotencyKey: "k" });
  await other.send("@inbox", "three", { idempotencyKey: "k" });
  assert.deepEqual(
    got.map((message) => message.payload),
    ["one", "fail", "two", "three"],
  );
  const last = got.at(-1);
  assert.equal(last?.message_id, repeated.messageId);
  assert.deepEqual([last?.from_agent, last?.from_account_id, last?.kind], ["other", other.accountId, "direct"]);
  assert.equal(last?.schema_version, "1.1");
  assert.equal(last !== undefined && "reply_to" in last, false);
});

test("without receipts and guards it receives as the original did", async () => {
  const bare = await started("bare");
  const got: unknown[] = [];
  await bare.subscribeInbox((message) => void got.push(message.payload), undefined, { receipts: false, guards: false });
  const options = { retryAttempts: 0, receiptTimeoutMs: 300 };
  await assert.rejects(other.send("@bare", 1, { ...options, ttlMs: 1 }), { code: "delivery_ack_timeout" });
  for (let number = 0; number < 30; number += 1)
    await other.send("@bare", number, { until: "published", idempotencyKey: "same" });
  await eventually("all arrive, the sender's rate and key notwithstanding", () => got.length === 31);
});

test("two processes of an account share its inbox; of an explicit queue group each has its own", async () => {
  const first = await started("pair");
  const second = await started("pair");
  assert.equal(first.getAccountId(), second.getAccountId());
  const counts = { first: 0, second: 0 };
  await first.subscribeInbox(() => void counts.first++);
  await second.subscribeInbox(() => void counts.second++);
  let sent = 0;
  await eventually("both get some", async () => {
    await other.send("@pair", sent, { until: "processed" });
    sent += 1;
    return counts.first > 0 && counts.second > 0;
  });
  assert.equal(counts.first + counts.second, sent, "each message once");
  const aside: unknown[] = [];
  await first.subscribeInbox((message) => void aside.push(message.payload), "auditors");
  await other.send("@pair", "for both groups", { until: "processed" });
  await eventually("the other group has it too", () => aside.length === 1);
});

test("a second handler of the same queue group gets every message too", async () => {
  const two = await started("two_handlers");
  const got: string[] = [];
  await two.subscribeInbox((message) => void got.push(`a ${message.payload}`));
  await two.subscribeInbox((message) => void got.push(`b ${message.payload}`));
  await other.send("@two_handlers", 1, { until: "processed" });
  assert.deepEqual(got.sort(), ["a 1", "b 1"]);
});

test("close finishes what was accepted", async () => {
  const busy = await started("busy_client");
  const entered = new Gate();
  const gate = new Gate();
  await busy.subscribeInbox(async (_message, ctx) => {
    entered.open();
    await gate.promise;
    await ctx.reply("finished");
  });
  const answer = other.request("@busy_client", {}, { timeoutMs: 30_000 });
  await entered.promise;
  const closing = busy.close();
  gate.open();
  assert.equal((await answer).payload, "finished");
  await within("the close ends", closing);
});

test("the registry's records have the member names of the wire", async () => {
  const reader = await started("reader");
  await reader.send("@other", { text: "for the record" }, { threadId: "record_1", requireDeliveryAck: true });
  await reader.send("@other", { text: "once more" }, { threadId: "record_1", requireDeliveryAck: true });
  await eventually("the history has them", async () => (await reader.threadStatus("record_1")).message_count === 2);
  const { accountId, username } = await reader.resolveAccountByUsername("@Other");
  assert.deepEqual([accountId, username], [other.accountId, "other"]);
  const profile = await reader.getProfile({ username: "other" });
  assert.equal(profile.account_id, accountId);
  assert.equal((await reader.getProfile({ accountId })).username, "other");
  const [hit] = await reader.searchProfiles({ query: "other", limit: 500, onlineOnly: true });
  assert.equal(hit?.display_name, "other");
  const [thread] = await reader.listThreads({ query: "record_", participantUsername: "@other" });
  assert.equal(thread?.thread_id, "record_1");
  const page = await reader.getThreadMessages("record_1", { limit: 1 });
  const [message] = page.messages as Record<string, unknown>[];
  assert.deepEqual(message?.payload, { text: "once more" });
  const cursor = String(page.next_cursor);
  const rest = await reader.getThreadMessages("record_1", { cursor });
  assert.equal((rest.messages as unknown[]).length, 1);
  const fromAccountId = reader.getAccountId() ?? "";
  const found = await reader.searchMessages({ fromAccountId, kind: "direct", threadId: "record_1" });
  assert.equal((found.messages as unknown[]).length, 2);
  const status = await reader.threadStatus("record_1", { softLimitTokens: 7, hardLimitTokens: 8 });
  assert.deepEqual([status.soft_limit_tokens, status.hard_limit_tokens], [7, 8]);
});

test("a refusal of the registry has the call's code and the registry's text", async () => {
  const reader = await started("refused");
  await fails(reader.getProfile({ username: "nobody_here" }), "profile_failed", "not_found");
  await fails(reader.resolveAccountByUsername("nobody_here"), "resolve_account_failed", "not_found");
  await fails(reader.threadStatus("no_such_thread"), "thread_status_failed", "not_found");
  await fails(reader.getThreadMessages("t", { cursor: "garbage" }), "thread_messages_failed", "cursor_invalid");
  await fails(reader.searchMessages({ cursor: "garbage" }), "message_search_failed", "cursor_invalid");
  const long = "q".repeat(2_000);
  await fails(reader.searchProfiles({ query: long }), "search_failed", /query has 2000 bytes/);
  await fails(reader.listThreads({ query: long }), "thread_list_failed", /query has 2000 bytes/);
  await fails(reader.threadStatus(" "), "invalid_option", "threadId is required");
  await fails(reader.getProfile({}), "invalid_option", "accountId or username is required");
  await fails(reader.resolveAccountByUsername("@"), "invalid_option", "username is required");
});

test("a wrong token and a missing server are connect_failed", async () => {
  const wrong = client("x", { natsUrl: network.urlAs("wrong") });
  await assert.rejects(wrong.start(), (error: unknown) => {
    assert.ok(error instanceof AgentNetError && error.cause instanceof ConnectError);
    assert.deepEqual([error.code, error.detail], ["connect_failed", "refused"]);
    return true;
  });
  await fails(
    client("x", { natsUrl: `nats://127.0.0.1:${await freePort()}` }).connect(),
    "connect_failed",
    /Is it running/,
  );
  const hasty = client("hasty");
  const connecting = hasty.connect();
  const rejected = fails(connecting, "not_connected");
  await hasty.close();
  await rejected;
});

test("a restarted server hears hello again, and sends go on", async () => {
  const own = await Network.start();
  try {
    const steady = new AgentNetClient({
      natsUrl: own.url,
      agentId: "steady",
      name: "steady",
      username: "steady",
      logger: new QuietLogger(),
    });
    await steady.start();
    await own.stopRegistry();
    await own.stopServer();
    await own.startServer();
    await own.startRegistry();
    await eventually("the client is listed again", async () => {
      return (await listOnlineAgents(own.url)).some((agent) => agent.username === "steady");
    });
    await eventually("and can send", async () => {
      await steady.send("@steady", {});
      return true;
    });
    await steady.close();
  } finally {
    await own.stop();
  }
});
