/** Asking for tasks (PROTOCOL.md section 22), on a network without signed identity. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  type AgentNode,
  AgentSDK,
  InvalidArgumentError,
  type Message,
  RegistryError,
  TaskError,
  type TaskEvent,
  TaskFailure,
  type TaskHandle,
  type TaskHandler,
  TooLarge,
  taskEvents,
  taskList,
  taskStatus,
} from "../../src/index.js";
import { Network } from "../support/network.js";
import { eventually, Gate, within } from "../support/wait.js";

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

function newName(): string {
  count += 1;
  return `worker-${count}`;
}

/** A started worker under a name of its own. */
async function worker(handler: TaskHandler, username = newName()): Promise<AgentNode> {
  return await network.node({ agentId: username, username }).onTask(handler).start();
}

const hasCode =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof RegistryError && error.code === code;

async function working(task: TaskHandle): Promise<void> {
  await eventually("a worker has the task", async () => (await task.status()).state === "working");
}

test("a worker does a task: what it tells and its result are there, in order", async () => {
  const node = await worker(async (work, context) => {
    assert.deepEqual([work.title, work.text, work.payload], ["Fix #12", "fix it", { issue: 12 }]);
    assert.deepEqual([work.attempt, work.maxAttempts, work.checkpoint, work.input], [1, 1, undefined, undefined]);
    assert.deepEqual([work.coordinatorAccountId, work.id], [boss.accountId, context.id]);
    await context.progress(40, "tests run", { phase: "tool" });
    await context.checkpoint({ step: 3 });
    return { fixed: true, n: 1.5 };
  });
  const to = `@${node.username}`;
  const task = await boss.task(to, {
    title: "Fix #12",
    text: "fix it",
    payload: { issue: 12 },
    metadata: { repo: "a/b" },
    priority: 5,
  });
  assert.deepEqual([task.created, task.delivery], [true, "lease"]);
  assert.match(task.id, /^task_[0-9a-z]{26}$/);
  assert.deepEqual([task.snapshot?.state, task.snapshot?.coordinator], ["submitted", "boss"]);
  const outcome = await within("the result", task.result());
  assert.deepEqual([outcome.state, outcome.isCompleted], ["completed", true]);
  assert.deepEqual([outcome.result, outcome.resultText], [{ fixed: true, n: 1.5 }, '{"fixed":true,"n":1.5}']);
  const { assigneeAccountId, percent, phase, priority, metadata, workerAccountId, eventCount } = outcome.task;
  assert.deepEqual([assigneeAccountId, workerAccountId], [node.accountId, node.accountId]);
  assert.deepEqual([percent, phase, priority, metadata.text], [40, "tool", 5, '{"repo":"a/b"}']);
  const events: TaskEvent[] = [];
  for await (const event of task.events()) events.push(event);
  assert.deepEqual(
    events.map(({ seq, type }) => [seq, type]),
    [
      [1, "created"],
      [2, "claimed"],
      [3, "progress"],
      [4, "finished"],
    ],
  );
  assert.equal(eventCount, 4);
  assert.deepEqual([events[2]?.text, events[2]?.fromAccountId], ["tests run", node.accountId]);
  const rest: number[] = [];
  for await (const { seq } of boss.taskHandle(task.id).events({ after: 2 })) rest.push(seq);
  assert.deepEqual(rest, [3, 4]);
  await node.close();
});

test("a task that is asked for again under its key or its id is the same one", async () => {
  const gate = new Gate();
  let runs = 0;
  const node = await worker(async () => {
    runs += 1;
    await gate.promise;
    return "done";
  });
  const to = `@${node.username}`;
  const first = await boss.task(to, { text: "once", key: "gh-12", deadlineMs: 600_000 });
  const again = await boss.task(to, { text: "once", key: "gh-12", deadlineMs: 700_000 });
  assert.deepEqual([again.id, again.created], [first.id, false]);
  const named = await boss.task(to, { text: "named", taskId: `${first.id}_b` });
  assert.equal((await boss.task(to, { text: "named", taskId: named.id })).created, false);
  await assert.rejects(boss.task(to, { text: "other", key: "gh-12" }), (error: unknown) => {
    assert.ok(error instanceof TaskError && error instanceof RegistryError);
    assert.equal(error.code, "task_conflict");
    return true;
  });
  gate.open();
  assert.equal((await within("the result", first.result())).text, "done");
  await within("the other result", named.result());
  assert.equal(runs, 2);
  await node.close();
});

