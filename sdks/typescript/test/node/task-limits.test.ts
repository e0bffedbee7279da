/** What a registry or a server does not take of a worker (PROTOCOL.md sections 22.1 and 22.3): its tasks go on, or fail. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { type AgentNode, isAgentNetError } from "../../src/index.js";
import { Network } from "../support/network.js";
import { within } from "../support/wait.js";

let network: Network;
let boss: AgentNode;

before(async () => {
  // A registry takes results of half of it, and checkpoints of an eighth.
  network = await Network.start({ config: "max_payload: 65536" });
  boss = await network.node({ agentId: "boss", username: "boss" }).start();
});
after(async () => {
  await network.stop();
});

test("a result that the registry or the server does not take fails the task, with the reason", async () => {
  const sizes: Record<string, number> = { registry: 40_000, server: 100_000 };
  const node = await network
    .node({ agentId: "large", username: "large" })
    .onTask((work) => "x".repeat(sizes[work.text] ?? 0))
    .start();
  for (const [text, reason] of [
    ["registry", /task_too_large|too large/],
    ["server", /max_payload=65536/],
  ] as const) {
    // The heartbeats would keep the lease.
    const task = await boss.task("@large", { text, heartbeatMs: 3_600_000 });
    const outcome = await within(`the end of ${text}`, task.result());
    assert.deepEqual([outcome.state, outcome.code, outcome.result], ["failed", "task_end_refused", undefined]);
    assert.match(outcome.detail ?? "", reason);
  }
  await node.close();
});

test("a checkpoint that the registry or the server does not take is the handler's error, and the lease goes on", async () => {
  const codes: unknown[] = [];
  const node = await network
    .node({ agentId: "checker", username: "checker" })
    .onTask(async (_work, context) => {
      for (const size of [10_000, 65_000]) {
        await context.checkpoint("x".repeat(size)).catch((error: unknown) => codes.push(isAgentNetError(error)));
      }
      await context.progress(50, "going on");
      return context.isLeaseLost;
    })
    .start();
  const task = await boss.task("@checker", { text: "check", heartbeatMs: 2_000 });
  const outcome = await within("the end", task.result());
  assert.deepEqual([outcome.state, outcome.result, outcome.task.percent], ["completed", false, 50]);
  assert.deepEqual(codes, [true, true]);
  await node.close();
});
