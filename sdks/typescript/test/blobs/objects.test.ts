/** Blobs in the network's object store, and with the stores of the Rust and Python SDKs (docs/BLOBS.md). */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import path from "node:path";
import { after, before, test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";
import { connect, type NatsConnection } from "@nats-io/transport-node";

import { type AgentNode, BlobError, type BlobReference, BlobStore } from "../../src/index.js";
import { Network } from "../support/network.js";
import { Python } from "../support/python.js";
import { eventually } from "../support/wait.js";

let network: Network;
let raw: NatsConnection;
let node: AgentNode;
let shared: string;
before(async () => {
  network = await Network.start({ authorization: 'token: "plain_token"', credentials: "plain_token" });
  shared = path.join(network.directory, "blobs");
  raw = await connect({ servers: `127.0.0.1:${network.port}`, token: "plain_token", inboxPrefix: "_AGENTNET" });
  node = await network
    .node({ agentId: "painter", username: "painter", blobs: { storage: "nats_object", dir: shared } })
    .start();
});
after(async () => {
  await raw?.close();
  await network.stop();
});

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const code = (expected: string) => (error: unknown) => error instanceof BlobError && error.code === expected;

/** What the stream of the bucket holds. */
async function stored(): Promise<Record<string, number>> {
  const jsm = await jetstreamManager(raw);
  const info = await jsm.streams.info("OBJ_agentnet_blobs", { subjects_filter: ">" });
  return info.state.subjects ?? {};
}

test("blobs of any size are stored and read back, and pieces are of the usual size", async () => {
  assert.equal(await node.blobs.head("blob_none"), undefined, "there is no bucket yet");
  await assert.rejects(node.blobs.getBytes("blob_none"), code("blob_not_found"));
  assert.equal(await node.blobs.delete("blob_none"), false);
  for (const size of [0, 1, 131_072, 131_073, 5_000_000]) {
    const bytes = randomBytes(size);
    const seen: number[] = [];
    const blob = await node.blobs.putBytes(bytes, { filename: "dätä.bin", progress: (done) => seen.push(done) });
    assert.deepEqual([blob.storage, blob.size, blob.sha256], ["nats_object", size, sha256(bytes)]);
    assert.equal(seen.at(-1), size);
    assert.deepEqual(Buffer.from(await node.blobs.getBytes(blob)), bytes);
    assert.deepEqual(await node.blobs.head(blob.blobId), blob);
    const pieces = Object.entries(await stored()).filter(([subject]) => subject.includes(".C."));
    assert.equal(
      pieces.reduce((sum, [, count]) => sum + count, 0),
      Math.ceil(size / 131_072),
    );
    assert.equal(await node.blobs.delete(blob), true);
    assert.deepEqual(await stored(), {}, "nothing is left");
  }
});

test("other clients of the object store read our blobs, and we read their objects", async () => {
  const bytes = randomBytes(300_000);
  const blob = await node.blobs.putBytes(bytes);
  const bucket = await new Objm(raw).open("agentnet_blobs");
  const theirs = await bucket.getBlob(blob.blobId);
  assert.deepEqual(Buffer.from(theirs ?? []), bytes);
  await bucket.putBlob({ name: "report-1" }, bytes);
  const found = await node.blobs.head("report-1");
  assert.deepEqual([found?.size, found?.sha256, found?.storage], [300_000, sha256(bytes), "nats_object"]);
  assert.deepEqual(Buffer.from(await node.blobs.getBytes("report-1")), bytes);
  await bucket.delete("report-1");
  assert.equal(await node.blobs.head("report-1"), undefined);
  const own = BlobStore.network(raw);
  assert.deepEqual(Buffer.from(await own.getBytes(blob)), bytes);
});

test("Rust and Python read our blobs, and we read theirs: by the object store and by a directory", async () => {
  for (const storage of ["nats_object", "local_fs"] as const) {
    const environment = { AGENTNET_BLOB_STORAGE: storage, AGENTNET_BLOB_DIR: shared };
    const python = await Python.agent(network, `python-${storage.slice(0, 4)}`, environment);
    const text = `héllo ${"x".repeat(400_000)}`;
    const theirs = await python.call<Record<string, unknown>>("put", { text, filename: "a.txt" });
    assert.equal(theirs.storage, storage);
    const reference: BlobReference = {
      blobId: String(theirs.blob_id),
      storage: String(theirs.storage),
      mimeType: "",
      size: 0,
      sha256: String(theirs.sha256),
    };
    assert.equal(await node.blobs.getText(reference), text);
    assert.equal((await node.blobs.head(reference))?.mimeType, "text/plain");

    const store = storage === "local_fs" ? BlobStore.local(shared) : node.blobs;
    const ours = await store.putBytes(text);
    await node.sendBlobRef(`@python-${storage.slice(0, 4)}`, ours);
    const got = await python.next("blob");
    assert.deepEqual([got.size, got.sha256], [ours.size, ours.sha256]);
    await python.program.stop();
  }
});

test("the pieces and what is asked for them are not in the history", async () => {
  await node.blobs.getBytes(await node.blobs.putBytes(randomBytes(300_000)));
  const jsm = await jetstreamManager(raw);
  const history = await jsm.streams.info("AGENTNET_HISTORY", { subjects_filter: ">" });
  const subjects = Object.keys(history.state.subjects ?? {});
  assert.ok(!subjects.some((subject) => /^(\$O|\$JS|_AGENTNET)/.test(subject)), subjects.join());
  const plain = await connect({ servers: `127.0.0.1:${network.port}`, token: "plain_token" });
  await assert.rejects(BlobStore.network(plain).putBytes("x"), code("blob_inbox_prefix"));
  await plain.close();
});

test("a put that fails takes back what it has sent, and a sweep removes what a killed one left", async () => {
  const before = await stored();
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield randomBytes(3_000_000);
    throw new Error("the disk is on fire");
  }
  await assert.rejects(node.blobs.putStream(broken()), code("blob_source"));
  assert.deepEqual(await stored(), before);
  const abort = new AbortController();
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (let count = 0; ; count += 1) {
      if (count === 5) abort.abort(new Error("enough"));
      yield randomBytes(500_000);
    }
  }
  await assert.rejects(node.blobs.putStream(endless(), { signal: abort.signal }), /enough/);
  await eventually("nothing is left", async () => JSON.stringify(await stored()) === JSON.stringify(before));

  const jsm = await jetstreamManager(raw);
  raw.publish("$O.agentnet_blobs.C.LEFT", randomBytes(1_000));
  await raw.flush();
  assert.equal(await node.blobs.sweep(3_600_000), 0, "it may be under way");
  assert.equal(await node.blobs.sweep(0), 1);
  assert.deepEqual(await stored(), before);
  assert.ok((await jsm.streams.info("OBJ_agentnet_blobs")).state.messages > 0, "whole blobs stay");
});

