/**
 * What stays in memory after 200,000 messages; a test of `make typescript-long`, run with `--expose-gc`.
 *
 * `AGENTNET_SOAK_MESSAGES` (default 200,000) says how many.
 */

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";

import { Network } from "../support/network.js";
import { eventually } from "../support/wait.js";

const MESSAGES = Number(process.env.AGENTNET_SOAK_MESSAGES ?? 200_000);
const SAMPLES = 10;
const IN_FLIGHT = 64;
/** What the heap may grow by from the first fifth of the messages on: 12 bytes a message, less than any object has. */
const MAX_GROWTH_BYTES = 2_000_000;

const collect = globalThis.gc;

/** The heap that is in use after a collection. */
async function heapUsed(): Promise<number> {
  assert.ok(collect !== undefined, "run this with --expose-gc, as `scripts/typescript.sh test soak` does");
  let used = Infinity;
  for (let round = 0; round < 4; round += 1) {
    // What has ended is released in turns of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    used = Math.min(used, process.memoryUsage().heapUsed);
  }
  return used;
}

test(`the heap is flat over ${MESSAGES} messages`, async (context) => {
  const network = await Network.start();
  try {
    // Ids are remembered for a second, so that they do not count as growth.
    const limits = { rateLimitPerSenderPerSec: 1e6, rateLimitBurst: 1_000_000, maxPending: 10_000, dedupeTtlMs: 1_000 };
    let handled = 0;
    const receiver = network.node({ agentId: "receiver", username: "receiver", limits });
    receiver.onMessage(async (message, context) => {
      handled += 1;
      if (message.wantsReply) await context.reply(message.payload);
    });
    await receiver.start();
    const sender = await network.node({ agentId: "sender", username: "sender" }).start();
    const call = async (number: number): Promise<void> => {
      if (number % 4 === 0) await sender.request("@receiver", { number }, { timeoutMs: 60_000 });
      else if (number % 4 === 1) await sender.send("@receiver", { number }, { until: "processed", retryAttempts: 20 });
      else await sender.send("@receiver", { number }, { idempotencyKey: `key-${number}`, retryAttempts: 20 });
    };

    let next = 0;
    const until = async (end: number): Promise<void> => {
      const caller = async (): Promise<void> => {
        while (next < end) {
          next += 1;
          await call(next);
        }
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
    };
    const heaps: number[] = [];
    for (let sample = 1; sample <= SAMPLES; sample += 1) {
      await until((MESSAGES * sample) / SAMPLES);
      await eventually("the receiver is idle", () => {
        const { inflight_count, pending_count } = receiver.metricsSnapshot();
        return inflight_count + pending_count === 0;
      });
      heaps.push(await heapUsed());
      context.diagnostic(`after ${next} messages: ${((heaps.at(-1) ?? 0) / 1e6).toFixed(2)} MB`);
    }
    assert.ok(handled >= MESSAGES, `${handled} were handled`);
    const warm = Math.max(...heaps.slice(0, SAMPLES / 5));
    const last = Math.min(...heaps.slice(-3));
    assert.ok(last - warm < MAX_GROWTH_BYTES, `the heap grew by ${last - warm} bytes: ${heaps.join(", ")}`);
  } finally {
    await network.stop();
  }
});
