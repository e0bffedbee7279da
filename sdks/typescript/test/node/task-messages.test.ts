/** Workers that work by messages: what they are told of their tasks (PROTOCOL.md sections 22.4 and 22.7). */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { type AgentNode, isAgentNetError, type Message, type TaskHandle } from "../../src/index.js";
import { Network } from "../support/network.js";
import { eventually } from "../support/wait.js";

let network: Network;
let boss: AgentNode;
let count = 0;

before(async () => {
  network = await Network.start();
  boss = await network.node({ agentId: "boss", username: "boss" }).start();
});
after(async () => {
  await network.stop();
});

interface Told {
  readonly id: string;
  readonly payload: Record<string, unknown>;
}

/** An agent that does tasks by messages, and what it was told. */
async function byMessages(): Promise<{ readonly node: AgentNode; readonly told: Told[] }> {
  count += 1;
  const username = `by-messages-${count}`;
  const told: Told[] = [];
  const node = network.node({ agentId: username, username }).onMessage((message: Message) => {
    told.push({ id: message.messageId, payload: message.payload as Record<string, unknown> });
  });
  return { node: await node.start(), told };
}

/** The worker reports, as the later Python implementation does; resolves when the registry knows. */
async function report(node: AgentNode, task: TaskHandle, type: string, state: string): Promise<void> {
  const payload = { type, task_id: task.id, text: type, metadata: {} };
  await node.send("@boss", payload, { until: "published" });
  await eventually(`the task is ${state}`, async () => (await task.status()).state === state);
}

async function next(told: readonly Told[], index: number): Promise<Told> {
  return await eventually(`message ${index} has come`, () => told[index]);
}

test("the assignment has the payload of the task", async () => {
  const { node, told } = await byMessages();
  const payload = { branch: "main", n: 1.5, text: "für Anna" };
  const task = await boss.task(`@${node.username}`, { text: "build", payload, heartbeatMs: 5_000 });
  const first = await next(told, 0);
  assert.deepEqual([task.delivery, task.notTold, first.id], ["message", undefined, `task_assign_${task.id}`]);
  const { type, payload: given, heartbeat_ms: heartbeat, attempt, input } = first.payload;
  assert.deepEqual([type, given, heartbeat, attempt, input], ["task.assign", payload, 5_000, 1, undefined]);
  await task.cancel();
  // One that has no room in a message is in the registry only.
  const large = await boss.task(`@${node.username}`, { text: "large", payload: "x".repeat(200_000) });
  const second = await eventually("the other assignment", () => told.find(({ payload }) => payload.text === "large"));
  assert.deepEqual([large.notTold, second.payload.payload], [undefined, undefined]);
  await node.close();
});

test("a cancellation is told to the worker, also to one that is offline", async () => {
  const { node, told } = await byMessages();
  const task = await boss.task(`@${node.username}`, { text: "long", threadId: "work" });
  await report(node, task, "task.progress", "working");
  assert.equal((await task.cancel("not needed")).state, "canceled");
  const { id, payload } = await next(told, 1);
  assert.equal(id, `task_cancel_${task.id}`);
  assert.deepEqual([payload.type, payload.task_id, payload.text], ["task.cancel", task.id, "not needed"]);
  assert.equal(typeof payload.event_at, "string");
  const other = await boss.task(`@${node.username}`, { text: "other" });
  await next(told, 2);
  const { accountId = "" } = node;
  await node.close();
  await network.offline(node.info().username ?? `by-messages-${count}`);
  await other.cancel();
  assert.equal(other.notTold, undefined);
  const waiting = await boss.mailboxList({ accountId, state: "queued" });
  assert.deepEqual(
    waiting.messages.map(({ messageId }) => messageId),
    [`task_cancel_${other.id}`],
  );
});