test("damage and loss are found", async () => {
  const blob = await node.blobs.putBytes(randomBytes(600_000));
  const chunk = Object.entries(await stored()).find(([subject, count]) => subject.includes(".C.") && count === 5)?.[0];
  assert.ok(chunk);
  const jsm = await jetstreamManager(raw);
  const last = await jsm.streams.getMessage("OBJ_agentnet_blobs", { last_by_subj: chunk });
  await jsm.streams.deleteMessage("OBJ_agentnet_blobs", last?.seq ?? 0);
  await assert.rejects(node.blobs.getBytes(blob), /is damaged: it ends after 524288 of 600000 bytes/);
  raw.publish(chunk, randomBytes(75_712));
  await raw.flush();
  await assert.rejects(node.blobs.getBytes(blob), /is damaged: its sha256 is/);
});

test("a reader that is slow holds few pieces, and a get goes on after the connection was lost", async () => {
  const bytes = randomBytes(8_000_000);
  const blob = await node.blobs.putBytes(bytes);
  const received: Uint8Array[] = [];
  const { inMsgs } = node.session().connection.nats.stats();
  for await (const piece of await node.blobs.open(blob)) {
    received.push(piece);
    if (received.length === 3) {
      const taken = node.session().connection.nats.stats().inMsgs - inMsgs;
      assert.ok(taken < 40, `${taken} messages were taken in for three pieces`);
      await network.stopServer();
      await network.startServer();
    }
  }
  assert.deepEqual(Buffer.concat(received), bytes);
});

test("a put notices that the connection is lost, and is repeated by the program", async () => {
  await eventually("the connection is back", () => node.session().connection.isConnected);
  async function* source(): AsyncGenerator<Uint8Array> {
    yield randomBytes(1_000_000);
    await network.stopServer();
    await network.startServer();
    yield randomBytes(1_000_000);
  }
  await assert.rejects(node.blobs.putStream(source()), code("blob_connection_lost"));
  await eventually("the connection is back", () => node.session().connection.isConnected);
  assert.equal((await node.blobs.putBytes("again")).size, 5);
});

test("a get gives up when nothing comes, and a node that closes ends its puts", async () => {
  const own = new BlobStore({ storage: "nats_object", stallTimeoutMs: 500 }, node.session());
  const blob = await own.putBytes(randomBytes(5_000_000));
  const reading = (async () => {
    let isFirst = true;
    for await (const _ of await own.open(blob)) {
      if (isFirst) await network.stopServer();
      isFirst = false;
    }
  })();
  await assert.rejects(reading, code("blob_stalled"));
  await network.startServer();
  await eventually("the connection is back", () => node.session().connection.isConnected);

  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) yield randomBytes(100_000);
  }
  const putting = assert.rejects(node.blobs.putStream(endless()), code("blob_connection_lost"));
  await eventually("pieces are on their way", async () => Object.keys(await stored()).length > 0);
  await node.close();
  await putting;
  await assert.rejects(node.blobs.putBytes("x"), code("blob_not_connected"));
});

test("a server without JetStream is named", async () => {
  const without = await Network.start({ jetstream: false, registry: false });
  const nats = await connect({
    servers: `127.0.0.1:${without.port}`,
    token: "token@of:tests",
    inboxPrefix: "_AGENTNET",
  });
  await assert.rejects(BlobStore.network(nats).putBytes("x"), code("blob_no_jetstream"));
  await nats.close();
  await without.stop();
});
