/** Vectors of tasks (PROTOCOL.md section 22). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonObject, ObjectWriter, RawJson, stringify } from "../../src/json/index.js";
import {
  decodeEnvelope,
  decodeTaskEvent,
  encodeHello,
  isBlockedTaskState,
  isTerminalTaskState,
  RPC,
  type Rpc,
  readTaskMessage,
  readTaskState,
  TASKS_CLAIM,
  taskMessagePayload,
  taskStatesOf,
  taskStatusOf,
} from "../../src/protocol/index.js";
import { checkEach } from "../support/vectors.js";

/** Members whose values are kept as they came. */
const ANY_JSON: readonly string[] = ["metadata", "result", "data", "payload", "checkpoint", "input"];
/** Members that are written only where they are true. */
const IF_TRUE: readonly string[] = ["resumable", "stalled", "cancel_requested"];

/** Registries read the member; of what they take for `claim`, this package writes one form. */
test("task_member", async () => {
  let written = 0;
  const agent = { agentId: "a", name: "a", capabilities: [], metadata: RawJson.EMPTY_OBJECT };
  const hello = JsonObject.parseBody(encodeHello(agent, undefined, undefined, false, true));
  const registration = JsonObject.parseBody(RPC.register.encode({ agent, claimsTasks: true }));
  await checkEach("task_member", (c) => {
    const mode = JsonObject.parseBody(c.text("wire"))?.get("tasks").raw;
    if (mode !== JSON.stringify(TASKS_CLAIM)) return;
    assert.equal(c.get("claim"), true);
    for (const body of [hello, registration]) assert.equal(body?.get("tasks").raw, mode);
    written += 1;
  });
  assert.ok(written > 0, "no case has the form that is written");
  assert.ok(!encodeHello(agent).includes('"tasks"'));
  assert.ok(!RPC.register.encode({ agent }).includes('"tasks"'));
});

test("task_states", () =>
  checkEach("task_states", (c) => {
    const state = readTaskState(c.text("state"));
    assert.equal(state, c.optText("known"));
    if (state === undefined) return;
    const status = taskStatusOf(state);
    assert.equal(status, c.text("status"));
    assert.ok(taskStatesOf(c.text("status"))?.includes(state));
    assert.equal(isTerminalTaskState(state), c.get("terminal"));
    assert.equal(isBlockedTaskState(state), c.get("blocked"));
  }));

test("task_messages", () =>
  checkEach("task_messages", (c) => {
    const read = readTaskMessage(decodeEnvelope(`{"message_id":"m","payload":${c.text("wire")}}`));
    assert.equal(read?.kind, c.optText("kind"));
    if (read === undefined) return;
    const { coordinator, metadata, parentTaskId, percent, phase, result, taskId, text, title } = read;
    assert.deepEqual([taskId, text, metadata.text], [c.text("task_id"), c.text("text"), c.text("metadata")]);
    assert.deepEqual([coordinator, title], [c.optText("coordinator"), c.optText("title")]);
    assert.deepEqual([parentTaskId, phase], [c.optText("parent_task_id"), c.optText("phase")]);
    assert.equal(percent ?? null, c.get("percent"));
    assert.equal(result?.text, c.optText("result"));
    assert.equal(taskMessagePayload(read, c.text("at")).text, c.text("reencoded"));
  }));

/** Replies are read here and written by registries: what was read has all members of the wire. */
test("task_replies", () =>
  checkEach("task_replies", (c) => {
    const call = (Object.values(RPC) as Rpc<never, object>[]).find(({ name }) => name === c.text("rpc"));
    assert.ok(call, `there is no RPC ${c.text("rpc")}`);
    assert.equal(rewritten(call.read(c.text("wire"))), sorted(c.text("reencoded")));
  }));

test("task_events", () =>
  checkEach("task_events", (c) => {
    assert.equal(rewritten(decodeTaskEvent(c.text("wire"))), sorted(c.text("reencoded")));
  }));

/** A record with the member names of the wire, its members sorted. */
function rewritten(record: object): string {
  return sorted(stringify(wireNames(record)));
}

function wireNames(value: unknown): unknown {
  if (value instanceof RawJson || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(wireNames);
  const members = Object.entries(value).map(([name, member]) => [snake(name), wireNames(member)] as const);
  return Object.fromEntries(members.filter(([name, member]) => member !== false || !IF_TRUE.includes(name)));
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Members in the order of their names, at every level but inside of any JSON; null members left out. */
function sorted(text: string): string {
  const object = JsonObject.parseBody(text);
  assert.ok(object);
  const out = new ObjectWriter();
  for (const [name, view] of [...object.entries()].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (view.isNull()) continue;
    const items = view.asArray();
    if (ANY_JSON.includes(name)) out.raw(name, view.raw);
    else if (view.kind === "object") out.raw(name, sorted(view.raw));
    else if (items === undefined) out.raw(name, view.raw);
    else out.raw(name, `[${items.map((item) => (item.kind === "object" ? sorted(item.raw) : item.raw)).join(",")}]`);
  }
  return out.finish();
}
