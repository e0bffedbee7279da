/**
 * The memory that 1 GiB takes on its way into a store and out of it.
 *
 * `AGENTNET_SOAK_MIB` (default 1,024) says how much.
 */

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";

import { BlobStore } from "../../src/index.js";
import { Network } from "../support/network.js";

const MIB = Number(process.env.AGENTNET_SOAK_MIB ?? 1_024);
/** What the process may grow by: a few pieces of 128 KiB and what the collector has not yet taken. */
const MAX_GROWTH_MIB = 200;

/** The largest growth of the process while the work goes on, in MiB. */
async function growth(work: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage().rss;
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss);
  }, 20);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return (peak - before) / 2 ** 20;
}

async function* source(): AsyncGenerator<Uint8Array> {
  for (let count = 0; count < MIB; count += 1) yield new Uint8Array(2 ** 20).fill(count);
}

test(`a blob of ${MIB} MiB takes little memory, in either store`, async (context) => {
  const network = await Network.start();
  try {
    const node = await network.node({ agentId: "painter", blobs: { storage: "nats_object" } }).start();
    for (const store of [BlobStore.local(`${network.directory}/blobs`), node.blobs]) {
      let blob = await store.putBytes("warm up");
      const put = await growth(async () => {
        blob = await store.putStream(source());
      });
      let size = 0;
      const get = await growth(async () => {
        for await (const piece of await store.open(blob)) size += piece.length;
      });
      assert.equal(size, MIB * 2 ** 20);
      await store.delete(blob);
      context.diagnostic(`${store.settings.storage}: put ${put.toFixed()} MiB, get ${get.toFixed()} MiB`);
      assert.ok(put < MAX_GROWTH_MIB, `a put grew the process by ${put.toFixed()} MiB`);
      assert.ok(get < MAX_GROWTH_MIB, `a get grew the process by ${get.toFixed()} MiB`);
    }
  } finally {
    await network.stop();
  }
});
