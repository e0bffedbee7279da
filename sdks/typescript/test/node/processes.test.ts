import assert from "node:assert/strict";
import path from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect } from "@nats-io/transport-node";

import { freePort, Network, TOKEN } from "../support/network.js";
import { type Program, runArguments } from "../support/processes.js";
import { eventually } from "../support/wait.js";

let network: Network;
before(async () => {
  network = await Network.start();
});
after(() => network.stop());

/** Runs one of the programs of test/support/programs on the runtime of the test. */
function run(name: string, args: string[] = [], environment: Record<string, string> = {}): Program {
  const file = path.join(path.dirname(fileURLToPath(import.meta.url)), "../support/programs", `${name}.mjs`);
  return network.spawn(process.execPath, [...runArguments(file), ...args], environment);
}

test("a program that closes its node ends by itself: no timer and no socket is left", async () => {
  await network.echo("echo");
  const program = run("one-send", ["@echo"]);
  assert.equal(await program.ended(), 0, program.stderr);
  assert.equal(program.stdout, "done and back\n");
});

test("a failed start leaves nothing that keeps the process alive", async () => {
  const program = run("no-server", [], { AGENTNET_NATS_URL: `nats://127.0.0.1:${await freePort()}` });
  assert.equal(await program.ended(), 0, program.stderr);
  assert.equal(program.stdout, "connect_failed\n");
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test(`startForever closes at ${signal}, with a goodbye`, async () => {
    const program = run("forever");
    await program.printed(/ready/);
    await network.online("forever-program");
    program.kill(signal);
    assert.equal(await program.ended(), 0, program.stderr);
    assert.match(program.stdout, /closed/);
    await network.offline("forever-program");
  });
}

test("a running node keeps its process alive, and a killed one is offline after its time to live", async () => {
  const short = await Network.start({
    environment: { AGENT_TTL_SECONDS: "2", HEARTBEAT_INTERVAL_SECONDS: "1", GC_INTERVAL_SECONDS: "0.2" },
  });
  try {
    const program = run("forever", [], { AGENTNET_NATS_URL: short.url });
    await program.printed(/ready/);
    // Longer than the time to live: the heartbeats keep it online.
    const nats = await connect({ servers: `127.0.0.1:${short.port}`, token: TOKEN });
    let hellos = 0;
    nats.subscribe("registry.hello", {
      callback: () => {
        hellos += 1;
      },
    });
    await eventually("four heartbeats", () => hellos >= 4);
    await nats.close();
    assert.equal(program.hasEnded, false);
    await short.online("forever-program");
    await program.stop("SIGKILL");
    await short.offline("forever-program");
  } finally {
    await short.stop();
  }
});
