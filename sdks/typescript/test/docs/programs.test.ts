/** Every program of docs/TYPESCRIPT.md and of the package's README.md: type-checked strictly against the built package, and run. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";

import type { AgentNode } from "../../src/index.js";
import { freePort, Network } from "../support/network.js";
import type { Program } from "../support/processes.js";
import { PACKAGE, REPOSITORY } from "../support/repository.js";
import { SecureNetwork } from "../support/secure-network.js";
import { eventually } from "../support/wait.js";

const PAGES = ["docs/TYPESCRIPT.md", "sdks/typescript/README.md"];

/** The programs by their names, which their first lines say: `// weather.ts`. */
const programs = new Map<string, string>();
for (const page of PAGES) {
  const blocks = [...readFileSync(join(REPOSITORY, page), "utf8").matchAll(/^```ts\n(.*?)^```$/gms)];
  assert.ok(blocks.length > 0, `${page} has no program`);
  for (const [, block = ""] of blocks) {
    const name = /^\/\/ ([a-z-]+)\.ts\n/.exec(block)?.[1];
    assert.ok(name !== undefined, `${page}: the first line of a program is its file's name:\n${block}`);
    assert.ok(!programs.has(name), `${page}: there are two programs called ${name}.ts`);
    programs.set(name, block);
  }
}

let folder: string;
let network: Network;
let webSocketPort: number;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "agentnet-docs-"));
  mkdirSync(join(folder, "node_modules/@types"), { recursive: true });
  symlinkSync(PACKAGE, join(folder, "node_modules/agentnet-sdk"));
  symlinkSync(join(PACKAGE, "node_modules/@types/node"), join(folder, "node_modules/@types/node"));
  for (const [name, source] of programs) writeFileSync(join(folder, `${name}.ts`), source);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  const compilerOptions = {
    target: "ES2022",
    module: "Node16",
    lib: ["ES2023", "ESNext.Disposable", "DOM"],
    types: ["node"],
    strict: true,
    noUncheckedIndexedAccess: true,
    outDir: "out",
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  webSocketPort = await freePort();
  network = await Network.start({ config: `websocket { listen: "127.0.0.1:${webSocketPort}", no_tls: true }` });
});

