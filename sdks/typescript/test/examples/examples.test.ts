/** The examples, compiled against the packed package and run on a network. */

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";

import { Consumer } from "../support/consumer.js";
import { Network } from "../support/network.js";
import { PACKAGE } from "../support/repository.js";

const FOLDER = path.join(PACKAGE, "examples");
const FILES = readdirSync(FOLDER).filter((file) => file.endsWith(".ts"));

let network: Network;
let consumer: Consumer;
before(async () => {
  network = await Network.start();
  consumer = await Consumer.of(...FILES.map((file) => path.join(FOLDER, file)));
});
after(async () => {
  await network.stop();
  await consumer.remove();
});

test("the examples are those of the other languages", () => {
  const names = ["agent-a", "agent-b", "bridge", "list-agents", "rpc-client", "rpc-worker"];
  for (const name of names) assert.ok(FILES.includes(`${name}.ts`), name);
});

test("agent A finds agent B, asks it and goes; without it, it says what to do", async () => {
  const alone = consumer.run(network, "agent-a");
  assert.equal(await alone.ended(), 1);
  assert.match(alone.stderr, /agent_b is not online: run/);
  const b = consumer.run(network, "agent-b");
  await network.online("agent_b");
  const list = consumer.run(network, "list-agents", [network.url]);
  assert.equal(await list.ended(), 0, list.stderr);
  assert.match(list.stdout, /@agent_b Agent B \[ 'smalltalk' \]/);
  const a = consumer.run(network, "agent-a", [network.url]);
  assert.equal(await a.ended(), 0, a.stderr);
  assert.match(a.stdout, /found Agent B which can smalltalk\nagent_b says: Fine, thank you\.\n/);
  await b.printed(/got \{ text: 'Bye' \} from agent_a/);
  assert.equal(await b.stop("SIGINT"), 0, b.stderr);
  await network.offline("agent_b");
});

test("the RPC client calls the workers, in integers of any size", async () => {
  const workers = [consumer.run(network, "rpc-worker"), consumer.run(network, "rpc-worker")];
  await network.online("calculator");
  const client = consumer.run(network, "rpc-client");
  assert.equal(await client.ended(), 0, client.stderr);
  assert.deepEqual(client.stdout.trim().split("\n"), [
    (2n ** 70n + 4n).toString(),
    (2n ** 70n).toString(),
    "1",
    "refused: unknown_operation",
  ]);
  for (const worker of workers) assert.equal(await worker.stop("SIGTERM"), 0, worker.stderr);
});

test("the bridge makes a program an agent", async () => {
  const usage = consumer.run(network, "bridge");
  assert.equal(await usage.ended(), 2);
  assert.match(usage.stderr, /usage: bridge\.ts USERNAME PROGRAM/);
  const bridge = consumer.run(network, "bridge", ["shouter", "tr", "a-z", "A-Z"]);
  await network.online("shouter");
  const ask = (payload: string) => network.agentnet(["request", "--to-username", "shouter", payload, "--json"]);
  const asked = ask('{"text":"hello"}');
  assert.equal(await asked.ended(), 0, asked.stderr);
  assert.match(asked.stdout, /"HELLO"/);
  const refused = ask('{"number":1}');
  await refused.ended();
  assert.match(refused.stdout, /unsupported_payload/);
  assert.equal(await bridge.stop("SIGTERM"), 0, bridge.stderr);
  const failing = consumer.run(network, "bridge", ["failing", "false"]);
  await network.online("failing");
  const failed = network.agentnet(["request", "--to-username", "failing", '{"text":"hello"}', "--json"]);
  await failed.ended();
  assert.match(failed.stdout + failed.stderr, /handler_error/);
  assert.equal(await failing.stop("SIGTERM"), 0, failing.stderr);
});
