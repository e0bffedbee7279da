/** Peers that misbehave, and a server that is gone at the worst moment. */

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import type { NatsConnection } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";

import { AgentNetClient, AgentSDK, isAgentNetError, listOnlineAgents, type Message } from "../../src/index.js";
import type { Identity, IdentityProvider, RegistrationIdentity } from "../../src/node/identity.js";
import { UNSIGNED } from "../../src/node/identity.js";
import { Network, QuietLogger, TOKEN } from "../support/network.js";
import { eventually, Gate, within } from "../support/wait.js";

/** Registers agents and answers what the test says, by the name of the call. */
async function playRegistry(
  network: Network,
  answers: Record<string, (request: { cursor?: string }) => object>,
): Promise<NatsConnection> {
  const registry = await connect({ servers: `127.0.0.1:${network.port}`, token: TOKEN });
  const all: typeof answers = {
    register: () => ({ account_id: "acct_mine", username: "mine", session_tag: "registry_X" }),
    ...answers,
  };
  for (const [name, answer] of Object.entries(all)) {
    registry.subscribe(`registry.${name}`, {
      callback: (_error, message) => void message.respond(JSON.stringify(answer(message.json()))),
    });
  }
  await registry.flush();
  return registry;
}

/** Registries whose lists do not end: the number of the page behind a page, and how many rows each has. */
const ENDLESS: readonly [name: string, next: (page: number) => number, rows: number, why: RegExp][] = [
  ["the same cursor again", () => 7, 1, /do not end: a cursor came again$/],
  ["a circle of five", (page) => (page + 1) % 5, 1, /do not end: a cursor came again$/],
  ["ever new cursors without rows", (page) => page + 1, 0, /do not end: 100 pages in a row had no items$/],
];

for (const [name, next, rows, why] of ENDLESS) {
  test(`a list that does not end is an error: ${name}`, async () => {
    const network = await Network.start({ registry: false });
    const page = (request: { cursor?: string }): object => {
      const row = { agent_id: "a", name: "a", thread_id: "t", message_id: "m" };
      const items = Array.from({ length: rows }, () => row);
      const cursor = `page ${next(Number((request.cursor ?? "page 0").slice(5)))}`;
      return { agents: items, results: items, messages: items, next_cursor: cursor };
    };
    const registry = await playRegistry(network, {
      list: page,
      search: page,
      thread_list: page,
      thread_messages: page,
      message_search: page,
      resolve_account: () => ({ error: "unknown call" }),
    });
    try {
      const sdk = AgentSDK.on(await network.node({ agentId: "mine" }).start());
      await using client = new AgentNetClient({ natsUrl: network.url, logger: new QuietLogger() });
      await client.connect();
      const walks: Record<string, () => Promise<unknown>> = {
        listOnlineAgents: () => listOnlineAgents(network.url),
        listOnline: () => sdk.listOnline(),
        resolveUsername: () => sdk.resolveUsername("somebody"),
        searchProfiles: () => sdk.searchProfiles().toArray(),
        listThreads: () => sdk.listThreads().toArray(),
        threadMessages: () => sdk.threadMessages("t").toArray(),
        searchMessages: () => sdk.searchMessages().toArray(),
        AgentNetClient: () => client.listOnlineAgents(),
      };
      for (const [call, walk] of Object.entries(walks)) {
        await assert.rejects(within(`${call} ends`, walk()), (error: unknown) => {
          assert.ok(isAgentNetError(error), `${call}: ${String(error)}`);
          assert.equal(error.code, "invalid_response", call);
          assert.match(error.message, why, call);
          return true;
        });
      }
    } finally {
      await network.stop();
      await registry.close();
    }
  });
}

test("pages without items between others do not end a list", async () => {
  const network = await Network.start({ registry: false });
  const registry = await playRegistry(network, {
    list: ({ cursor = "0" }) => {
      const number = Number(cursor);
      const agents = number % 100 === 99 ? [{ agent_id: `agent ${number}`, name: "a" }] : [];
      return { agents, ...(number < 299 ? { next_cursor: String(number + 1) } : {}) };
    },
  });
  try {
    assert.deepEqual(
      (await listOnlineAgents(registry)).map((agent) => agent.agentId),
      ["agent 99", "agent 199", "agent 299"],
    );
  } finally {
    await registry.close();
    await network.stop();
  }
});

