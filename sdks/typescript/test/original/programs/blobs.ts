/** A program for the original's later client, with its blobs: it stores, sends, receives, reads and deletes them. */
import assert from "node:assert/strict";
import { AgentNetClient, AgentNetError, type BlobRef, isBlobRef, LocalBlobStore, parseBlobRef } from "agentnet-sdk";

const natsUrl = process.env.AGENTNET_NATS_URL ?? "nats://agentnet_secret_token@localhost:4222";
const receiver = new AgentNetClient({ natsUrl, agentId: "blob_reader", name: "Reader", username: "blob_reader" });
const sender = new AgentNetClient({ natsUrl, agentId: "blob_writer", name: "Writer", username: "blob_writer" });
await receiver.start();
await sender.start();

const arrived = new Promise<BlobRef>((resolve) => {
  void receiver.subscribeInbox(async (message) => {
    if (isBlobRef(message.payload)) resolve(parseBlobRef(message.payload));
  });
});
const stored: BlobRef = await sender.putBlobBytes(new TextEncoder().encode("a large text"), "a.txt", "text/plain");
const file: BlobRef = await sender.putBlobFile(process.argv[1] ?? "");
assert.ok(file.size_bytes > 0 && file.filename.endsWith(".js"));
const messageId: string = await sender.sendBlobRef("@blob_reader", stored, {
  threadId: "blobs",
  requireDeliveryAck: true,
});
assert.ok(messageId);
const blob = await arrived;
assert.deepEqual(
  [blob.blob_id, blob.storage, blob.mime_type, blob.sha256],
  [stored.blob_id, "local_fs", "text/plain", stored.sha256],
);
const bytes: Uint8Array = await receiver.getBlobBytes(blob.blob_id);
assert.equal(bytes.length, blob.size_bytes);
assert.equal(await receiver.getBlobText(blob.blob_id), "a large text");
const head: BlobRef = await receiver.headBlob(blob.blob_id);
assert.equal(head.created_at, blob.created_at);
await receiver.deleteBlob(blob.blob_id);
await receiver.deleteBlob(blob.blob_id);
try {
  await receiver.headBlob(blob.blob_id);
  assert.fail("it is gone");
} catch (err) {
  assert.ok(err instanceof AgentNetError && err.code === "blob_not_found");
}
const store = new LocalBlobStore();
assert.equal((await store.headBlob(file.blob_id)).sha256, file.sha256);
await store.deleteBlob(file.blob_id);
try {
  parseBlobRef({ type: "text" });
  assert.fail("it is none");
} catch (err) {
  assert.ok(err instanceof AgentNetError && err.code === "invalid_blob_ref");
}
await sender.close();
await receiver.close();
console.log("done");
