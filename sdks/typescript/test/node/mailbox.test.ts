/** Messages that wait for their receiver (PROTOCOL.md section 21), on a network without signed identity. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect, type NatsConnection } from "@nats-io/transport-node";

import {
  type AgentNode,
  AgentSDK,
  DeliveryError,
  type Handler,
  InvalidArgumentError,
  isAgentNetError,
  MailboxError,
  type Message,
  mailboxAction,
  mailboxList,
  mailboxStatus,
  type NodeOptions,
  RegistryError,
} from "../../src/index.js";
import { Network, TOKEN } from "../support/network.js";
import { eventually, Gate, within } from "../support/wait.js";

let network: Network;
let sender: AgentNode;
let raw: NatsConnection;
let count = 0;

before(async () => {
  network = await Network.start();
  sender = await network.node({ agentId: "sender", username: "sender" }).start();
  raw = await connect({ servers: `127.0.0.1:${network.port}`, token: TOKEN });
});
after(async () => {
  await raw?.close();
  await network.stop();
});

/** An account that exists and is offline, and what its agents are made of. */
async function absent(
  options: Partial<NodeOptions> = {},
): Promise<{ options: NodeOptions; account: string; to: string }> {
  count += 1;
  const username = `absent-${count}`;
  const all = { agentId: username, username, ...options };
  const node = await network.node(all).start();
  const account = node.accountId ?? "";
  await node.close();
  await network.offline(username);
  return { options: all, account, to: `@${username}` };
}

/** A started agent of an account. */
async function present(options: NodeOptions, handler: Handler): Promise<AgentNode> {
  return await network.node(options).onMessage(handler).start();
}

const texts = (messages: readonly Message[]): (string | undefined)[] => messages.map((message) => message.text);

test("what is sent to an offline agent is queued, and comes in its order when the agent is back", async () => {
  const { options, account, to } = await absent();
  const names = Array.from({ length: 25 }, (_, number) => `message ${number}`);
  for (const text of names) {
    const sent = await sender.send(to, { text }, { mailbox: true });
    assert.equal(sent.delivery, "queued");
    assert.match(sent.detail ?? "", /kept until /);
    assert.equal(sent.receipt, undefined);
  }
  const status = await mailboxStatus(network.url, { accountId: account });
  assert.deepEqual([status.accountId, status.queued, status.leased, status.dead], [account, 25, 0, 0]);
  const got: Message[] = [];
  const node = await present(options, (message) => {
    got.push(message);
  });
  await eventually("all have come", () => got.length === 25);
  assert.deepEqual(texts(got), names);
  assert.equal(got[0]?.ttlMs, 7 * 24 * 3_600_000);
  assert.equal(got[0]?.envelope.mailbox, "accepted");
  await eventually("the mailbox is empty", async () => {
    const { queued, leased } = await node.mailboxStatus();
    return queued === 0 && leased === 0;
  });
  assert.equal(got.length, 25, "none has come twice");
  await eventually("messages go to the inbox again", async () => {
    const sent = await sender.send(to, { text: "live" }, { mailbox: true });
    return sent.delivery === "delivered" && sent.receipt?.status === "accepted";
  });
  await node.close();
});

test("a receiver that is online gets the message at once, and the result says so", async () => {
  const { options, to } = await absent();
  const got: Message[] = [];
  const node = await present(options, (message) => {
    got.push(message);
  });
  const sent = await sender.send(to, { text: "hi" }, { mailbox: { ttlMs: 60_000 }, until: "processed" });
  assert.deepEqual([sent.delivery, sent.receipt?.status, sent.detail], ["delivered", "processed", undefined]);
  assert.deepEqual([got[0]?.ttlMs, got[0]?.envelope.mailbox], [60_000, "processed"]);
  await node.close();
});