test("an account that nothing can be sent to is not cached", async () => {
  const network = await Network.start({ registry: false });
  let account = "acct.odd";
  const registry = await playRegistry(network, {
    resolve_account: () => ({ account_id: account, username: "odd", resolved_at: "" }),
  });
  try {
    const node = await network.node({ agentId: "mine" }).start();
    await assert.rejects(node.send("@odd", {}, { until: "published" }), { code: "invalid_target" });
    assert.equal(node.metricsSnapshot().username_cache.size, 0);
    account = "acct_odd";
    await node.send("@odd", {}, { until: "published" });
    await node.send("@odd", {}, { until: "published" });
    const { size, hits, misses } = node.metricsSnapshot().username_cache;
    assert.deepEqual([size, hits, misses], [1, 1, 2]);
  } finally {
    await network.stop();
    await registry.close();
  }
});

test("a reply whose texts are larger than they may be is ignored", async () => {
  const network = await Network.start({ registry: false });
  const registry = await playRegistry(network, {});
  try {
    const good = { message_id: "r1", from_agent: "peer", kind: "reply", payload: "the answer" };
    const large = [
      { ...good, from_agent: "x".repeat(257), payload: "too large" },
      { ...good, thread_id: "x".repeat(1_025), payload: "too large" },
    ];
    let answers: readonly object[] = [...large, good];
    registry.subscribe("account.acct_peer.inbox", {
      callback: (_error, message) => {
        for (const answer of answers) message.respond(JSON.stringify(answer));
      },
    });
    await registry.flush();
    const logger = new QuietLogger();
    const node = await network.node({ agentId: "mine" }, logger).start();
    assert.equal((await node.requestAccount("acct_peer", {})).text, "the answer");
    assert.equal(await node.requestStreamAccount("acct_peer", {}).text(), "the answer");
    const ignored = logger.records.filter((record) => record.message === "ignored a reply");
    assert.deepEqual(
      ignored.map((record) => record.fields.why),
      ["message_invalid", "message_invalid", "message_invalid", "message_invalid"],
    );
    assert.equal(node.metricsSnapshot().refused_reply_count, 4);
    answers = large.slice(0, 1);
    await assert.rejects(node.requestAccount("acct_peer", {}, { timeoutMs: 2_000 }), {
      code: "invalid_response",
      message: /cannot be read: from_agent has 257 bytes; at most 256 are allowed$/,
    });
  } finally {
    await network.stop();
    await registry.close();
  }
});

test("calls on a connection of the caller's leave nothing behind", async () => {
  const network = await Network.start();
  const mine = await connect({ servers: `127.0.0.1:${network.port}`, token: TOKEN });
  try {
    const { gc } = globalThis as { gc?: () => void };
    assert.ok(gc !== undefined, "run with --expose-gc");
    const heap = async (calls: number): Promise<number> => {
      for (let call = 0; call < calls; call += 1) await listOnlineAgents(mine);
      gc();
      gc();
      return process.memoryUsage().heapUsed;
    };
    const before = await heap(200);
    const perCall = ((await heap(1_000)) - before) / 1_000;
    assert.ok(perCall < 1_000, `${perCall} bytes a call`);
  } finally {
    await mine.close();
    await network.stop();
  }
});

/** Signs nothing; its receipts are ready when the gate opens. */
function slowReceipts(gate: Gate): IdentityProvider {
  const open = UNSIGNED.open({ agentId: "slow", logger: console }) as RegistrationIdentity;
  return {
    open: () => ({
      ...open,
      session: (context): Identity => ({
        ...open.session(context),
        signReceipt: (receipt) => gate.promise.then(() => receipt),
      }),
    }),
  };
}

test("a node closes in its drain time while receipts wait for a server that is gone", async () => {
  const network = await Network.start();
  try {
    const gate = new Gate();
    const handled: Message[] = [];
    const slow = network.node({
      agentId: "slow",
      username: "slow",
      devAuth: slowReceipts(gate),
      limits: { drainTimeoutMs: 100 },
    });
    slow.onMessage((message) => {
      handled.push(message);
    });
    await slow.start();
    const sender = await network.node({ agentId: "sender" }).start();
    await sender.send("@slow", {}, { until: "published" });
    await eventually("it is accepted", () => slow.metricsSnapshot().inflight_count === 1);
    await network.stopServer();
    await eventually("the loss is noticed", () => !slow.session().connection.isConnected);
    gate.open();
    await within("the close", slow.close(), 20_000);
    assert.equal(slow.isRunning, false);
    assert.deepEqual(handled, [], "a message that is refused is not handled");
  } finally {
    await network.stop();
  }
});
