import assert from "node:assert/strict";
import { test } from "node:test";
import { RawJson } from "../../../src/json/index.js";
import { NoRegistryError, RegistryError } from "../../../src/node/errors.js";
import { TaskError, TaskFailure, taskError } from "../../../src/node/tasks/errors.js";
import { endOfError, endOfValue } from "../../../src/node/tasks/finish.js";
import { Outage } from "../../../src/node/tasks/follow.js";
import { Work } from "../../../src/node/tasks/work.js";
import { type ClaimedTask, RPC, taskErrorOf, taskStatesOf } from "../../../src/protocol/index.js";

const SNAPSHOT = RPC.taskStatus.read('{"task":{"task_id":"t","state":"working"}}').task;

function claimed(heartbeatMs = 30_000): ClaimedTask {
  return { task: SNAPSHOT, attempt: 1, lease: "l", leaseUntil: "", heartbeatMs };
}

test("an error of tasks is a code and a sentence", () => {
  const conflict = { code: "task_conflict", detail: "it: is\nanother" };
  assert.deepEqual(taskErrorOf("task_conflict: it: is\nanother"), conflict);
  for (const text of ["task_id is required", "task_id", "mailbox_full: x", "TASK_X: x", "task_status payload: x"]) {
    assert.equal(taskErrorOf(text), undefined, text);
  }
  const refused = RegistryError.refused("task_create", "task_conflict: another task has this id");
  assert.equal(refused.code, "task_conflict");
  const typed = taskError(refused, "t");
  assert.ok(typed instanceof TaskError && typed instanceof RegistryError);
  assert.deepEqual([typed.code, typed.detail, typed.taskId], ["task_conflict", "another task has this id", "t"]);
  assert.equal(taskError(typed, "other"), typed);
  const unknown = RegistryError.refused("task_status", "not_found");
  assert.equal(taskError(unknown, "t"), unknown);
});

test("the words of the later Python implementation stand for states", () => {
  assert.deepEqual(taskStatesOf(" FAILED "), ["failed", "canceled", "rejected"]);
  assert.equal(taskStatesOf("done"), undefined);
});

test("heartbeats are written with what there is to tell", () => {
  const request = {
    accountId: "a",
    sessionTag: "s",
    items: [
      { taskId: "t", attempt: 1, lease: "l" },
      {
        taskId: "u",
        attempt: 2,
        lease: "m",
        progress: { text: "é", percent: 40, phase: "tool" },
        checkpoint: RawJson.parse('{"step": 3}'),
      },
    ],
  };
  assert.equal(
    RPC.taskHeartbeat.encode(request),
    '{"account_id":"a","session_tag":"s","items":[{"task_id":"t","attempt":1,"lease":"l"},{"task_id":"u","attempt":2,"lease":"m",' +
      '"progress":{"text":"\\u00e9","percent":40,"phase":"tool"},"checkpoint":{"step": 3}}]}',
  );
});

test("what a handler returns is the result", () => {
  assert.deepEqual(endOfValue(undefined), { state: "completed" });
  const end = endOfValue({ text: " done ", n: 1 });
  assert.deepEqual([end.state, end.text, end.result?.text], ["completed", "done", '{"text":" done ","n":1}']);
  assert.deepEqual([endOfValue("yes").text, endOfValue("yes").result?.text], ["yes", '"yes"']);
  assert.deepEqual([endOfValue(() => 1).state, endOfValue(() => 1).code], ["failed", "result_invalid"]);
  assert.equal(endOfValue("x".repeat(262_142)).state, "completed");
  const large = endOfValue("é".repeat(50_000));
  assert.deepEqual([large.state, large.code, large.retryable], ["failed", "result_too_large", false]);
});

test("what a handler throws is the end of the attempt", () => {
  const ends = [
    [TaskFailure.failed("no", "why"), "failed", "no", "why", false],
    [TaskFailure.retryable("later"), "failed", "later", undefined, true],
    [TaskFailure.rejected("not mine"), "rejected", "rejected", "not mine", false],
    [TaskFailure.canceled(), "canceled", "canceled", undefined, false],
    [new Error("broken"), "failed", "handler_error", "broken", true],
  ] as const;
  for (const [error, state, code, detail, retryable] of ends) {
    assert.deepEqual(endOfError(error, false), { state, code, detail, text: detail, retryable });
  }
  assert.equal(endOfError(new Error("aborted"), true).state, "canceled");
  assert.deepEqual(endOfError(TaskFailure.inputRequired("which?"), false), { state: "input_required", text: "which?" });
  assert.deepEqual(endOfError(TaskFailure.authRequired("may I?"), true), { state: "auth_required", text: "may I?" });
  assert.deepEqual(endOfError(TaskFailure.released(), false), { state: "submitted" });
  const long = endOfError(TaskFailure.failed("c".repeat(300), "€".repeat(70_000)), false);
  assert.ok(new TextEncoder().encode(long.detail).length <= 65_536);
  assert.equal(long.code?.length, 64);
});

