import assert from "node:assert/strict";
import { test } from "node:test";

import { Network } from "../support/network.js";
import { eventually, within } from "../support/wait.js";

const SENDS = 1_000;
const IN_FLIGHT = 50;
const RESTARTS = 4;

test("1,000 sends while the broker is killed and restarted: what was reported as delivered is handled and in the history", async (context) => {
  const network = await Network.start();
  try {
    const limits = { rateLimitPerSenderPerSec: 1e6, rateLimitBurst: 1_000_000, maxPending: 10_000 };
    const handled = new Map<string, number>();
    const receiver = network.node({ agentId: "receiver", username: "receiver", limits });
    receiver.onMessage((message) => {
      handled.set(message.messageId, (handled.get(message.messageId) ?? 0) + 1);
    });
    await receiver.start();
    const sender = await network.node({ agentId: "sender", username: "sender" }).start();
    const to = receiver.accountId ?? "";

    const delivered: string[] = [];
    let failed = 0;
    let next = 0;
    const caller = async (): Promise<void> => {
      while (next < SENDS) {
        const number = next;
        next += 1;
        try {
          delivered.push((await sender.send(to, { number }, { threadId: "restarts", retryAttempts: 2 })).messageId);
        } catch {
          failed += 1;
        }
      }
    };
    const callers = Promise.all(Array.from({ length: IN_FLIGHT }, caller));
    for (let restart = 1; restart <= RESTARTS; restart += 1) {
      // Each time while sends are on their way.
      const due = (restart * SENDS) / (RESTARTS + 1);
      await eventually(`${due} sends have begun`, () => next >= due);
      await network.stopServer("SIGKILL");
      await network.startServer();
    }
    await within("all sends end", callers);

    context.diagnostic(`${delivered.length} delivered, ${failed} failed`);
    assert.equal(delivered.length + failed, SENDS);
    assert.ok(delivered.length > 0, "no send was delivered");
    assert.equal(new Set(delivered).size, delivered.length);
    for (const id of delivered) assert.equal(handled.get(id), 1, `${id} was handled ${handled.get(id) ?? 0} times`);
    const stored = new Set<string>();
    await eventually("the history has all that were delivered", async () => {
      let cursor: string | undefined;
      do {
        const page = await sender.threadMessages("restarts", { limit: 200, cursor });
        for (const message of page.messages) stored.add(message.messageId);
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      return delivered.every((id) => stored.has(id));
    });
  } finally {
    await network.stop();
  }
});
