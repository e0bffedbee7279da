/** Peers that misbehave, and a server that is gone at the worst moment. */

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { connect } from "@nats-io/transport-node";

import { listOnlineAgents, type Message, RegistryError } from "../../src/index.js";
import type { Identity, IdentityProvider, RegistrationIdentity } from "../../src/node/identity.js";
import { UNSIGNED } from "../../src/node/identity.js";
import { Network, TOKEN } from "../support/network.js";
import { eventually, Gate, within } from "../support/wait.js";

test("a list whose next page is the same page again ends with an error", async () => {
  const network = await Network.start({ registry: false });
  const registry = await connect({ servers: `127.0.0.1:${network.port}`, token: TOKEN });
  try {
    let asked = 0;
    registry.subscribe("registry.list", {
      callback: (_error, message) => {
        asked += 1;
        message.respond('{"agents":[],"generated_at":"","next_cursor":"again"}');
      },
    });
    await registry.flush();
    await assert.rejects(
      within("the list ends", listOnlineAgents(network.url)),
      (error) => error instanceof RegistryError && error.code === "invalid_response" && /cursor/.test(error.message),
    );
    assert.equal(asked, 2);
  } finally {
    await registry.close();
    await network.stop();
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
