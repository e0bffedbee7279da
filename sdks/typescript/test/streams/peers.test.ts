/** Streams with programs that share no code with this package: spec/peers/stream.py, and the Rust SDK beneath the Python package. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  type AgentNode,
  AgentSDK,
  type Context,
  DeliveryError,
  type Message,
  StreamAssembler,
  StreamError,
  type StreamRequestOptions,
} from "../../src/index.js";
import { Network } from "../support/network.js";
import { Python } from "../support/python.js";
import { eventually, Gate, within } from "../support/wait.js";

let network: Network;
let node: AgentNode;
let act: (message: Message, context: Context) => unknown = () => undefined;
const limits = {
  rateLimitPerSenderPerSec: 100_000,
  rateLimitBurst: 100_000,
  maxPending: 10_000,
  workTimeoutMs: 60_000,
};
before(async () => {
  // nats-py takes a token of an address as it is written.
  network = await Network.start({ authorization: 'token: "plain_token"', credentials: "plain_token" });
  node = await network
    .node({ agentId: "ts", username: "ts", limits })
    .onMessage((message, context) => act(message, context))
    .start();
});
after(() => network.stop());

const TIMES: StreamRequestOptions = { timeoutMs: 30_000, idleTimeoutMs: 30_000 };

test("a foreign reader reads our streams and cancels them", async () => {
  const cancelled = new Gate();
  act = async (message, context) => {
    const stream = await context.replyStream();
    await stream.delta("roses ");
    await stream.delta("are réd");
    if (message.text === "poem") return await stream.end({ words: 3 });
    stream.cancelled.addEventListener("abort", () => cancelled.open(), { once: true });
    return await cancelled.promise;
  };
  const poem = Python.streamPeer(network, "read", node.accountId ?? "", "poem");
  assert.deepEqual(await poem.next("delta"), { event: "delta", seq: 1, delta: "roses " });
  assert.deepEqual(await poem.next("delta"), { event: "delta", seq: 2, delta: "are réd" });
  assert.deepEqual(await poem.next("end"), { event: "end", result: { words: 3 } });
  const endless = Python.streamPeer(network, "read", node.accountId ?? "", "for ever", "2");
  for (const event of ["delta", "delta", "cancelled"]) await endless.next(event);
  await within("the cancel", cancelled.promise);
});

test("we read a foreign sender's streams, cancel them, and notice when it is killed", async () => {
  const peer = Python.streamPeer(network, "serve", "py");
  await peer.next("ready");
  const ask = (text: string, options: StreamRequestOptions = {}) =>
    node.requestStream("@py", { text }, { ...TIMES, ...options });
  const whole = await ask("roses are réd").finish();
  assert.equal(whole.text, "roses are réd");
  assert.equal(whole.deltas, 3);
  assert.deepEqual(whole.result, { frames: 5 });

  for await (const piece of ask("roses ...")) {
    assert.equal(piece.text, "roses ");
    break;
  }
  await peer.next("cancelled");

  const broken = ask("roses ...", { idleTimeoutMs: 2_000 });
  assert.equal((await broken.next()).value?.text, "roses ");
  await peer.program.stop("SIGKILL");
  await assert.rejects(broken.next(), (error: unknown) => error instanceof StreamError && error.reason === "idle");
});

test("streams in the open form are read whole, as replies and from the inbox", async () => {
  const peer = Python.streamPeer(network, "serve", "open", "open");
  await peer.next("ready");
  const whole = await node.requestStream("@open", { text: "roses are réd" }, TIMES).finish();
  assert.equal(whole.text, "roses are réd");
  assert.equal(whole.deltas, 2, "the last piece is lost; the text of the end counts");
  assert.deepEqual(whole.metadata, { model: "m" });

  const assembler = new StreamAssembler();
  act = (message) => {
    const frame = message.streamFrame();
    if (frame === undefined) return;
    assembler.push(frame);
    while (assembler.pop() !== undefined);
  };
  const teller = Python.streamPeer(network, "tell", node.accountId ?? "", "violets are blue");
  await teller.next("told");
  await eventually("the stream is complete", () => assembler.isComplete);
  assert.equal(assembler.text, "violets are blue");
});

test("a foreign reader of the open form shows our streams whole: of a sender, and frame by frame", async () => {
  const peer = Python.streamPeer(network, "collect", "collector");
  await peer.next("ready");
  const shown = (stream_id: string, metadata: unknown) => ({
    event: "whole",
    stream_id,
    joined: "roses are réd",
    text: "roses are réd",
    role: "assistant",
    content_type: "text/plain",
    metadata,
    started: true,
    finished: true,
  });
  const stream = await node.sendStream("@collector", { threadId: "t", metadata: { model: "m" } });
  for (const piece of ["roses ", "are ", "réd"]) await stream.delta(piece);
  await stream.end();
  assert.deepEqual(await peer.next("whole"), shown(stream.streamId, { model: "m" }));

  const thread = AgentSDK.on(node).thread("t");
  await thread.sendStreamStart("@collector", " s1 ");
  for (const [piece, seq] of [
    ["are ", 2],
    ["roses ", 1],
    ["are ", 2],
    ["réd", 3],
  ] as const) {
    await thread.sendStreamDelta("@collector", "s1", piece, { seq });
  }
  await thread.sendStreamEnd("@collector", "s1", { seq: 4, text: "roses are réd", until: "accepted" });
  assert.deepEqual(await peer.next("whole"), shown("s1", {}));
  await thread.sendStreamError("@collector", "s2", "out_of_ink");
  assert.deepEqual(await peer.next("failed"), { event: "failed", code: "out_of_ink", seq: 0, finished: true });
});

test("10,000 pieces pass between Rust and TypeScript in order, both ways", async () => {
  const python = await Python.agent(network, "rusty");
  const pieces = 10_000;
  let next = 0;
  const stream = node.requestStream("@rusty", { do: "stream", pieces }, TIMES);
  for await (const piece of stream) {
    assert.equal(piece.text, `${next} `);
    next += 1;
  }
  assert.equal(next, pieces);
  assert.deepEqual((await stream.finish()).result, { pieces });

  act = async (_, context) => {
    await using reply = await context.replyStream();
    for (let number = 0; number < pieces; number += 1) await reply.delta(`${number} `);
    await reply.end({ pieces });
  };
  const read = await python.call("stream", { to: "@ts", payload: {} });
  const text = Array.from({ length: pieces }, (_, number) => `${number} `).join("");
  assert.deepEqual(read, { text, result: { pieces }, ordered: true });
});

test("cancels pass between Rust and TypeScript, and abandoned streams are reported", async () => {
  const python = await Python.agent(network, "stopper");
  for await (const piece of node.requestStream("@stopper", { do: "stream for ever" }, TIMES)) {
    assert.equal(piece.text, "on and on ");
    break;
  }
  await python.next("cancelled");
  await assert.rejects(node.requestStream("@stopper", { do: "abandon" }, TIMES).text(), (error: unknown) => {
    // The first of the two to arrive counts.
    return error instanceof StreamError && ["stream_abandoned", "handler_error"].includes(error.errorCode ?? "");
  });

  const cancelled = new Gate();
  act = async (message, context) => {
    const stream = await context.replyStream();
    if (message.text === "abandon") return await stream[Symbol.asyncDispose]();
    stream.cancelled.addEventListener("abort", () => cancelled.open(), { once: true });
    for (;;) {
      await stream.delta("on and on ");
      await new Promise(setImmediate);
    }
  };
  const payload = { text: "for ever" };
  assert.deepEqual(await python.call("stream", { to: "@ts", payload, cancel_after: 3 }), { cancelled: true });
  await within("the cancel", cancelled.promise);
  const failed = await python.failingCall("stream", { to: "@ts", payload: { text: "abandon" } });
  assert.match(failed, /stream_abandoned/);
});

test("agentnet chat shows our streams piece by piece", async () => {
  act = async (_, context) => {
    const stream = await context.replyStream();
    for (const piece of ["roses ", "are ", "réd"]) await stream.delta(piece);
    await stream.end();
  };
  const chat = network.agentnet(["chat", "--to-username", "ts", "--thread-id", "chat_1"]);
  chat.child.stdin?.end("a poem\n");
  assert.equal(await chat.ended(), 0, chat.stderr);
  assert.equal(chat.stdout, "roses are réd\n");
});

test("a stream to an inbox waits for a receiver that refuses, and tells when it is refused for good", async () => {
  const assembler = new StreamAssembler();
  const slow = await network
    .node({ agentId: "slow", username: "slow", limits: { rateLimitPerSenderPerSec: 20, rateLimitBurst: 2 } })
    .onMessage((message) => {
      const frame = message.streamFrame();
      if (frame === undefined) return;
      assembler.push(frame);
      while (assembler.pop() !== undefined);
    })
    .start();
  const stream = await node.sendStream("@slow", { idempotencyKey: "k" });
  for (let number = 0; number < 10; number += 1) await stream.delta(`${number} `);
  await stream.end();
  await eventually("the stream is complete", () => assembler.isComplete);
  assert.equal(assembler.text, "0 1 2 3 4 5 6 7 8 9 ");
  assert.ok(slow.metricsSnapshot().rate_limited_count > 0, "some frames were sent again");

  const broken = await node.sendStream("@slow");
  await slow.close();
  await assert.rejects(broken.delta("x"), (error: unknown) => {
    return error instanceof DeliveryError && error.reason === "recipient_offline";
  });
});
