/** Doing tasks (PROTOCOL.md sections 22.4 and 22.7): claims, leases, the end of workers, of the registry and of the connection. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect, type NatsConnection } from "@nats-io/transport-node";

import {
  type AgentNode,
  type NodeOptions,
  NotRunningError,
  TaskError,
  TaskFailure,
  type TaskHandle,
  type TaskHandler,
} from "../../src/index.js";
import { type ClaimedTask, RPC } from "../../src/protocol/index.js";
import { Network, TOKEN } from "../support/network.js";
import { eventually, Gate, within } from "../support/wait.js";

let network: Network;
let boss: AgentNode;
let raw: NatsConnection;
let count = 0;

before(async () => {
  network = await Network.start();
  boss = await network.node({ agentId: "boss", username: "boss" }).start();
  raw = await connect({ servers: `127.0.0.1:${network.port}`, token: TOKEN });
});
after(async () => {
  await raw?.close();
  await network.stop();
});

/** What a worker under a name of its own is made of. */
function named(options: Partial<NodeOptions> = {}): NodeOptions & { readonly username: string } {
  count += 1;
  const username = `doer-${count}`;
  return { agentId: username, ...options, username };
}

async function worker(options: NodeOptions, handler: TaskHandler): Promise<AgentNode> {
  return await network.node(options).onTask(handler).start();
}

async function working(task: TaskHandle): Promise<void> {
  await eventually("a worker has the task", async () => (await task.status()).state === "working");
}

/** Takes a task by hand, without heartbeats. */
async function claimByHand(node: AgentNode, taskId: string): Promise<ClaimedTask> {
  const { accountId = "", sessionTag = "", registry } = node;
  const request = { accountId, sessionTag, capabilities: [], taskId };
  return await eventually("the task is claimed", async () => {
    return (await registry.call(RPC.taskClaim, request)).tasks[0];
  });
}

test("a registration and every hello of a worker say that it claims tasks", async () => {
  const bodies: Record<string, unknown>[] = [];
  for (const subject of ["registry.register", "registry.hello"]) {
    raw.subscribe(subject, { callback: (_error, message) => void bodies.push(message.json()) });
  }
  await raw.flush();
  const options = named();
  const node = await worker(options, () => undefined);
  const plain = await network.node(named()).start();
  const of = (agent: AgentNode): unknown[] =>
    bodies.filter(({ agent_id }) => agent_id === agent.info().agentId).map(({ tasks }) => tasks);
  await eventually("both have said hello", () => of(node).length >= 2 && of(plain).length >= 2);
  assert.ok(of(node).every((tasks) => tasks === "claim"));
  assert.ok(of(plain).every((tasks) => tasks === undefined));
  await Promise.all([node.close(), plain.close()]);
});

test("the tasks of a capability are shared, each is done once, and a worker does as many at a time as it says", async () => {
  const capability = "compile";
  const runs = new Map<string, number>();
  let most = 0;
  const workers: AgentNode[] = [];
  for (let number = 0; number < 2; number += 1) {
    let running = 0;
    const handler: TaskHandler = async (work) => {
      running += 1;
      most = Math.max(most, running);
      runs.set(work.text, (runs.get(work.text) ?? 0) + 1);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return work.text;
    };
    workers.push(await worker(named({ capabilities: [capability], taskConcurrency: 3 }), handler));
  }
  const texts = Array.from({ length: 30 }, (_, number) => `task ${number}`);
  const tasks = await Promise.all(texts.map((text) => boss.task(`capability:${capability}`, { text })));
  const outcomes = await within("all are done", Promise.all(tasks.map((task) => task.result())));
  assert.deepEqual(
    outcomes.map(({ result }) => result),
    texts,
  );
  assert.deepEqual(
    [...runs.values()],
    Array.from({ length: 30 }, () => 1),
  );
  assert.ok(most <= 3, `${most} at a time`);
  await Promise.all(workers.map((node) => node.close()));
});

