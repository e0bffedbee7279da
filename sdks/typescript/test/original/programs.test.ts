/**
 * Programs for the original's client, with only its import: each compiles, strictly, against what `npm pack` makes of this package,
 * and runs.
 */

import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { connect } from "@nats-io/transport-node";

import { Consumer } from "../support/consumer.js";
import { Network, TOKEN } from "../support/network.js";
import type { Program } from "../support/processes.js";
import { PACKAGE } from "../support/repository.js";

const FOLDER = path.join(PACKAGE, "test", "original", "programs");

let network: Network;
let consumer: Consumer;
before(async () => {
  network = await Network.start();
  await network.echo("echo");
  consumer = await Consumer.of(
    ...["every-method", "bridge", "quick-start", "blobs"].map((name) => path.join(FOLDER, `${name}.ts`)),
  );
});
after(async () => {
  await network.stop();
  await consumer.remove();
});

/** The values that a program has printed, by the names of their steps. */
function said(program: Program): Map<string, unknown> {
  const lines = program.stdout.trim().split("\n");
  const records = lines.map((line) => JSON.parse(line) as { step?: string; event?: string; value: unknown });
  return new Map(records.map((record) => [record.step ?? record.event ?? "", record.value]));
}

test("the programs are type-checked as bundlers and Node.js read it", async () => {
  await consumer.check({ module: "esnext", moduleResolution: "bundler" });
  await consumer.check({ module: "nodenext", exactOptionalPropertyTypes: false, noUnusedLocals: true });
  await consumer.check({ module: "nodenext", skipLibCheck: false });
});

test("the first program of the original's description runs, and ends by itself", async () => {
  const program = consumer.run(network, "quick-start");
  assert.equal(await program.ended(), 0, program.stderr);
  assert.equal(program.stdout, 'echo quick_start\n{"text":"Analyze this game."}\n');
});

test("a program that uses every method, type, function and constant runs", async () => {
  const program = consumer.run(network, "every-method");
  assert.equal(await program.ended(), 0, program.stdout + program.stderr);
  const steps = said(program);
  assert.deepEqual([...steps.keys()], ["started", "messages", "registry", "constants", "closed"]);
  const constants = steps.get("constants") as string[];
  assert.equal(new Set(constants).size, 11);
  assert.ok(constants.every((subject) => subject.startsWith("registry.")));
});

test("the bridge runs: it answers, asks, reads the thread, hears of compaction, and stops", async () => {
  const bridge = consumer.run(network, "bridge", ["my_bridge", "@echo"]);
  await bridge.printed(/"event":"ready"/);
  const ask = network.agentnet(["request", "--to-username", "my_bridge", '{"text":"hello bridge"}', "--json"]);
  assert.equal(await ask.ended(), 0, ask.stderr);
  assert.match(ask.stdout, /my_bridge got it/);
  const event = { type: "compaction_required", thread_id: "bridge_thread", approx_tokens: 60_025 };
  const send = network.agentnet(["send", "--to-username", "my_bridge", JSON.stringify(event)]);
  assert.equal(await send.ended(), 0, send.stderr);
  await bridge.printed(/"event":"compaction"/);
  bridge.child.stdin?.end();
  assert.equal(await bridge.ended(), 0, bridge.stderr);
  const events = said(bridge);
  assert.deepEqual((events.get("online") as string[]).includes("my_bridge"), true);
  assert.equal(events.get("profile"), "echo");
  assert.deepEqual(events.get("reply"), { text: "a question", thread: "bridge_thread" });
  assert.deepEqual(events.get("window"), ["direct", "reply", "request"]);
  const compaction = events.get("compaction") as Record<string, unknown>;
  assert.deepEqual([compaction.thread_id, compaction.approx_tokens], ["bridge_thread", 60_025]);
  await network.offline("my_bridge");
});

test("a program with blobs runs", async () => {
  const program = consumer.run(network, "blobs", [], { AGENTNET_BLOB_DIR: path.join(network.directory, "blobs") });
  assert.equal(await program.ended(), 0, program.stdout + program.stderr);
  assert.equal(program.stdout, "done\n");
});

test("messages on the wire are of the original's form", async () => {
  const nats = await connect({ servers: `127.0.0.1:${network.port}`, token: TOKEN });
  const seen: Record<string, unknown>[] = [];
  nats.subscribe("account.*.inbox", { callback: (_error, message) => void seen.push(message.json()) });
  await nats.flush();
  const program = consumer.run(network, "quick-start");
  assert.equal(await program.ended(), 0, program.stderr);
  await nats.flush();
  const request = seen.find((envelope) => envelope.from_agent === "quick_start");
  assert.deepEqual(Object.keys(request ?? {}), [
    "message_id",
    "from_agent",
    "to_agent",
    "payload",
    "sent_at",
    "kind",
    "schema_version",
    "from_session_tag",
    "from_account_id",
    "to_account_id",
    "ttl_ms",
    "expires_at",
    "trace_id",
    "thread_id",
  ]);
  assert.deepEqual([request?.kind, request?.schema_version, request?.ttl_ms], ["request", "1.1", 30_000]);
  await nats.close();
});