test("a failure that may pass is tried again, with what the attempt before has left", async () => {
  const seen: unknown[] = [];
  const node = await worker(async (work, context) => {
    seen.push([work.attempt, work.checkpoint]);
    await context.checkpoint({ attempt: work.attempt });
    if (work.attempt === 1) throw new Error("told to fail");
    if (work.attempt === 2) throw TaskFailure.retryable("busy", "not now");
    throw TaskFailure.failed("no_way", "it cannot be done");
  });
  const task = await boss.task(`@${node.username}`, { text: "try", retries: 5, backoffMs: 10 });
  const outcome = await within("the end", task.result());
  assert.deepEqual([outcome.state, outcome.code, outcome.detail], ["failed", "no_way", "it cannot be done"]);
  assert.deepEqual(seen, [
    [1, undefined],
    [2, { attempt: 1 }],
    [3, { attempt: 2 }],
  ]);
  assert.equal(outcome.isCompleted, false);
  // The coordinator wants it tried once more.
  await task.retry({ delayMs: 0 });
  const second = await within("the second end", task.result());
  assert.deepEqual([second.state, seen.length], ["failed", 4]);
  await node.close();
});

test("a worker refuses a task, and a task that is done cannot be tried again", async () => {
  const node = await worker((work) => {
    if (work.text === "paint") throw TaskFailure.rejected("I do not paint");
    return undefined;
  });
  const to = `@${node.username}`;
  const refused = await within("the refusal", (await boss.task(to, { text: "paint" })).result());
  assert.deepEqual([refused.state, refused.code, refused.detail], ["rejected", "rejected", "I do not paint"]);
  const done = await boss.task(to, { text: "build" });
  const outcome = await within("the end", done.result());
  assert.deepEqual([outcome.state, outcome.result, outcome.resultText], ["completed", undefined, undefined]);
  await assert.rejects(done.retry(), hasCode("task_not_retriable"));
  await assert.rejects(done.cancel(), hasCode("task_not_cancelable"));
  await assert.rejects(done.input("x"), hasCode("task_needs_no_input"));
  await node.close();
});

test("a cancellation reaches the worker, and the parts of the task", async () => {
  const reasons: unknown[] = [];
  const node = await worker(async (_work, context) => {
    await context.cancelled();
    reasons.push(context.signal.reason, context.isCanceled);
    context.signal.throwIfAborted();
  });
  const task = await boss.task(`@${node.username}`, { text: "long" });
  await working(task);
  // Nobody has this capability.
  const part = await boss.task("capability:nothing-has-this", { text: "part", parent: task });
  const kept = await boss.task("capability:nothing-has-this", { text: "kept", parent: part.id });
  const alone = await boss.task("capability:nothing-has-this", { text: "alone" });
  assert.equal((await alone.cancel("not needed")).state, "canceled");
  assert.equal((await part.cancel("not this", { cascade: false })).state, "canceled");
  assert.equal((await kept.status()).state, "submitted");
  const second = await boss.task("capability:nothing-has-this", { text: "part", parent: task });
  await task.cancel("changed my mind");
  const outcome = await within("the end", task.result());
  assert.deepEqual([outcome.state, outcome.code], ["canceled", "canceled"]);
  assert.ok(reasons[0] instanceof TaskFailure);
  assert.equal(reasons[1], true);
  assert.equal((await within("the part", second.result())).state, "canceled");
  const types: string[] = [];
  for await (const { type } of task.events()) types.push(type);
  assert.deepEqual(types, ["created", "claimed", "cancel_requested", "finished"]);
  await node.close();
});

test("a worker asks, and goes on with the answer", async () => {
  const node = await worker((work) => {
    if (work.input === undefined) throw TaskFailure.inputRequired("which branch?");
    return work.input;
  });
  const task = await boss.task(`@${node.username}`, { text: "merge" });
  const asked = await within("the question", task.settled());
  assert.deepEqual([asked.state, asked.status, asked.text], ["input_required", "blocked", "which branch?"]);
  assert.equal(asked.resumable, true);
  await task.input({ branch: "main" });
  const outcome = await within("the end", task.result());
  assert.deepEqual([outcome.result, outcome.task.attempt], [{ branch: "main" }, 1]);
  await node.close();
});

