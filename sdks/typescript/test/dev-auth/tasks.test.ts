/** Tasks on a network with signed identity (PROTOCOL.md sections 13.8 and 22). */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  type AgentNode,
  DevAuth,
  type IdentityProvider,
  MemoryKeyStore,
  RegistryError,
  TaskError,
  TaskFailure,
  type TaskHandler,
} from "../../src/index.js";
import { RPC } from "../../src/protocol/index.js";
import { Network } from "../support/network.js";
import { eventually, within } from "../support/wait.js";

let network: Network;
let alice: AgentNode;
let mallory: AgentNode;

const signing = (): IdentityProvider => new DevAuth({ keys: new MemoryKeyStore() });

before(async () => {
  network = await Network.start({ environment: { DEV_AUTH: "true" } });
  alice = await network.node({ agentId: "alice", username: "alice", devAuth: signing() }).start();
  mallory = await network.node({ agentId: "mallory", username: "mallory", devAuth: signing() }).start();
});
after(async () => {
  await network.stop();
});

async function worker(username: string, handler: TaskHandler): Promise<AgentNode> {
  return await network.node({ agentId: username, username, devAuth: signing() }).onTask(handler).start();
}

test("a task is asked for, claimed, kept and finished by signed requests", async () => {
  const node = await worker("bob", async (work, context) => {
    await context.progress(50, "half");
    if (work.input === undefined) throw TaskFailure.inputRequired("which?");
    return { input: work.input };
  });
  const task = await alice.task("@bob", { text: "build", retries: 1 });
  const asked = await within("the question", task.settled());
  assert.equal(asked.state, "input_required");
  await task.input("the first");
  assert.deepEqual((await within("the result", task.result())).result, { input: "the first" });
  await node.close();
});

test("another account can neither cancel a task nor ask in the name of others", async () => {
  const task = await alice.task("capability:nothing-has-this", { text: "mine" });
  await assert.rejects(mallory.taskHandle(task.id).cancel(), (error: unknown) => {
    return error instanceof TaskError && error.code === "task_forbidden";
  });
  const { accountId = "", sessionTag = "" } = alice;
  const unsigned = { accountId, sessionTag, taskId: task.id };
  await assert.rejects(mallory.registry.call(RPC.taskCancel, unsigned), (error: unknown) => {
    return error instanceof RegistryError && error.code.startsWith("auth_");
  });
  assert.equal((await task.status()).state, "submitted");
  assert.equal((await task.cancel()).state, "canceled");
});

test("a worker of a signed network stops when it is told to", async () => {
  const node = await worker("carol", async (_work, context) => {
    await context.cancelled();
    throw TaskFailure.canceled("stopped");
  });
  const task = await alice.task("@carol", { text: "long" });
  await eventually("carol has it", async () => (await task.status()).state === "working");
  await task.cancel("enough");
  const outcome = await within("the end", task.result());
  assert.deepEqual([outcome.state, outcome.detail], ["canceled", "stopped"]);
  await node.close();
});
