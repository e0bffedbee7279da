import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { DevAuth, MemoryKeyStore } from "../../src/index.js";
import { Stage } from "./stage.js";

let stage: Stage;
before(async () => {
  stage = await Stage.start({ environment: { DEV_AUTH: "true" } });
});
after(async () => await stage?.stop());

test("a page signs what it sends, checks what it gets, and rotates its key", async () => {
  const signer = stage.node("signer", { devAuth: new DevAuth({ keys: new MemoryKeyStore() }) });
  signer.onMessage((message, context) => context.reply({ from: message.fromAccountId ?? null }));
  await signer.start();
  const { page, errors } = await stage.open(await stage.browser());
  const seen = await page.evaluate(async (natsUrl) => {
    const path = "/agentnet-sdk.js";
    const sdk = (await import(path)) as typeof import("../../src/index.js");
    const asked: (string | undefined)[] = [];
    const keys = new sdk.MemoryKeyStore();
    const node = new sdk.AgentNode({ agentId: "page", username: "page", natsUrl, devAuth: new sdk.DevAuth({ keys }) });
    node.onMessage(async (message, context) => {
      asked.push(message.fromAccountId);
      if (message.wantsReply) await context.reply({ ok: true });
    });
    await node.start();
    const ask = async (): Promise<unknown> => (await node.request("@signer", {})).payload;
    const replies = [await ask()];
    const key = await node.rotateKey();
    replies.push(await ask());
    Object.assign(globalThis, { asked, node });
    return { account: node.accountId, key, replies };
  }, stage.ready.websocket_url);
  assert.deepEqual(seen.replies, [{ from: seen.account }, { from: seen.account }]);
  assert.ok(seen.key.length > 0);
  assert.deepEqual((await signer.request("@page", {})).payload, { ok: true });
  assert.deepEqual(await page.evaluate(() => (globalThis as unknown as { asked: string[] }).asked), [signer.accountId]);
  // What is not signed does not reach the page's handler.
  const unsigned = stage.node("unsigned");
  await assert.rejects(unsigned.start(), /auth/);
  await page.evaluate(() => (globalThis as unknown as { node: { close(): Promise<void> } }).node.close());
  await stage.isOffline("page");
  assert.deepEqual(errors, []);
});
