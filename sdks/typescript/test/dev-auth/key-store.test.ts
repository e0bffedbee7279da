/** Where keys are kept (PROTOCOL.md section 13.1). */

import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";

import { AgentNode, DevAuth, FileKeyStore, KeyError, MemoryKeyStore, SigningKey } from "../../src/index.js";
import { loadOrCreate } from "../../src/node/dev-auth/key-store.js";
import { AGENTNET, Program } from "../support/processes.js";

let directory: string;
before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "agentnet-keys-"));
});
after(() => rm(directory, { recursive: true, force: true }));

test("a key file is made once, whole, for its owner alone, and by one of those who try at once", async () => {
  const store = new FileKeyStore(path.join(directory, "new", "keys"));
  const keys = await Promise.all(Array.from({ length: 20 }, () => loadOrCreate(store, "alice.json")));
  assert.equal(new Set(keys.map((key) => key.publicKey)).size, 1);
  assert.equal((await stat(path.join(store.directory, "alice.json"))).mode & 0o7777, 0o600);
  assert.equal((await stat(store.directory)).mode & 0o7777, 0o700);
  assert.deepEqual(await readdir(store.directory), ["alice.json"], "nothing else is left");
  assert.equal((await loadOrCreate(store, "alice.json")).publicKey, keys[0]?.publicKey);
  assert.equal(await store.load("bob.json"), undefined);
});

test("the Rust implementation reads our key files, and we read its", async () => {
  const store = new FileKeyStore(path.join(directory, "shared"));
  const ours = await loadOrCreate(store, "ours.json");
  const run = async (...args: string[]): Promise<string> => {
    const program = new Program(AGENTNET, ["keys", ...args, "--key-dir", store.directory]);
    assert.equal(await program.ended(), 0, program.stderr);
    return program.stdout;
  };
  assert.ok((await run("show", "--as", "ours")).includes(ours.publicKey));
  const made = await run("new", "--as", "theirs");
  assert.ok(made.includes((await store.load("theirs.json"))?.publicKey ?? "no key"));
});

test("files that cannot be used are errors that say what to do, and stay as they are", async () => {
  const store = new FileKeyStore(path.join(directory, "broken"));
  const key = await loadOrCreate(store, "exposed.json");
  const exposed = path.join(store.directory, "exposed.json");
  await chmod(exposed, 0o644);
  await assert.rejects(loadOrCreate(store, "exposed.json"), (error: unknown) => {
    return error instanceof KeyError && error.code === "invalid_key" && /mode 0644.*chmod 600/.test(error.message);
  });
  await chmod(exposed, 0o600);
  assert.equal((await loadOrCreate(store, "exposed.json")).publicKey, key.publicKey);

  const other = await SigningKey.generate();
  const mixed = key.toKeyFile().replace(key.publicKey, other.publicKey);
  for (const content of ["", "{", '{"private_key":"AA","public_key":"AA"}', mixed, "x".repeat(70_000)]) {
    const file = path.join(store.directory, "damaged.json");
    await writeFile(file, content, { mode: 0o600 });
    await assert.rejects(loadOrCreate(store, "damaged.json"), /is damaged: .*It is not replaced/);
    assert.equal(await readFile(file, "utf8"), content);
  }
  await symlink(exposed, path.join(store.directory, "link.json"));
  assert.equal((await store.load("link.json"))?.publicKey, key.publicKey, "an administrator may link a key file");
  await assert.rejects(store.load("../broken/exposed.json"), KeyError);
  await assert.rejects(
    new FileKeyStore(path.join(exposed, "below a file")).create("a.json", key),
    /cannot write the key file/,
  );
});

test("keys are replaced and removed", async () => {
  for (const store of [new FileKeyStore(path.join(directory, "replaced")), new MemoryKeyStore()]) {
    const first = await loadOrCreate(store, "a.json");
    const second = await SigningKey.generate();
    assert.equal(await store.create("a.json", second), false);
    assert.equal((await store.load("a.json"))?.publicKey, first.publicKey);
    await store.replace("a.json", second);
    assert.equal((await store.load("a.json"))?.publicKey, second.publicKey);
    await store.remove("a.json");
    await store.remove("a.json");
    assert.equal(await store.load("a.json"), undefined);
  }
});

test("the environment asks for signed identity, and options go before it", () => {
  const before = process.env.DEV_AUTH;
  const natsUrl = "nats://127.0.0.1:1";
  try {
    process.env.DEV_AUTH = "maybe";
    assert.throws(() => new AgentNode({ agentId: "a", natsUrl }), /DEV_AUTH must be true or false, not "maybe"/);
    assert.ok(new AgentNode({ agentId: "a", natsUrl, devAuth: false }));
    process.env.DEV_AUTH = "yes";
    assert.ok(new AgentNode({ agentId: "a", natsUrl }).config.identity instanceof DevAuth);
    process.env.DEV_AUTH = " ";
    assert.ok(!(new AgentNode({ agentId: "a", natsUrl }).config.identity instanceof DevAuth));
    assert.ok(new AgentNode({ agentId: "a", natsUrl, devAuth: true }).config.identity instanceof DevAuth);
  } finally {
    if (before === undefined) delete process.env.DEV_AUTH;
    else process.env.DEV_AUTH = before;
  }
});

test("a DevAuth takes one source of keys", async () => {
  const key = await SigningKey.generate();
  assert.throws(() => new DevAuth({ key, keyDir: directory }), /give one of/);
});
