/** The rows of docs/PYTHON.md about large data and about signing, with `AgentSDK`, `ThreadSession`, `AgentWrapper` and the client. */

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";

import {
  AgentNetClient,
  AgentSDK,
  AgentWrapper,
  BlobNotFoundError,
  type BlobReference,
  DevAuth,
  isBlobRef,
  type Message,
  parseBlobRef,
} from "../../src/index.js";
import { Network, QuietLogger } from "../support/network.js";
import { eventually } from "../support/wait.js";

let directory: string;
before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "agentnet-sdk-blobs-"));
});
after(() => rm(directory, { recursive: true, force: true }));

test("send large data: store it, send its reference, read it there; in a directory and in the network's store", async () => {
  const network = await Network.start();
  try {
    for (const storage of ["local_fs", "nats_object"] as const) {
      const blobs = { dir: path.join(directory, storage), storage };
      const got: Message[] = [];
      const reader = AgentSDK.on(network.node({ agentId: `reader_${storage}`, username: `reader_${storage}`, blobs }));
      reader.receive((message) => void got.push(message));
      await reader.start();
      const sdk = await AgentSDK.on(network.node({ agentId: "sender", username: "sender", blobs })).start();
      const file = path.join(directory, "chart.png");
      await writeFile(file, Buffer.alloc(600_000, 7));
      const chart: BlobReference = await sdk.putBlobFile(file);
      assert.deepEqual(
        [chart.filename, chart.mimeType, chart.size, chart.storage],
        ["chart.png", "image/png", 600_000, storage],
      );
      const text = await sdk.putBlobBytes("grüße", { filename: "a.txt" });
      await sdk.sendBlobRef(`@reader_${storage}`, chart, { until: "processed" });
      const thread = sdk.thread("blobs_1", "before");
      await thread.sendBlobRef(`@reader_${storage}`, text);
      const wrapper = new AgentWrapper({ agentId: "w", natsUrl: network.url, logger: new QuietLogger(), blobs });
      await wrapper.connect();
      await wrapper.sendBlobRef({ toUsername: `reader_${storage}`, blob: text });
      await wrapper.close();
      await eventually("three references", () => got.length === 3);
      const [first, second] = got.map((message) => {
        assert.ok(isBlobRef(message.payload));
        return parseBlobRef(message.payload);
      });
      assert.ok(first !== undefined && second !== undefined);
      assert.equal(got[1]?.parentMessageId, "before");
      assert.equal((await reader.getBlobBytes(first)).length, 600_000);
      assert.equal(await reader.getBlobText(second), "grüße");
      const copy = path.join(directory, "copy.png");
      await reader.getBlobToFile(first, copy);
      assert.equal((await readFile(copy)).length, 600_000);
      assert.equal((await reader.headBlob(first))?.sha256, chart.sha256);
      assert.equal(await reader.deleteBlob(first), true);
      assert.equal(await reader.deleteBlob(chart), false);
      assert.equal(await reader.headBlob(chart.blobId), undefined);
      await assert.rejects(sdk.getBlobBytes(chart), BlobNotFoundError);
      await assert.rejects(sdk.sendBlobRef("@x", { type: "other", blob_id: "b" } as never), {
        code: "invalid_blob_ref",
      });
      await sdk.stop();
    }
  } finally {
    await network.stop();
  }
});

test("sign: every class does, on a network that takes only what is signed", async () => {
  const network = await Network.start({ environment: { DEV_AUTH: "true" } });
  const keyDir = path.join(directory, "keys");
  const logger = new QuietLogger();
  const options = { natsUrl: network.url, logger, devAuth: new DevAuth({ keyDir }) };
  const sdk = new AgentSDK({ agentId: "signing_sdk", username: "signing_sdk", ...options });
  const wrapper = new AgentWrapper({ agentId: "signing_wrapper", username: "signing_wrapper", ...options });
  const client = new AgentNetClient({ agentId: "signing_client", name: "c", username: "signing_client", ...options });
  try {
    sdk.receive(async (message, context) => {
      if (message.wantsReply) await context.reply({ text: `${message.fromAgent} is known` });
    });
    await sdk.start();
    await wrapper.connect();
    await client.start();
    await client.subscribeInbox(async (_message, ctx) => void (await ctx.reply({ text: "signed too" })));
    const asked = await wrapper.request({ toUsername: "signing_sdk", payload: { text: "hi" }, timeoutMs: 20_000 });
    assert.equal(asked.text, "signing_wrapper is known");
    const reply = await client.request("@signing_sdk", { text: "hi" }, { timeoutMs: 20_000 });
    assert.deepEqual(reply.payload, { text: "signing_client is known" });
    assert.ok(reply.auth !== undefined);
    assert.equal((await sdk.askText("@signing_client", "and you?", { timeoutMs: 20_000 })).text, "signed too");
    await client.send("@signing_sdk", {}, { requireDeliveryAck: true });
    assert.ok((await readFile(path.join(keyDir, "signing_sdk.json"), "utf8")).length > 0);
    const unsigned = new AgentSDK({ agentId: "unsigned", natsUrl: network.url, logger, devAuth: false });
    await assert
      .rejects(unsigned.start(), { code: "registry_refused" })
      .catch(() => assert.rejects(unsigned.start(), { code: "auth_required" }));
  } finally {
    await Promise.all([sdk.stop(), wrapper.close(), client.close()]);
    await network.stop();
  }
});
