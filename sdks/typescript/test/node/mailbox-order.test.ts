/** The order of messages by the mailbox, and messages that come twice (PROTOCOL.md sections 21.2 to 21.4). */

import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { connect, type Msg, type NatsConnection } from "@nats-io/transport-node";

import {
  type AgentNode,
  type Handler,
  isAgentNetError,
  mailboxStatus,
  type NodeOptions,
  RawJson,
} from "../../src/index.js";
import { RPC } from "../../src/protocol/index.js";
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

function named(): NodeOptions & { readonly username: string } {
  count += 1;
  const username = `receiver-${count}`;
  return { agentId: username, username };
}

async function present(options: NodeOptions, handler: Handler): Promise<AgentNode> {
  return await network.node(options).onMessage(handler).start();
}

/** An account that exists and is offline. */
async function absent(): Promise<{ options: NodeOptions; account: string; to: string }> {
  const options = named();
  const node = await network.node(options).start();
  const account = node.accountId ?? "";
  await node.close();
  await network.offline(options.username);
  return { options, account, to: `@${options.username}` };
}

/** A message of the sender, as it stands on the wire. */
function message(to: AgentNode, messageId: string, more: Record<string, unknown> = {}): string {
  return JSON.stringify({
    message_id: messageId,
    from_agent: "sender",
    to_agent: to.accountId,
    from_account_id: sender.accountId,
    from_session_tag: sender.sessionTag,
    to_account_id: to.accountId,
    payload: { text: messageId },
    sent_at: new Date().toISOString(),
    ttl_ms: 600_000,
    kind: "direct",
    schema_version: "1.1",
    mailbox: { ack: "processed" },
    ...more,
  });
}

async function put(text: string, by = sender): Promise<string> {
  return (await by.registry.call(RPC.mailboxPut, { envelope: RawJson.parse(text) })).state;
}

/** Hears a subject from here on, until the test has ended: a request that is heard counts as one that somebody answers. */
async function hear(context: TestContext, subject: string): Promise<Msg[]> {
  const heard: Msg[] = [];
  const subscription = raw.subscribe(subject, { callback: (_error, one) => void heard.push(one) });
  context.after(() => subscription.unsubscribe());
  await raw.flush();
  return heard;
}

async function isEmpty(account: string): Promise<boolean> {
  const { queued, leased } = await mailboxStatus(network.url, { accountId: account });
  return queued === 0 && leased === 0;
}

for (const how of ["by its id", "by its key"]) {
  test(`a message that is leased while its other copy is handled, known ${how}, is handled again where that fails`, async (context) => {
    const gate = new Gate();
    const ids: string[] = [];
    const node = await present(named(), async ({ messageId }) => {
      ids.push(messageId);
      if (ids.length > 1) return;
      await gate.promise;
      throw new Error("told to fail");
    });
    const name = `twice ${count}`;
    const key = how === "by its key" ? { idempotency_key: name } : {};
    const kept = how === "by its key" ? `${name} again` : name;
    raw.publish(`account.${node.accountId}.inbox`, message(node, name, key));
    await eventually("the first copy is being handled", () => ids.length === 1);
    const acks = await hear(context, "registry.mailbox_ack");
    assert.equal(await put(message(node, kept, key)), "queued");
    // The next one of another sender is handled: by then the first lease has been looked at.
    const other = await network.node(named()).start();
    await put(message(node, `${name} other`, { from_account_id: other.accountId, from_agent: "other" }), other);
    await eventually("the other message is handled", () => ids.length === 2);
    await eventually("its lease has ended", () => acks.length > 0);
    assert.ok(!acks.some((ack) => ack.string().includes("duplicate")));
    const { leased } = await mailboxStatus(network.url, { accountId: node.accountId ?? "" });
    assert.equal(leased, 1, "the lease lasts as long as the handling");
    gate.open();
    await eventually("it is handled again", () => ids.length === 3);
    assert.deepEqual(ids, [name, `${name} other`, kept]);
    await eventually("the mailbox is empty", () => isEmpty(node.accountId ?? ""));
    assert.equal(ids.length, 3);
    await Promise.all([node.close(), other.close()]);
  });
}

test("a message that is leased while its other copy is handled is done once that has gone well", async (context) => {
  const gate = new Gate();
  const ids: string[] = [];
  const node = await present(named(), async ({ messageId }) => {
    ids.push(messageId);
    await gate.promise;
  });
  const receipts = await hear(context, `account.${sender.accountId}.receipts`);
  raw.publish(`account.${node.accountId}.inbox`, message(node, "once"));
  await eventually("it is being handled", () => ids.length === 1);
  await put(message(node, "once"));
  await eventually("it is leased", async () => {
    return (await mailboxStatus(network.url, { accountId: node.accountId ?? "" })).leased === 1;
  });
  gate.open();
  await eventually("the mailbox is empty", () => isEmpty(node.accountId ?? ""));
  assert.deepEqual(ids, ["once"]);
  const statuses = receipts
    .map((receipt) => receipt.json<{ message_id: string; status: string }>())
    .filter(({ message_id }) => message_id === "once")
    .map(({ status }) => status);
  assert.ok(statuses.includes("processed") && !statuses.includes("rejected"), statuses.join());
  await node.close();
});