test("what is told before it is sent becomes one report, and fails with the lease", async () => {
  const reported: Work[] = [];
  const work = new Work(claimed(), "", (told) => reported.push(told));
  const first = work.report({ progress: { text: "begun", percent: 10 } });
  const second = work.report({ progress: { percent: 20 }, checkpoint: RawJson.trusted("1") });
  const report = work.takeReport();
  assert.deepEqual(report?.progress, { text: "begun", percent: 20, phase: undefined });
  assert.equal(report?.checkpoint?.text, "1");
  assert.equal(work.takeReport(), undefined);
  assert.equal(reported.length, 2);
  // It did not reach the registry, and another one has come meanwhile.
  const third = work.report({ progress: { percent: 30 } });
  work.putBack(report);
  const again = work.takeReport();
  assert.deepEqual([again?.progress?.percent, again?.progress?.text, again?.waiting.length], [30, "begun", 3]);
  work.putBack(again);
  work.lose(true);
  for (const told of [first, second, third, work.report({ progress: { percent: 40 } })]) {
    await assert.rejects(told, (error: unknown) => error instanceof TaskError && error.code === "task_lease_lost");
  }
  await Promise.all([work.lost, work.canceled]);
  assert.deepEqual([work.isLost, work.isRefused, work.isCanceled, work.signal.aborted], [true, true, false, true]);
  work.close();
});

test("a cancellation aborts the signal once, and an attempt ends once", async () => {
  const work = new Work(claimed(), "", () => undefined);
  assert.equal(work.signal.aborted, false);
  work.cancel();
  await work.canceled;
  assert.ok(work.signal.reason instanceof TaskFailure);
  assert.deepEqual([work.end(), work.end(), work.release()], [true, false, false]);
  work.close();
  // The bounds of the time after which a silent worker has lost its task.
  for (const [given, used] of [
    [0, 1_000],
    [5_000, 5_000],
    [1e12, 3_600_000],
  ] as const) {
    const other = new Work(claimed(given), "", () => undefined);
    assert.equal(other.heartbeatMs, used);
    other.close();
  }
});

test("without a word of the registry the lease is over after its time", async () => {
  const work = new Work(claimed(1_000), "", () => undefined);
  await work.lost;
  assert.deepEqual([work.isLost, work.isRefused], [true, false]);
  work.close();
});

test("of a lease counts what is left of it when it comes", async () => {
  const given = { ...claimed(3_600_000), leaseUntil: "2026-02-21T08:00:01.250Z" };
  const work = new Work(given, "2026-02-21T08:00:01Z", () => undefined);
  assert.ok(work.nextBeat - performance.now() < 125, "the first heartbeat comes before its end");
  const whole = new Work(given, "no time", () => undefined);
  await work.lost;
  assert.equal(whole.isLost, false);
  work.close();
  whole.close();
});

test("a registry or a database that is away is waited for, and a network that never had tasks is not", () => {
  const passing = ["task_status_failed: disk I/O error", "task_failed: no connection"].map((text) =>
    RegistryError.refused("task_status", text),
  );
  const missing = new NoRegistryError("task_status");
  const fresh = new Outage(false);
  for (const error of [...passing, new RegistryError("late", { code: "registry_timeout", rpc: "task_status" })]) {
    assert.doesNotThrow(() => fresh.throwIfOver(error, "t"), error.message);
  }
  assert.throws(() => fresh.throwIfOver(missing, "t"), { name: "TaskError", code: "task_unsupported", taskId: "t" });
  const known = new Outage(false);
  known.answered();
  assert.doesNotThrow(() => known.throwIfOver(missing, "t"));
  assert.throws(() => known.throwIfOver(RegistryError.refused("task_status", "not_found"), "t"), { code: "not_found" });
});
