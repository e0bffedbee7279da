/** Deadlines on shared timers: they pass in time and in order, and leave no timer behind. */

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";

import { Deadlines } from "../../src/node/deadlines.js";
import { pause } from "../../src/node/waits.js";
import { eventually } from "../support/wait.js";

const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;

test("deadlines pass in their order, and not when they were cancelled", async () => {
  const deadlines = new Deadlines();
  const passed: string[] = [];
  const started = performance.now();
  deadlines.add(40, () => passed.push(`first ${performance.now() - started >= 38}`));
  const cancelled = deadlines.add(40, () => passed.push("cancelled"));
  await pause(20);
  deadlines.add(40, () => passed.push(`second ${performance.now() - started >= 58}`));
  deadlines.add(5, () => {
    passed.push("short");
    deadlines.add(5, () => passed.push("again"));
  });
  cancelled.cancel();
  cancelled.cancel();
  await eventually("all have passed", () => passed.length >= 4);
  // Waits of different lengths share no timer: a busy machine may let a longer one that is due pass first.
  const ofLength = (names: string[]) => passed.filter((name) => names.includes(name));
  assert.deepEqual(ofLength(["short", "again"]), ["short", "again"]);
  assert.deepEqual(ofLength(["first true", "second true"]), ["first true", "second true"]);
  assert.equal(passed.length, 4);
});

const knowsTimers = !("Deno" in globalThis || "Bun" in globalThis);

test("the end leaves no timer without a wait", { skip: !knowsTimers }, async () => {
  const before = timers();
  const deadlines = new Deadlines();
  for (let delay = 60_000; delay < 60_040; delay += 1) deadlines.add(delay, () => undefined).cancel();
  const last = deadlines.add(60_000, () => undefined);
  assert.ok(timers() - before <= 16, "waits of the same length share a timer, and other lengths leave none");
  deadlines.end();
  assert.equal(timers() - before, 1);
  last.cancel();
  assert.equal(timers(), before);
  deadlines.add(60_000, () => undefined).cancel();
  assert.equal(timers(), before);
});
