/** The mailbox on a network with signed identity (PROTOCOL.md sections 13.8 and 21). */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect, type NatsConnection } from "@nats-io/transport-node";

import {
  type AgentNode,
  DevAuth,
  MemoryKeyStore,
  type Message,
  mailboxAction,
  type NodeOptions,
  RegistryError,
  SigningKey,
} from "../../src/index.js";
import { Network } from "../support/network.js";
import { eventually } from "../support/wait.js";

let network: Network;
let raw: NatsConnection;
let alice: AgentNode;
let key: SigningKey;
let bob: NodeOptions;
let account: string;

before(async () => {
  network = await Network.start({
    environment: { DEV_AUTH: "true" },
    authorization: 'token: "plain_token"',
    credentials: "plain_token",
  });
  raw = await connect({ servers: `127.0.0.1:${network.port}`, token: "plain_token" });
  const devAuth = new DevAuth({ keys: new MemoryKeyStore() });
  alice = await network.node({ agentId: "alice", username: "alice", devAuth }).start();
  key = await SigningKey.generate();
  bob = { agentId: "bob", username: "bob", devAuth: new DevAuth({ key }) };
  const node = await network.node(bob).start();
  account = node.accountId ?? "";
  await node.close();
  await network.offline("bob");
});
after(async () => {
  await raw?.close();
  await network.stop();
});

test("signed messages are queued by signed receipts, leased by signed requests, and come in order", async () => {
  for (const text of ["one", "two", "three"]) {
    const sent = await alice.send("@bob", { text }, { mailbox: { ack: "processed" } });
    assert.equal(sent.delivery, "queued");
  }
  const got: Message[] = [];
  const node = await network
    .node(bob)
    .onMessage((message) => {
      got.push(message);
    })
    .start();
  await eventually("all have come", () => got.length === 3);
  assert.deepEqual(
    got.map((message) => message.text),
    ["one", "two", "three"],
  );
  await eventually("the mailbox is empty", async () => {
    const { queued, leased } = await node.mailboxStatus();
    return queued === 0 && leased === 0;
  });
  await node.close();
  await network.offline("bob");
});

test("only the account's key deletes its messages", async () => {
  await alice.send("@bob", { text: "drop me" }, { mailbox: true });
  const change = { accountId: account, action: "drop", state: "queued" } as const;
  const refused = (error: unknown): boolean => error instanceof RegistryError && error.code.startsWith("auth_");
  await assert.rejects(mailboxAction(network.url, change), refused);
  await assert.rejects(mailboxAction(network.url, { ...change, key: await SigningKey.generate() }), refused);
  assert.equal((await mailboxAction(network.url, { ...change, key })).changed, 1);
});

test("a queued receipt in the name of a registry counts only with the registry's signature", async () => {
  // Online, and without a handler: nothing but the forgery comes.
  const deaf = await network.node(bob).start();
  const forger = raw.subscribe(`account.${account}.inbox`, {
    callback: (_error, message) => {
      const { message_id } = message.json<{ message_id: string }>();
      const from_account_id = "acct_registry_registry";
      const receipt = { message_id, status: "queued", event_at: "now", from_account_id, detail: "forged" };
      raw.publish(`account.${alice.accountId}.receipts`, JSON.stringify(receipt));
    },
  });
  await raw.flush();
  const sent = await alice.send("@bob", { text: "later" }, { mailbox: true });
  assert.equal(sent.delivery, "queued");
  assert.doesNotMatch(sent.detail ?? "", /forged/);
  forger.unsubscribe();
  assert.equal((await deaf.mailboxAction({ action: "drop", state: "queued" })).changed, 1);
  await deaf.close();
});