test("a receiver that gives no receipt has the message in its mailbox, whatever others say about it", async () => {
  const { options, account, to } = await absent();
  // It is online and takes nothing.
  const deaf = await network.node(options).start();
  const forger = raw.subscribe(`account.${account}.inbox`, {
    callback: (_error, message) => {
      const { message_id } = message.json<{ message_id: string }>();
      const receipt = { message_id, status: "queued", event_at: "now", from_account_id: account, detail: "forged" };
      raw.publish(`account.${sender.accountId}.receipts`, JSON.stringify(receipt));
    },
  });
  await raw.flush();
  const sent = await sender.send(to, { text: "later" }, { mailbox: true });
  assert.equal(sent.delivery, "queued");
  assert.doesNotMatch(sent.detail ?? "", /forged/);
  forger.unsubscribe();
  await deaf.close();
  const got: Message[] = [];
  const node = await present(options, (message) => {
    got.push(message);
  });
  await eventually("it has come", () => got.length === 1);
  assert.equal(got[0]?.messageId, sent.messageId);
  await node.close();
});

test("a send until processed waits for the end of the handling, also of a message that comes again after a failure", async () => {
  const { options, to } = await absent();
  const sending = sender.send(to, { text: "job" }, { mailbox: true, until: "processed", processingTimeoutMs: 60_000 });
  await eventually("it is queued", async () => {
    const { messages } = await mailboxList(network.url, { username: to.slice(1) });
    return messages.length === 1 && messages[0]?.state === "queued";
  });
  let attempts = 0;
  const node = await present(options, () => {
    attempts += 1;
    if (attempts === 1) throw new Error("told to fail");
  });
  const sent = await within("the end of the handling", sending);
  assert.deepEqual([sent.delivery, sent.receipt?.status, attempts], ["delivered", "processed", 2]);
  await node.close();
});

test("of a sender's messages that count when they are processed, the next one waits for the end of the one before", async () => {
  const { options, to } = await absent();
  for (const text of ["first", "second", "third"]) {
    await sender.send(to, { text }, { mailbox: { ack: "processed" } });
  }
  const got: (string | undefined)[] = [];
  let running = 0;
  const node = await present(options, async (message) => {
    running += 1;
    assert.equal(running, 1);
    got.push(message.text);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    if (got.length === 1) throw new Error("told to fail");
  });
  await eventually("all are processed", () => got.length === 4);
  assert.deepEqual(got, ["first", "first", "second", "third"]);
  await node.close();
});

test("what a closing agent has not finished comes again to the next session", async () => {
  const { options, to } = await absent();
  await sender.send(to, { text: "long" }, { mailbox: { ack: "processed" } });
  await sender.send(to, { text: "next" }, { mailbox: { ack: "processed" } });
  const begun = new Gate();
  const never = new Promise<void>(() => undefined);
  const first = await present({ ...options, limits: { drainTimeoutMs: 100 } }, async () => {
    begun.open();
    await never;
  });
  await within("the handler begins", begun.promise);
  await first.close();
  const got: Message[] = [];
  const second = await present(options, (message) => {
    got.push(message);
  });
  await eventually("both have come", () => got.length === 2);
  assert.deepEqual(texts(got), ["long", "next"]);
  await second.close();
});

test("a backlog is taken at the pace of the handlers, whatever rate the sender may have", async () => {
  const limits = { rateLimitPerSenderPerSec: 0.1, rateLimitBurst: 1, maxPending: 2, maxConcurrency: 1 };
  const { options, to } = await absent({ limits });
  for (let number = 0; number < 30; number += 1) await sender.send(to, { text: `${number}` }, { mailbox: true });
  const got: Message[] = [];
  const node = await present(options, async (message) => {
    await new Promise((resolve) => setImmediate(resolve));
    got.push(message);
  });
  await eventually("all have come", () => got.length === 30);
  assert.deepEqual(
    texts(got),
    Array.from({ length: 30 }, (_, number) => `${number}`),
  );
  await node.close();
});