test("the coordinator's handler gets a message about the end", async () => {
  const got: Message[] = [];
  const asker = await network
    .node({ agentId: "asker", username: "asker" })
    .onMessage((message) => {
      got.push(message);
    })
    .start();
  const node = await worker((work) => {
    if (work.text === "fail") throw TaskFailure.failed("broken", "it broke");
    return { text: "built", size: 7 };
  });
  const task = await asker.task(`@${node.username}`, { text: "build", threadId: "builds" });
  const result = await eventually("the message has come", () => got[0]);
  assert.deepEqual([result.kind, result.threadId, result.fromAccountId], ["direct", "builds", node.accountId]);
  const { finished_at, ...payload } = result.payload as Record<string, unknown>;
  assert.equal(typeof finished_at, "string");
  assert.deepEqual(payload, {
    type: "task.result",
    task_id: task.id,
    status: "completed",
    text: "built",
    metadata: {},
    result: { text: "built", size: 7 },
  });
  await asker.task(`@${node.username}`, { text: "fail" });
  const failure = (await eventually("the other message", () => got[1])).payload as Record<string, unknown>;
  assert.deepEqual([failure.type, failure.status, failure.text], ["task.failed", "failed", "it broke"]);
  assert.deepEqual(failure.metadata, { state: "failed", code: "broken", detail: "it broke" });
  await Promise.all([asker.close(), node.close()]);
});

test("an agent that claims no tasks is told by a message, also when it comes back", async () => {
  const username = newName();
  const got: Message[] = [];
  const agent = network.node({ agentId: username, username }).onMessage((message) => {
    got.push(message);
  });
  await agent.start();
  const { accountId = "" } = agent;
  const task = await boss.task(`@${username}`, { title: "T", text: "by hand", deadlineMs: 60_000 });
  assert.equal(task.delivery, "message");
  const message = await eventually("it has come", () => got[0]);
  const { created_at, deadline_at, ...payload } = message.payload as Record<string, unknown>;
  assert.ok(typeof created_at === "string" && typeof deadline_at === "string");
  assert.deepEqual(payload, {
    type: "task.assign",
    task_id: task.id,
    text: "by hand",
    metadata: {},
    coordinator: "boss",
    title: "T",
    attempt: 1,
    heartbeat_ms: 30_000,
  });
  assert.equal(message.messageId, `task_assign_${task.id}`);
  // It reports by messages, as the later Python implementation does.
  const sdk = AgentSDK.on(agent);
  await sdk.reportProgress("@boss", task.id, "half", { percent: 50, phase: "working", until: "published" });
  await eventually("the progress is known", async () => (await task.status()).percent === 50);
  await agent.close();
  await network.offline(username);
  const later = await boss.task(accountId, { text: "later" });
  assert.equal(later.delivery, "message");
  // A session that claims takes it, and its handler of messages does not see the assignment.
  const claiming = network.node({ agentId: username, username }).onTask((work) => work.text);
  claiming.onMessage((assigned) => {
    got.push(assigned);
  });
  await claiming.start();
  assert.equal((await within("the result", later.result())).result, "later");
  await eventually("the mailbox is empty", async () => {
    const { queued, leased } = await claiming.mailboxStatus();
    return queued === 0 && leased === 0;
  });
  assert.equal(got.length, 1);
  await claiming.close();
});

test("tasks are listed and looked at, with and without an agent", async () => {
  const sdk = AgentSDK.on(boss);
  const parent = await sdk.task("capability:nothing-has-this", { text: "whole" });
  const parts: TaskHandle[] = [];
  for (const text of ["a", "b", "c"]) {
    parts.push(await sdk.task("capability:nothing-has-this", { text, parent }));
  }
  const listed: string[] = [];
  for await (const { taskId } of sdk.taskList({ parentTaskId: parent.id, limit: 1 })) listed.push(taskId);
  assert.deepEqual(listed, parts.map(({ id }) => id).reverse());
  await parts[0]?.cancel();
  const { tasks } = await taskList(network.url, { parentTaskId: parent.id, state: "canceled" });
  assert.deepEqual(
    tasks.map(({ taskId, status, code }) => [taskId, status, code]),
    [[parts[0]?.id, "failed", "canceled"]],
  );
  const waiting = await sdk.listTasks({ coordinatorAccountId: boss.accountId, status: "assigned" });
  assert.ok(waiting.tasks.some(({ taskId }) => taskId === parent.id));
  const { task } = await taskStatus(network.url, parent.id);
  assert.deepEqual([task.children, task.capability], [{ open: 2, done: 1 }, "nothing-has-this"]);
  const page = await taskEvents(network.url, { taskId: parent.id, after: 1, waitMs: 50 });
  assert.deepEqual([page.events, page.last, page.terminal], [[], 1, false]);
  assert.deepEqual((await boss.taskEvents(parent.id)).events[0]?.type, "created");
  await assert.rejects(taskStatus(network.url, "task_unknown"), hasCode("not_found"));
  await assert.rejects(boss.taskHandle("task_unknown").result(), hasCode("not_found"));
  await assert.rejects(boss.taskHandle("task_unknown").events().next(), hasCode("not_found"));
  await parent.cancel();
});