test("what is behind a message whose lease was lost waits for the end of its handling", async (context) => {
  const gate = new Gate();
  const order: string[] = [];
  const node = await present(named(), async ({ messageId }) => {
    order.push(messageId);
    if (messageId === "first") await gate.promise;
    if (messageId === "first") order.push("end of first");
  });
  const { accountId: account = "", sessionTag = "" } = node;
  const replies = await hear(context, ">");
  await put(message(node, "first"));
  const lease = await eventually("it is leased", () => {
    for (const reply of replies) {
      const found = /"lease":"([^"]+)"/.exec(reply.string());
      if (found !== null && reply.string().includes('"first"')) return found[1];
    }
    return undefined;
  });
  await eventually("it is being handled", () => order.length === 1);
  await put(message(node, "second", { mailbox: true }));
  // As when it could not be extended in time.
  const acks = [{ lease, outcome: "retry", delay_ms: 0, code: "shutting_down" } as const];
  await node.registry.call(RPC.mailboxAck, { accountId: account, sessionTag, acks });
  await eventually("both are leased", async () => {
    return (await mailboxStatus(network.url, { accountId: account })).leased === 2;
  });
  const other = await network.node(named()).start();
  await put(message(node, "of another", { from_account_id: other.accountId, from_agent: "other" }), other);
  await eventually("the other message is handled", () => order.includes("of another"));
  gate.open();
  await eventually("all are handled", () => order.length === 4);
  assert.deepEqual(order, ["first", "of another", "end of first", "second"]);
  await eventually("the mailbox is empty", () => isEmpty(account));
  await Promise.all([node.close(), other.close()]);
});

test("messages that are sent at the same time are put in one after another, in the order of the calls", async (context) => {
  for (const isOnline of [false, true]) {
    const { options, account, to } = await absent();
    // It is online, and takes nothing.
    const deaf = isOnline ? await network.node(options).start() : undefined;
    if (!isOnline) await sender.send(to, { text: "before" }, { mailbox: true });
    const heard = await hear(context, ">");
    const names = Array.from({ length: 30 }, (_, number) => `${number}`);
    const sending = names.map((text) => sender.send(to, { text }, { mailbox: true, receiptTimeoutMs: 200 }));
    const sent = await within("all are kept", Promise.all(sending));
    assert.ok(sent.every(({ delivery }) => delivery === "queued"));
    const { messages } = await sender.mailboxList({ accountId: account, limit: 200 });
    assert.deepEqual(
      messages.map(({ preview }) => preview).filter((preview) => preview !== "before"),
      names,
    );
    const open = new Set<string>();
    let most = 0;
    for (const one of heard) {
      if (one.subject === "registry.mailbox_put") open.add(one.reply ?? "");
      most = Math.max(most, open.size);
      open.delete(one.subject);
    }
    assert.equal(most, 1, "requests at a time");
    await deaf?.close();
  }
});

test("while the registry is away, no message is sent past those that wait", async (context) => {
  const { account, options, to } = await absent();
  assert.equal((await sender.send(to, { text: "first" }, { mailbox: true })).delivery, "queued");
  const inbox = await hear(context, `account.${account}.inbox`);
  await network.stopRegistry("SIGKILL");
  const sending = ["second", "third"].map((text) => sender.send(to, { text }, { mailbox: true }));
  for (const outcome of await Promise.allSettled(sending)) {
    assert.ok(outcome.status === "rejected" && isAgentNetError(outcome.reason));
    assert.match(outcome.reason.code, /^mailbox_(unsupported|failed)$/);
  }
  await network.startRegistry();
  const later = await eventually("the registry keeps messages again", () =>
    sender.send(to, { text: "fourth" }, { mailbox: true }),
  );
  assert.equal(later.delivery, "queued");
  await raw.flush();
  assert.deepEqual(inbox, [], "nothing was published");
  const texts: (string | undefined)[] = [];
  const node = await present(options, ({ text }) => void texts.push(text));
  await eventually("what was kept has come", () => texts.length === 2);
  assert.deepEqual(texts, ["first", "fourth"]);
  await node.close();
});

test("a look into the mailbox has a name, which lasts until messages have come", async (context) => {
  const asked = await hear(context, "registry.mailbox_lease");
  const got: string[] = [];
  const node = await present(named(), ({ messageId }) => void got.push(messageId));
  const names = (): unknown[] =>
    asked
      .map((request) => request.json<{ account_id: string; lease_id?: string }>())
      .filter(({ account_id }) => account_id === node.accountId)
      .map(({ lease_id }) => lease_id);
  await eventually("it has looked at its start and after its hello", () => names().length >= 2);
  const before = names();
  assert.match(String(before[0]), /^[A-Za-z0-9_-]{1,64}$/);
  assert.equal(new Set(before).size, 1, "the same name while nothing has come");
  const registry = network.registry;
  assert.ok(registry !== undefined);
  // The event comes, and the request behind it gets no answer for a while.
  await put(message(node, "late"));
  await eventually("it has come", () => got.length === 1);
  await eventually("the mailbox is empty", () => isEmpty(node.accountId ?? ""));
  await eventually("there is another name", () => new Set(names()).size === 2);
  const known = names().length;
  registry.kill("SIGSTOP");
  try {
    // Every client can publish an event: it makes the node look.
    const event = { event: "queued", message_id: "x", from_account_id: "acct_x", at: "now", attempt: 0 };
    raw.publish(`agentnet.events.${node.accountId}.mailbox`, JSON.stringify(event));
    await eventually("the request is made again", () => names().length >= known + 2);
  } finally {
    registry.kill("SIGCONT");
  }
  assert.equal(new Set(names()).size, 2, "under the same name");
  await put(message(node, "later"));
  await eventually("the other message has come", () => got.length === 2);
  assert.deepEqual(got, ["late", "later"]);
  await node.close();
});