test("an agent without a handler leaves its mailbox alone, and one that does not pull gets the messages sent", async () => {
  const { options, account, to } = await absent();
  await sender.send(to, { text: "wait" }, { mailbox: true });
  const deaf = await network.node(options).start();
  assert.equal((await deaf.mailboxStatus()).queued, 1);
  await deaf.close();
  const got: Message[] = [];
  const pushed = await present({ ...options, pullMailbox: false }, (message) => {
    got.push(message);
  });
  await eventually("it has come", () => got.length === 1);
  await eventually("the mailbox is empty", async () => {
    const { queued, leased } = await mailboxStatus(network.url, { accountId: account });
    return queued === 0 && leased === 0;
  });
  assert.equal(got.length, 1);
  await pushed.close();
});

test("messages are listed, dropped and queued again, and the sender hears of their end", async () => {
  const { account, to } = await absent();
  const sending = sender.send(to, { text: "doomed" }, { mailbox: true, until: "processed" });
  const rejected = assert.rejects(sending, (error: unknown) => {
    assert.ok(error instanceof MailboxError && error instanceof DeliveryError);
    assert.deepEqual([error.code, error.reason], ["mailbox_dropped", "mailbox_dropped"]);
    return true;
  });
  const item = await eventually("it is queued", async () => {
    return (await mailboxList(network.url, { accountId: account, state: "queued" })).messages[0];
  });
  assert.deepEqual([item.fromAccountId, item.toAccountId, item.kind], [sender.accountId, account, "direct"]);
  const messageIds = [item.messageId];
  assert.equal((await mailboxAction(network.url, { accountId: account, action: "requeue", messageIds })).changed, 0);
  assert.equal((await mailboxAction(network.url, { accountId: account, action: "drop", messageIds })).changed, 1);
  await within("the sender is told", rejected);
  await assert.rejects(mailboxAction(network.url, { accountId: account, action: "drop" }), InvalidArgumentError);
  await assert.rejects(mailboxStatus(network.url, { username: "nobody-here" }), (error: unknown) => {
    return error instanceof RegistryError && error.code === "mailbox_unknown_account";
  });
  assert.ok((await mailboxStatus(network.url)).limitBytes > 0, "the network's");
});

test("a message that cannot be kept is an error with the registry's code", async () => {
  const { to } = await absent({ metadata: { mailbox: false } });
  await assert.rejects(sender.send(to, {}, { mailbox: true }), (error: unknown) => {
    assert.ok(error instanceof MailboxError && isAgentNetError(error));
    assert.equal(error.code, "mailbox_refused");
    assert.match(error.message, /\(mailbox_refused\)$/);
    return true;
  });
});

test("what makes no sense with a mailbox is refused before anything is sent", async () => {
  const wrong = [
    sender.send("@x", {}, { mailbox: true, until: "published" }),
    sender.send("@x", {}, { mailbox: true, kind: "request" }),
    sender.sendToCapability("x", {}, { mailbox: true }),
    sender.send("@x", {}, { mailbox: { ack: "read" as "accepted" } }),
    sender.send("@x", {}, { mailbox: "yes" as unknown as boolean }),
  ];
  for (const call of wrong) await assert.rejects(call, InvalidArgumentError);
});

test("the SDK's sends and lists have the mailbox too", async () => {
  const { account, options, to } = await absent();
  const sdk = AgentSDK.on(sender);
  const queued = await sdk.sendText(to, "one", { mailbox: true });
  assert.equal(queued.delivery, "queued");
  assert.match(queued.detail ?? "", /kept until /);
  assert.equal((await sdk.thread(queued.threadId).sendText(to, "two", { mailbox: true })).delivery, "queued");
  assert.equal((await sdk.sendText("@sender", "x", { until: "published" })).delivery, undefined);
  const listed: string[] = [];
  for await (const item of sdk.mailboxList({ accountId: account, limit: 1 })) listed.push(item.preview);
  assert.deepEqual(listed, ["one", "two"]);
  assert.equal((await sdk.mailboxStatus(to)).queued, 2);
  const owner = await network.node(options).start();
  assert.equal((await owner.mailboxAction({ action: "drop", state: "queued" })).changed, 2);
  await owner.close();
});