test("the wait for a result ends with its signal, and the task goes on", async () => {
  const task = await boss.task("capability:nothing-has-this", { text: "wait" });
  const abort = new AbortController();
  const waiting = task.result({ signal: abort.signal });
  const reading = task.events({ after: 1, signal: abort.signal }).next();
  const reason = new Error("enough");
  const ends = [waiting, reading].map((wait) => assert.rejects(wait, reason));
  abort.abort(reason);
  await within("both have ended", Promise.all(ends));
  assert.equal((await task.cancel()).state, "canceled");
});

test("the names of the later Python implementation: delegate, report, look", async () => {
  const username = newName();
  const node = network.node({ agentId: username, username }).onMessage(() => undefined);
  await node.start();
  const sdk = AgentSDK.on(boss);
  const sent = await sdk.delegateTask(`@${username}`, "paint it", { title: "Paint", metadata: { color: "red" } });
  const { task_id, coordinator, metadata } = sent.data as Record<string, unknown>;
  assert.deepEqual([sent.traceId, coordinator, metadata], [task_id, "boss", { color: "red" }]);
  const id = String(task_id);
  await eventually("the registry has made a task of it", async () => {
    return (await sdk.taskStatus(id)).task.status === "assigned";
  });
  const worker = AgentSDK.on(node);
  await worker.reportProgress("@boss", id, "first coat", { percent: 50.9, phase: "working" });
  await eventually("the progress is known", async () => (await sdk.taskStatus(id)).task.percent === 50);
  const status = await sdk.agentStatus(`@${username}`);
  assert.deepEqual([status.ok, status.online, status.sessionCount], [true, true, 1]);
  assert.deepEqual(
    status.activeTasks.map(({ taskId }) => taskId),
    [id],
  );
  assert.equal(status.summary, `@${username} is working on Paint: first coat`);
  await node.close();
  await network.offline(username);
  assert.equal((await sdk.agentStatus(`@${username}`)).summary, `@${username} is offline`);
});

test("what makes no sense is refused before anything is asked", async () => {
  const wrong: (() => Promise<unknown>)[] = [
    () => boss.task("@boss", { text: "x", retries: -1 }),
    () => boss.task("@boss", { text: "x", retries: 20 }),
    () => boss.task("@boss", { text: "x", heartbeatMs: 1.5 }),
    () => boss.task("@boss", { text: "x", deadlineMs: -1 }),
    () => boss.task("@boss", { text: "x", metadata: [] as unknown as Record<string, unknown> }),
    () => boss.task("@boss", { text: 7 as unknown as string }),
    () => boss.task(7 as unknown as string, { text: "x" }),
    () => boss.taskHandle("x").events({ after: -1 }).next(),
    () => taskStatus(network.url, " "),
  ];
  for (const call of wrong) await assert.rejects(call(), InvalidArgumentError);
  await assert.rejects(boss.task("@boss", { payload: "x".repeat(300_000) }), TooLarge);
  await assert.rejects(boss.task("@boss", { text: "x".repeat(70_000) }), TooLarge);
  assert.throws(() => boss.taskHandle(""), InvalidArgumentError);
  assert.throws(() => network.node({ agentId: "x", taskConcurrency: 0 }), InvalidArgumentError);
  assert.throws(() => boss.onTask(async function* () {} as unknown as TaskHandler), InvalidArgumentError);
  await assert.rejects(boss.task("@nobody-of-this-name", { text: "x" }), hasCode("not_found"));
  await assert.rejects(boss.task("@boss", { text: "x", parent: "task_unknown" }), hasCode("task_parent_unknown"));
});

test("any number of results may be waited for without a warning of the runtime", async () => {
  const warnings: string[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning.name);
  process.on("warning", onWarning);
  const task = await boss.task("capability:nothing-has-this", { text: "wait" });
  const waiting = Array.from({ length: 30 }, () => task.result());
  await task.cancel();
  await within("all have ended", Promise.all(waiting));
  process.off("warning", onWarning);
  assert.deepEqual(warnings, []);
});