test("an answer is told to the worker", async () => {
  const { node, told } = await byMessages();
  const task = await boss.task(`@${node.username}`, { text: "merge", title: "T", payload: [1] });
  await report(node, task, "task.blocked", "input_required");
  assert.equal((await task.input({ branch: "main" })).state, "working");
  const first = await next(told, 1);
  assert.match(first.id, new RegExp(`^task_assign_${task.id}_[0-9]+$`));
  const { type, task_id, text, title, input, payload, attempt } = first.payload;
  assert.deepEqual([type, task_id, text, title], ["task.assign", task.id, "merge", "T"]);
  assert.deepEqual([input, payload, attempt], [{ branch: "main" }, [1], 1]);
  await report(node, task, "task.blocked", "input_required");
  // Of a handle that has not asked for the task, what the snapshot has is told.
  await boss.taskHandle(task.id).input(undefined);
  const second = await next(told, 2);
  assert.notEqual(second.id, first.id);
  assert.deepEqual([second.payload.input, second.payload.payload, second.payload.text], [null, undefined, "merge"]);
  await report(node, task, "task.result", "completed");
  await node.close();
});

test("each retry is told to the worker", async () => {
  const { node, told } = await byMessages();
  const task = await boss.task(`@${node.username}`, { text: "try" });
  const ids = new Set<string>();
  for (const index of [0, 1, 2]) {
    const { id, payload } = await next(told, index);
    ids.add(id);
    assert.deepEqual([payload.type, payload.text, payload.input], ["task.assign", "try", undefined]);
    if (index > 0) assert.equal(payload.attempt, 2);
    await report(node, task, "task.failed", "failed");
    if (index < 2) assert.equal((await task.retry()).state, "submitted");
  }
  assert.equal(ids.size, 3, "no message is taken for a repetition of an earlier one");
  assert.equal(told.length, 3);
  await node.close();
});

test("a worker that cannot be told is no failure: the handle says so, and the task is kept", async () => {
  count += 1;
  const username = `closed-mailbox-${count}`;
  const node = await network.node({ agentId: username, username, metadata: { mailbox: false } }).start();
  await node.close();
  await network.offline(username);
  const task = await boss.task(`@${username}`, { text: "unseen" });
  assert.ok(isAgentNetError(task.notTold));
  assert.deepEqual([task.notTold.code, task.created, task.delivery], ["mailbox_refused", true, "message"]);
  assert.equal((await task.status()).state, "submitted");
  const again = await boss.task(`@${username}`, { text: "unseen", taskId: task.id });
  assert.deepEqual([again.created, isAgentNetError(again.notTold)], [false, true]);
  assert.equal((await task.cancel()).state, "canceled");
  assert.ok(isAgentNetError(task.notTold), "nor can it be told of the cancellation");
});

test("a session that claims tasks needs no messages about them: neither its mailbox nor its handler keeps one", async () => {
  count += 1;
  const options = { agentId: `claims-${count}`, username: `claims-${count}` };
  const absent = await network.node(options).start();
  const { accountId = "" } = absent;
  await absent.close();
  await network.offline(options.username);
  const task = await boss.task(accountId, { text: "later" });
  assert.deepEqual([task.delivery, task.notTold], ["message", undefined]);
  // Without a handler of messages it does not look into the mailbox.
  const first = await network
    .node(options)
    .onTask((work) => work.text)
    .start();
  assert.equal((await task.result()).result, "later");
  await eventually("the mailbox is empty", async () => (await first.mailboxStatus()).queued === 0);
  await first.close();
  const texts: (string | undefined)[] = [];
  const second = network.node(options).onTask(async (_work, context) => {
    await context.cancelled();
    context.signal.throwIfAborted();
  });
  await second.onMessage(({ text }) => void texts.push(text)).start();
  const long = await boss.task(accountId, { text: "long" });
  await eventually("it is claimed", async () => (await long.status()).state === "working");
  const cancel = { type: "task.cancel", task_id: long.id, text: "stop", metadata: {} };
  await boss.send(accountId, cancel, { until: "processed" });
  assert.equal((await long.result()).state, "canceled");
  // About a task of somebody else.
  const other = await boss.task("capability:nothing-has-this", { text: "other" });
  const foreign = { type: "task.assign", task_id: other.id, text: "foreign", metadata: {} };
  await boss.send(accountId, foreign, { until: "processed" });
  assert.deepEqual(texts, ["foreign"]);
  await other.cancel();
  await second.close();
});
