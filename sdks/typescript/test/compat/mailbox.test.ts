/** `AgentNetClient`: messages that wait for their receiver. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { type AgentMessage, AgentNetClient, AgentNetError, type SendOptions } from "../../src/index.js";
import { Network, QuietLogger } from "../support/network.js";
import { eventually } from "../support/wait.js";

let network: Network;
let sender: AgentNetClient;
const clients: AgentNetClient[] = [];

async function started(name: string): Promise<AgentNetClient> {
  const options = { natsUrl: network.url, agentId: name, name, username: name, logger: new QuietLogger() };
  const client = new AgentNetClient(options);
  clients.push(client);
  await client.start();
  return client;
}

/** An account that exists and is offline. */
async function absent(name: string): Promise<void> {
  const client = await started(name);
  await client.close();
  await network.offline(name);
}

before(async () => {
  network = await Network.start();
  sender = await started("sender");
});
after(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await network.stop();
});

test("a message to an offline agent is queued, and comes when the agent is back", async () => {
  await absent("later");
  const first = await sender.deliver("@later", { text: "one" }, { mailbox: true, threadId: "t" });
  assert.deepEqual([first.delivery, first.thread_id], ["queued", "t"]);
  assert.match(first.detail ?? "", /kept until /);
  // The call of the original still gives the id alone.
  const second = await sender.send("later", { text: "two" }, { mailbox: { ttlMs: 60_000 } });
  assert.equal((await sender.getMailboxStatus({ username: "@later" })).queued, 2);
  const page = await sender.listMailbox({ username: "later", limit: 1 });
  const [item] = page.messages as Record<string, unknown>[];
  assert.deepEqual([item?.message_id, item?.state, item?.preview], [first.message_id, "queued", "one"]);
  const rest = await sender.listMailbox({ username: "later", cursor: String(page.next_cursor) });
  assert.deepEqual(
    (rest.messages as Record<string, unknown>[]).map(({ message_id }) => message_id),
    [second],
  );
  const got: AgentMessage[] = [];
  const receiver = await started("later");
  await receiver.subscribeInbox((message) => void got.push(message));
  await eventually("both have come", () => got.length === 2);
  assert.deepEqual(
    got.map(({ message_id }) => message_id),
    [first.message_id, second],
  );
  const live = await sender.deliver("@later", { text: "three" }, { mailbox: true });
  assert.deepEqual(Object.keys(live).sort(), ["delivery", "message_id", "thread_id", "trace_id"]);
  assert.equal(live.delivery, "delivered");
  assert.equal((await sender.deliver("@later", { text: "four" })).delivery, "delivered");
});

test("the owner deletes what waits, and what cannot be kept is an error with the registry's code", async () => {
  await absent("owner");
  const kept = [];
  for (const text of ["a", "b", "c"]) kept.push(await sender.deliver("@owner", { text }, { mailbox: true }));
  // Without a handler it takes none.
  const owner = await started("owner");
  assert.equal(await owner.dropMailbox({ messageIds: [kept[0]?.message_id ?? ""] }), 1);
  assert.equal(await owner.dropMailbox({ messageIds: [] }), 0);
  assert.equal(await owner.requeueMailbox(), 0);
  assert.equal(await owner.dropMailbox({ state: "queued" }), 2);
  assert.equal((await owner.getMailboxStatus({ accountId: owner.getAccountId() ?? "" })).queued, 0);
  assert.ok(Number((await owner.getMailboxStatus()).limit_bytes) > 0, "of all accounts together");
  const code = (name: string) => (error: unknown) => error instanceof AgentNetError && error.code === name;
  await assert.rejects(owner.dropMailbox({}), code("invalid_option"));
  await assert.rejects(sender.getMailboxStatus({ username: "nobody" }), code("mailbox_status_failed"));
  await assert.rejects(sender.listMailbox(), code("mailbox_list_failed"));
  await assert.rejects(sender.deliver("capability:x", 1, { mailbox: true }), code("invalid_target"));
  const wrong: SendOptions[] = [{ until: "published" }, { requireDeliveryAck: false }];
  for (const options of wrong) await assert.rejects(sender.deliver("@owner", 1, options), code("invalid_option"));
});
