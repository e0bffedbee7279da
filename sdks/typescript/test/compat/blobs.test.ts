/** Blobs by the names of the original's TypeScript SDK. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";

import {
  AgentNetClient,
  AgentNetError,
  type BlobRef,
  isBlobRef,
  LocalBlobStore,
  parseBlobRef,
} from "../../src/index.js";
import { Network, QuietLogger } from "../support/network.js";
import { eventually } from "../support/wait.js";

let directory: string;
before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "agentnet-blobs-"));
});
after(() => rm(directory, { recursive: true, force: true }));

const BYTES = new TextEncoder().encode("grüße");
const HASH = createHash("sha256").update(BYTES).digest("hex");

/** The code of the AgentNetError that a call ends with. */
async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof AgentNetError, String(error));
    assert.equal(error.name, "AgentNetError");
    return error.code;
  }
  throw new assert.AssertionError({ message: "it did not fail" });
}

/** What holds of the store and of the client. */
async function roundTrip(store: LocalBlobStore | AgentNetClient, folder: string): Promise<void> {
  const blob: BlobRef = await store.putBlobBytes(BYTES, "hello.txt", "text/plain");
  assert.match(blob.created_at, /^\d{4}-.*Z$/);
  const { blob_id, created_at } = blob;
  const wanted: BlobRef = {
    type: "blob_ref",
    blob_id,
    storage: "local_fs",
    filename: "hello.txt",
    mime_type: "text/plain",
    size_bytes: BYTES.length,
    sha256: HASH,
    created_at,
  };
  assert.deepEqual(blob, wanted);
  assert.deepEqual(await readFile(path.join(folder, "data", blob_id)), Buffer.from(BYTES), "where all SDKs look");
  assert.deepEqual(Buffer.from(await store.getBlobBytes(blob_id)), Buffer.from(BYTES));
  assert.deepEqual(Buffer.from(await store.getBlobBytes(blob)), Buffer.from(BYTES));
  assert.equal(await store.getBlobText(blob_id), "grüße");
  assert.deepEqual(await store.headBlob(blob_id), blob);
  const source = path.join(folder, "source.bin");
  await writeFile(source, BYTES);
  const file = await store.putBlobFile(source);
  assert.deepEqual([file.filename, file.sha256], ["source.bin", HASH]);
  assert.equal((await store.putBlobBytes(BYTES, "plain")).mime_type, "application/octet-stream");
  await store.deleteBlob(blob_id);
  await store.deleteBlob(blob_id);
  assert.equal(await codeOf(store.getBlobBytes(blob_id)), "blob_not_found");
  assert.equal(await codeOf(store.getBlobText(blob_id)), "blob_not_found");
  assert.equal(await codeOf(store.headBlob(blob_id)), "blob_not_found");
  assert.equal(await codeOf(store.getBlobBytes("../etc/passwd")), "blob_id_invalid");
}

test("the local store keeps bytes and files where all SDKs do", async () => {
  const store = new LocalBlobStore({ baseDir: directory });
  await roundTrip(store, directory);
});

test("the client has the same calls, and sends references", async () => {
  const network = await Network.start();
  const made: AgentNetClient[] = [];
  const client = (name: string): AgentNetClient => {
    const one = new AgentNetClient({
      natsUrl: network.url,
      agentId: name,
      name,
      username: name,
      blobs: { dir: directory },
      logger: new QuietLogger(),
    });
    made.push(one);
    return one;
  };
  try {
    const sender = client("blob_sender");
    const stored = await sender.putBlobBytes(BYTES, "before.txt");
    assert.equal(await sender.getBlobText(stored.blob_id), "grüße", "also before it is connected");
    await sender.start();
    await roundTrip(sender, directory);
    const receiver = client("blob_receiver");
    await receiver.start();
    const texts: string[] = [];
    await receiver.subscribeInbox(async (message) => {
      if (isBlobRef(message.payload)) texts.push(await receiver.getBlobText(parseBlobRef(message.payload)));
    });
    await sender.sendBlobRef("@blob_receiver", stored, { threadId: "blobs_1", requireDeliveryAck: true });
    await eventually("the blob arrives", () => texts[0] === "grüße");
  } finally {
    await Promise.all(made.map((one) => one.close()));
    await network.stop();
  }
});

test("references are read from payloads, and nothing else is", () => {
  const payload = { type: "blob_ref", blob_id: "b_1", storage: "local_fs", size_bytes: 3 };
  assert.equal(isBlobRef(payload), true);
  const blob = parseBlobRef(payload);
  assert.deepEqual([blob.blob_id, blob.mime_type, blob.size_bytes], ["b_1", "application/octet-stream", 3]);
  for (const other of [null, "blob_ref", {}, { type: "blob_ref" }, { ...payload, sha256: "x" }, () => 1]) {
    assert.equal(isBlobRef(other), false);
    assert.throws(() => parseBlobRef(other), { code: "invalid_blob_ref", name: "AgentNetError" });
  }
});
