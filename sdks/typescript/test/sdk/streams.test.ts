/** The rows of docs/PYTHON.md about streams: a reply that is streamed, read by the SDK and in a thread. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  AgentRequestError,
  AgentSDK,
  type Message,
  RequestTimeoutError,
  type SDKResult,
  StreamCancelledError,
} from "../../src/index.js";
import { Network } from "../support/network.js";
import { eventually, within } from "../support/wait.js";

let network: Network;
let sdk: AgentSDK;
const asked: Message[] = [];
let cancelled = 0;

before(async () => {
  network = await Network.start();
  const limits = { rateLimitBurst: 1_000, rateLimitPerSenderPerSec: 1_000, drainTimeoutMs: 200 };
  const poet = AgentSDK.on(network.node({ agentId: "poet", username: "poet", capabilities: ["poems"], limits }));
  poet.receive(async (message) => {
    asked.push(message);
    if (message.text === "silence") await new Promise(() => undefined);
    if (message.text === "whole") return void (await poet.reply(message, { text: "all at once" }));
    if (message.text === "refused")
      return void (await poet.reply(message, { error: "no_rhymes", detail: "none left" }));
    if (!message.wantsReply) return;
    await using stream = await poet.replyStream(message, { metadata: { model: "m" } });
    if (message.text === "for ever") {
      try {
        for (;;) await stream.delta("again ");
      } catch (error) {
        if (error instanceof StreamCancelledError) cancelled += 1;
        throw error;
      }
    }
    await stream.delta("roses ");
    await stream.delta({ text: "are red" });
    if (message.text === "fail") await stream.fail("out_of_ink", "the pen is dry");
    else await stream.end({ words: 3 });
  });
  await poet.start();
  sdk = await AgentSDK.on(network.node({ agentId: "reader", username: "reader" })).start();
});
after(() => network.stop());

const TIME = { timeoutMs: 30_000 };

test("stream a reply, and read it piece by piece or as a whole", async () => {
  const answer = sdk.askStream("@poet", "a poem", { ...TIME, threadId: "poems_1" });
  const pieces: (string | undefined)[] = [];
  for await (const piece of answer) pieces.push(piece.text);
  assert.deepEqual(pieces, ["roses ", "are red"]);
  assert.deepEqual(answer.metadata, { model: "m" });
  const whole = await answer.finish();
  assert.equal(whole.text, "roses are red");
  assert.deepEqual(whole.data, { words: 3 });
  assert.equal(whole.threadId, "poems_1");
  assert.equal(whole.parentMessageId, (await answer.request).messageId);
  assert.equal(await sdk.askStream("capability:poems", "a poem", TIME).text(), "roses are red");
  const json = await sdk.askJsonStream("@poet", { text: "a poem", form: "haiku" }, TIME).finish();
  assert.equal(json.text, "roses are red");
  assert.deepEqual(asked.at(-1)?.payload, { text: "a poem", form: "haiku" });
});

test("an agent that answers at once gives one piece", async () => {
  const answer = sdk.askStream("@poet", "whole", TIME);
  let pieces = 0;
  for await (const _piece of answer) pieces += 1;
  assert.equal(pieces, 1);
  assert.equal((await answer.finish()).text, "all at once");
});

test("failures are those of an ask", async () => {
  const failing = sdk.askStream("@poet", "fail", TIME);
  const code = (wanted: string) => (error: unknown) => error instanceof AgentRequestError && error.code === wanted;
  assert.equal((await failing.next()).value?.text, "roses ");
  await assert.rejects(failing.finish(), code("out_of_ink"));
  await assert.rejects(failing.finish(), { message: "out_of_ink: the pen is dry" });
  await assert.rejects(sdk.askStream("@poet", "refused", TIME).finish(), code("no_rhymes"));
  await assert.rejects(sdk.askStream("@poet", "silence", { timeoutMs: 300 }).text(), RequestTimeoutError);
  await assert.rejects(sdk.askStream("@nobody_here", "hi", TIME).text(), { code: "not_found" });
  assert.throws(() => sdk.askStream("", "hi"), { code: "invalid_target" });
});

test("leaving the loop cancels the stream at its sender, which is no failure of its handler", async () => {
  let read = 0;
  for await (const _piece of sdk.askStream("@poet", "for ever", TIME)) {
    read += 1;
    if (read === 3) break;
  }
  await eventually("the sender notices", () => cancelled === 1);
  const answer = sdk.askStream("@poet", "for ever", TIME);
  await answer.next();
  await within("the cancel", answer.cancel());
  await assert.rejects(answer.finish(), StreamCancelledError);
  await eventually("the sender notices that too", () => cancelled === 2);
});

test("an answer that is read to its end is the parent of what comes next in its thread", async () => {
  const thread = sdk.thread("streamed_1", "start");
  const answer = thread.askStream("@poet", "a poem in a thread", TIME);
  for await (const _piece of answer);
  assert.equal(asked.at(-1)?.parentMessageId, "start");
  const whole: SDKResult = await answer.finish();
  assert.equal(thread.parentMessageId, whole.messageId);
  await thread.sendText("@poet", "thanks", { until: "processed" });
  assert.deepEqual([asked.at(-1)?.parentMessageId, asked.at(-1)?.threadId], [whole.messageId, "streamed_1"]);
});

test("stream to an inbox, numbered by itself, in a thread", async () => {
  const got: Message[] = [];
  const limits = { rateLimitBurst: 1_000 };
  const inbox = AgentSDK.on(network.node({ agentId: "frames", username: "frames", limits }));
  inbox.receive((message) => void got.push(message));
  await inbox.start();
  const thread = sdk.thread("to_inbox_1", "before");
  {
    await using stream = await thread.sendStream("@frames");
    await stream.delta("one");
    await stream.end();
  }
  await eventually("three frames", () => got.length === 3);
  assert.deepEqual(
    got.map((message) => [message.kind, message.threadId, (message.payload as { type: string }).type]),
    ["start", "delta", "end"].map((type) => ["stream", "to_inbox_1", `stream_${type}`]),
  );
  assert.equal(got[0]?.parentMessageId, "before");
});