test("a task is kept for longer than its lease while its worker lives", async () => {
  const gate = new Gate();
  const options = named();
  const node = await worker(options, async () => {
    await gate.promise;
    return "done";
  });
  const task = await boss.task(`@${options.username}`, { text: "long", heartbeatMs: 1_000 });
  await working(task);
  const seen = new Set<string>();
  await eventually("the lease was kept several times", async () => {
    const { leaseUntil, state } = await task.status();
    assert.equal(state, "working");
    if (leaseUntil !== undefined) seen.add(leaseUntil);
    return seen.size >= 8;
  });
  gate.open();
  assert.equal((await within("the result", task.result())).result, "done");
  const types: string[] = [];
  for await (const { type } of task.events()) types.push(type);
  assert.deepEqual(types, ["created", "claimed", "finished"]);
  await node.close();
});

test("what is told while a heartbeat is on its way goes with another one at once", async () => {
  const options = named();
  const node = await worker(options, async (_work, context) => {
    let isTold = false;
    const first = context.progress(1).then(() => {
      isTold = true;
    });
    const others: Promise<void>[] = [];
    while (!isTold) {
      others.push(context.progress(2, "more"), context.checkpoint(others.length));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await Promise.all([first, ...others]);
    return others.length > 0;
  });
  // The next heartbeat that comes by itself is 20 minutes away.
  const task = await boss.task(`@${options.username}`, { text: "talk", heartbeatMs: 3_600_000 });
  const outcome = await within("the result", task.result());
  assert.deepEqual([outcome.result, outcome.task.percent, outcome.task.latestProgressText], [true, 2, "more"]);
  await node.close();
});

test("a task whose worker falls silent goes to the next one, and the silent one cannot finish it", async () => {
  const options = named();
  const silent = await network.node(options).start();
  const task = await boss.task(silent.accountId ?? "", { text: "lost", heartbeatMs: 1_000, retries: 1, backoffMs: 10 });
  const claimed = await claimByHand(silent, task.id);
  const { accountId = "", sessionTag = "" } = silent;
  const { attempt, lease } = claimed;
  // The registry has heard of the worker: the attempt counts.
  const items = [{ taskId: task.id, attempt, lease }];
  await silent.registry.call(RPC.taskHeartbeat, { accountId, sessionTag, items });
  const other = await worker({ ...options, agentId: "other" }, (work) => work.attempt);
  const outcome = await within("the result", task.result());
  assert.equal(outcome.result, 2);
  const end = { finishId: "late", state: "completed" } as const;
  const finish = { accountId, sessionTag, taskId: task.id, attempt, lease, ...end };
  await assert.rejects(silent.registry.call(RPC.taskFinish, finish), (error: unknown) => {
    const { code } = error as { code?: string };
    return code === "task_lease_lost" || code === "task_already_finished";
  });
  assert.equal((await task.status()).result?.text, "2");
  await Promise.all([silent.close(), other.close()]);
});

test("a worker whose lease is taken away is told, and what it returns does not count", async () => {
  const options = named();
  const told: unknown[] = [];
  const gate = new Gate();
  const node = await worker(options, async (_work, context) => {
    await context.leaseLost();
    told.push(context.isLeaseLost, context.isCanceled, context.signal.aborted);
    await context.progress(50, "too late").catch((error: unknown) => told.push(error));
    gate.open();
    return "mine";
  });
  const task = await boss.task(`@${options.username}`, { text: "stubborn", deadlineMs: 3_000, heartbeatMs: 1_000 });
  const outcome = await within("the deadline", task.result());
  assert.deepEqual([outcome.state, outcome.code, outcome.result], ["failed", "deadline_exceeded", undefined]);
  await within("the worker is told", gate.promise);
  assert.deepEqual(told.slice(0, 3), [true, false, true]);
  assert.ok(told[3] instanceof TaskError && told[3].code === "task_lease_lost");
  await node.close();
  assert.equal((await task.status()).state, "failed");
});

test("a node that closes gives back what it has not finished, which does not count as an attempt", async () => {
  const options = named({ limits: { drainTimeoutMs: 100 } });
  const reasons: unknown[] = [];
  const begun = new Gate();
  const first = await worker(options, async (_work, context) => {
    await context.checkpoint("half");
    begun.open();
    await new Promise<void>((resolve) => context.signal.addEventListener("abort", () => resolve(), { once: true }));
    reasons.push(context.closing.aborted, context.signal.reason);
    throw new Error("this is too late");
  });
  const task = await boss.task(`@${options.username}`, { text: "long" });
  await within("the handler has begun", begun.promise);
  await first.close();
  assert.equal(reasons[0], true);
  assert.ok(reasons[1] instanceof NotRunningError);
  const { attempt, state } = await task.status();
  assert.deepEqual([attempt, state], [0, "submitted"]);
  const second = await worker(options, (work) => [work.attempt, work.checkpoint]);
  assert.deepEqual((await within("the result", task.result())).result, [1, "half"]);
  await second.close();
});

test("a handler gives its task back by itself when the node closes, and finishes what it can", async () => {
  const options = named({ taskConcurrency: 2 });
  const begun = [new Gate(), new Gate()] as const;
  const first = await worker(options, async (work, context) => {
    begun[work.text === "short" ? 0 : 1].open();
    await new Promise<void>((resolve) => context.closing.addEventListener("abort", () => resolve(), { once: true }));
    if (work.text === "short") return "finished";
    throw TaskFailure.released();
  });
  const to = `@${options.username}`;
  const [short, long] = await Promise.all([boss.task(to, { text: "short" }), boss.task(to, { text: "long" })]);
  await within("both have begun", Promise.all(begun.map(({ promise }) => promise)));
  await first.close();
  assert.equal((await short.status()).result?.text, '"finished"');
  assert.equal((await long.status()).state, "submitted");
  await long.cancel();
});

test("a registry that is away for a while loses neither a task nor a result, and readers go on", async () => {
  const options = named();
  const gate = new Gate();
  let runs = 0;
  const node = await worker(options, async (_work, context) => {
    runs += 1;
    await context.progress(10, "begun");
    await gate.promise;
    return "kept";
  });
  const task = await boss.task(`@${options.username}`, { text: "outlive it" });
  const types: string[] = [];
  const reading = (async (): Promise<void> => {
    for await (const { type } of task.events()) types.push(type);
  })();
  await eventually("the progress is read", () => types.includes("progress"));
  const waiting = task.result();
  await network.stopRegistry("SIGKILL");
  gate.open();
  await network.startRegistry();
  assert.equal((await within("the result", waiting)).result, "kept");
  await within("the end of the events", reading);
  assert.deepEqual(types, ["created", "claimed", "progress", "finished"]);
  assert.equal(runs, 1);
  // The worker claims again.
  const next = await boss.task(`@${options.username}`, { text: "next" });
  assert.equal((await within("the next result", next.result())).result, "kept");
  await node.close();
});

test("a server that is away for a while loses no task: the worker claims again when it is back", async () => {
  const options = named();
  const node = await worker(options, (work) => work.text);
  await network.stopServer();
  await network.startServer();
  const task = await eventually("a task can be asked for", async () => {
    return await boss.task(`@${options.username}`, { text: "after", key: "after" });
  });
  assert.equal((await within("the result", task.result())).result, "after");
  await node.close();
});

test("events that others publish make a worker ask, and nothing more", async () => {
  const options = named();
  const gate = new Gate();
  let isCanceled = true;
  const node = await worker(options, async (_work, context) => {
    await gate.promise;
    isCanceled = context.isCanceled || context.signal.aborted;
    return "done";
  });
  const task = await boss.task(`@${options.username}`, { text: "hold" });
  await working(task);
  const { heartbeatAt } = await task.status();
  const forged = { task_id: task.id, seq: 9, at: "now", type: "cancel_requested", attempt: 1, state: "working" };
  for (const body of [JSON.stringify(forged), "{", "[]", '{"task_id":7}']) {
    raw.publish(`agentnet.events.${node.accountId}.task`, body);
  }
  await eventually("the worker has asked", async () => (await task.status()).heartbeatAt !== heartbeatAt);
  gate.open();
  assert.equal((await within("the result", task.result())).state, "completed");
  assert.equal(isCanceled, false);
  await node.close();
});