after(async () => {
  await network?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a program on the network; it is ended with the test file. */
function run(name: string, flags: string[] = [], environment: Record<string, string> = {}): Program {
  return network.spawn(process.execPath, [...flags, join(folder, "out", `${name}.js`)], environment, folder);
}

/** Runs a program to its end, which has to be a good one; what it printed. */
async function output(name: string, flags: string[] = [], environment: Record<string, string> = {}): Promise<string> {
  const program = run(name, flags, environment);
  assert.equal(await program.ended(), 0, `${name}.ts: ${program.stdout}${program.stderr}`);
  return program.stdout;
}

/** An agent that answers requests with a text. */
async function answering(username: string, text: string): Promise<AgentNode> {
  const node = network.node({ agentId: username, username, limits: { rateLimitBurst: 1_000 } });
  node.onMessage(async (message, context) => {
    if (message.wantsReply) await context.reply({ text });
  });
  return await node.start();
}

/** What is done with each program. */
const SCENARIOS: Readonly<Record<string, () => Promise<void>>> = {
  "agent-a": async () => {
    const bot = await answering("mesh_agent_1", "Celtics");
    const poet = network.node({ agentId: "poet", username: "poet" });
    poet.onMessage(async (_message, context) => {
      await using stream = await context.replyStream();
      for (const word of ["roses ", "are ", "red"]) await stream.delta(word);
      await stream.end();
    });
    await poet.start();
    const printed = await output("agent-a");
    assert.match(printed, /^mesh_agent_1$/m);
    assert.match(printed, /^Celtics$/m);
    assert.match(printed, /^roses are red/m);
    // The registry stores messages a moment after they were sent: another run sees those of this one at the latest.
    await eventually("the thread is printed", async () =>
      /Z \{"text":"Which pick\?"\}$/m.test(await output("agent-a")),
    );
    await Promise.all([bot.close(), poet.close()]);
  },
  weather: async () => {
    const program = run("weather");
    await network.online("weather_bot");
    const asker = await network.node({ agentId: "asker" }).start();
    assert.equal((await asker.request("@weather_bot", { text: "and tomorrow?" })).text, "sunny");
    await program.printed(/^asker says \{"text":"and tomorrow\?"\}$/m);
    program.kill("SIGTERM");
    assert.equal(await program.ended(), 0, program.stderr);
    await Promise.all([asker.close(), network.offline("weather_bot")]);
  },
  errors: async () => {
    assert.match(await output("errors"), /^no such account: .*nobody_here/m);
    const refusing = network.node({ agentId: "refusing", username: "weather_bot" });
    refusing.onMessage((_message, context) => context.reply({ error: "no_forecast", detail: "the sky is hidden" }));
    await refusing.start();
    assert.match(await output("errors"), /^the agent reports: no_forecast the sky is hidden$/m);
    await refusing.close();
  },
  echo: async () => {
    const program = run("echo");
    await network.online("echo");
    const asker = await network.node({ agentId: "asker" }).start();
    assert.equal((await asker.request("@echo", { text: "hi" })).text, "You said: hi");
    program.kill("SIGINT");
    assert.equal(await program.ended(), 0, program.stderr);
    await asker.close();
  },
  payloads: async () => {
    assert.equal(
      await output("payloads"),
      '{"n":1.0,"big":12345678901234567890,"none":NaN}\n{"big":1e400,"zero":-0.0}\n[1.0,12345678901234567890]\n',
    );
  },
  streams: async () => {
    assert.equal(await output("streams"), 'roses are red\nwhole: roses are red, result: {"words":3}\n');
  },
  mailbox: async () => {
    const printed = await output("mailbox");
    assert.match(printed, /^queued - .*kept until /m);
    assert.match(printed, /^1 waiting$/m);
    assert.match(printed, /^the worker got: water the plants$/m);
  },
  tasks: async () => {
    const printed = await output("tasks");
    assert.match(printed, /^created by boss$/m);
    assert.match(printed, /^claimed $/m);
    assert.match(printed, /^progress half of them$/m);
    assert.match(printed, /^completed \{ watered: 12 \}$/m);
  },
  blobs: async () => {
    assert.equal(await output("blobs"), "chart.svg image/svg+xml <svg/>\n");
  },
  signed: async () => {
    const signed = await Network.start({ environment: { DEV_AUTH: "true" } });
    try {
      assert.equal(await output("signed", [], { AGENTNET_NATS_URL: signed.url }), "signed by bob\nnew key: true\n");
    } finally {
      await signed.stop();
    }
  },
  member: async () => {
    const secure = await SecureNetwork.start();
    try {
      const { url } = await secure.member("alice");
      assert.equal(await output("member", [], { AGENTNET_NATS_URL: url }), "@alice has joined\n");
    } finally {
      await secure.stop();
    }
  },
  registry: async () => {
    const node = network.node({ agentId: "rainy", username: "rainy", capabilities: ["weather"] });
    await node.start();
    const printed = await output("registry");
    assert.match(printed, /^@rainy rainy \[ 'weather' \]$/m);
    assert.match(printed, /^\d+ online, \d+ with the weather$/m);
    await node.close();
  },
  page: async () => {
    const poet = network.node({ agentId: "poet", username: "poet" });
    poet.onMessage((_message, context) => context.reply("violets are blue"));
    await poet.start();
    // Node.js has WebSocket by this flag up to version 21; of the page, the program needs one call.
    const program = join(folder, "out/page.js");
    const url = `ws://${network.url.slice("nats://".length).replace(String(network.port), String(webSocketPort))}`;
    const source = readFileSync(program, "utf8").replace("ws://agentnet_secret_token@127.0.0.1:4280", url);
    const body = "{ append: (text) => process.stdout.write(text) }";
    const page = `globalThis.document = Object.assign(new EventTarget(), { visibilityState: "visible", body: ${body} });`;
    writeFileSync(program, `${page}\n${source}`);
    assert.equal(await output("page", ["--experimental-websocket"]), "violets are blue");
    await poet.close();
  },
  client: async () => {
    const bot = await answering("weather_bot", "rain");
    const printed = await output("client");
    assert.match(printed, /^ts_bridge$/m);
    assert.match(printed, /^\{ text: 'rain' \}$/m);
    await bot.close();
  },
};

test("every program is type-checked strictly, the package's types included", () => {
  const tsc = createRequire(join(PACKAGE, "package.json")).resolve("typescript/bin/tsc");
  try {
    execFileSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
  } catch (error) {
    assert.fail((error as { stdout?: string }).stdout ?? String(error));
  }
});

test("every program has a scenario here", () => {
  assert.deepEqual(Object.keys(SCENARIOS).sort(), [...programs.keys()].sort());
});

for (const [name, scenario] of Object.entries(SCENARIOS)) test(`${name}.ts runs and does what the page says`, scenario);
