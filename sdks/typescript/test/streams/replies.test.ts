/** Streamed replies between TypeScript nodes (docs/STREAMING_PROTOCOL.md). */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  type AgentNode,
  type Context,
  type Delta,
  InvalidArgumentError,
  isAgentNetError,
  type Message,
  NotRunningError,
  StreamCancelledError,
  StreamError,
  type StreamRequestOptions,
  type StreamSender,
} from "../../src/index.js";
import { Network } from "../support/network.js";
import { eventually, Gate, within } from "../support/wait.js";

let network: Network;
let poet: AgentNode;
let reader: AgentNode;
/** What the poet does with its next message. */
let act: (message: Message, context: Context) => unknown = () => undefined;
before(async () => {
  network = await Network.start();
  const limits = {
    rateLimitPerSenderPerSec: 10_000,
    rateLimitBurst: 10_000,
    workTimeoutMs: 60_000,
    maxConcurrency: 32,
  };
  poet = await network
    .node({ agentId: "poet", username: "poet", limits })
    .onMessage((message, context) => act(message, context))
    .start();
  reader = await network.node({ agentId: "reader", username: "reader" }).start();
});
after(() => network.stop());

const TIMES: StreamRequestOptions = { timeoutMs: 30_000, idleTimeoutMs: 30_000 };

function isFailed(code: string): (error: unknown) => boolean {
  return (error) => error instanceof StreamError && error.reason === "failed" && error.errorCode === code;
}

test("pieces arrive in order, and the end has text, result and metadata", async () => {
  act = async (_, context) => {
    const stream = await context.replyStream({ metadata: { model: "m" }, role: "poet", contentType: "text/markdown" });
    // Not awaited: the calls keep their order.
    const sent = ["roses ", "are ", { text: "réd" }, 7].map((piece) => stream.delta(piece));
    await Promise.all(sent);
    await stream.end({ words: 3, big: 12345678901234567890n });
    await assert.rejects(stream.delta("late"), NotRunningError);
  };
  const stream = reader.requestStream("@poet", { text: "a poem" }, { ...TIMES, threadId: "t_1" });
  const pieces: Delta[] = [];
  for await (const piece of stream) pieces.push(piece);
  assert.deepEqual(
    pieces.map(({ seq, text, valueText }) => [seq, text, valueText]),
    [
      [1, "roses ", '"roses "'],
      [2, "are ", '"are "'],
      [3, "réd", '{"text":"r\\u00e9d"}'],
      [4, undefined, "7"],
    ],
  );
  const whole = await stream.finish();
  assert.equal(whole.text, "roses are réd");
  assert.equal(await stream.text(), whole.text);
  assert.deepEqual(whole.metadata, { model: "m" });
  assert.equal(whole.resultText, '{"words":3,"big":12345678901234567890}');
  assert.equal(whole.deltas, 4);
  assert.equal(whole.streamId, stream.streamId);
  const { messageId } = await stream.request;
  assert.equal(whole.message.parentMessageId, messageId);
  assert.equal(whole.message.threadId, "t_1");
  assert.equal(whole.message.kind, "stream");
  assert.equal(whole.message.streamFrame()?.role, "poet");
  assert.equal(whole.message.streamFrame()?.contentType, "text/markdown");
});

test("10,000 pieces arrive in order, each once", async () => {
  const count = 10_000;
  act = async (_, context) => {
    const stream = await context.replyStream();
    for (let number = 0; number < count; number += 1) await stream.delta(`${number} `);
    await stream.end();
  };
  let next = 0;
  for await (const piece of reader.requestStream("@poet", {}, TIMES)) {
    assert.equal(piece.text, `${next} `);
    next += 1;
  }
  assert.equal(next, count);
});

test("leaving the loop cancels the stream: the sender hears of it, and no failure is counted", async () => {
  const cancelled = new Gate<unknown>();
  act = async (_, context) => {
    const stream = await context.replyStream();
    stream.cancelled.addEventListener("abort", () => cancelled.open(stream.cancelled.reason), { once: true });
    for (;;) {
      await stream.delta("on and on ");
      await new Promise(setImmediate);
    }
  };
  const errors = poet.metricsSnapshot().error_count;
  for await (const piece of reader.requestStream("@poet", {}, TIMES)) {
    assert.equal(piece.text, "on and on ");
    break;
  }
  assert.ok((await within("the cancel", cancelled.promise)) instanceof StreamCancelledError);
  await eventually("the handler has ended", () => poet.metricsSnapshot().inflight_count === 0);
  assert.equal(poet.metricsSnapshot().error_count, errors);
});

test("cancel, the signal and await using end the reading and reach the sender", async () => {
  const opened: StreamSender[] = [];
  act = async (_, context) => {
    opened.push(await context.replyStream());
  };
  const byCall = reader.requestStream("@poet", {}, TIMES);
  await eventually("the stream is opened", () => opened.length === 1);
  await byCall.cancel();
  await assert.rejects(byCall.finish(), StreamCancelledError);
  assert.deepEqual(await byCall.next(), { done: true, value: undefined });

  const abort = new AbortController();
  const bySignal = reader.requestStream("@poet", {}, { ...TIMES, signal: abort.signal });
  await eventually("the stream is opened", () => opened.length === 2);
  const reason = new Error("the user has left");
  const waiting = assert.rejects(bySignal.next(), reason);
  abort.abort(reason);
  await waiting;
  await assert.rejects(bySignal.text(), reason);
  assert.throws(() => AbortSignal.abort(reason).throwIfAborted(), reason);
  await assert.rejects(reader.requestStream("@poet", {}, { signal: AbortSignal.abort(reason) }).text(), reason);

  {
    await using byScope = reader.requestStream("@poet", {}, TIMES);
    await eventually("the stream is opened", () => opened.length === 3);
    await byScope.request;
  }
  await eventually("all are cancelled", () => opened.every((stream) => stream.isCancelled));
  for (const stream of opened) await assert.rejects(stream.delta("late"), StreamCancelledError);
});

test("a stream that is opened after its reader has left is cancelled by its first frame", async () => {
  const asked = new Gate();
  const left = new Gate();
  const cancelled = new Gate();
  act = async (_, context) => {
    asked.open();
    await left.promise;
    const stream = await context.replyStream();
    stream.cancelled.addEventListener("abort", () => cancelled.open(), { once: true });
    await within("the cancel", cancelled.promise);
  };
  const stream = reader.requestStream("@poet", {}, TIMES);
  await within("the request", asked.promise);
  await stream.cancel();
  left.open();
  await within("the cancel", cancelled.promise);
});

test("senders that do not end their stream are found out", async () => {
  act = async (_, context) => {
    await using stream = await context.replyStream();
    await stream.delta("half");
  };
  await assert.rejects(reader.requestStream("@poet", {}, TIMES).text(), isFailed("stream_abandoned"));

  act = async (_, context) => {
    const stream = await context.replyStream();
    await stream.delta("half");
    await stream.fail("out_of_ink", "the pen is empty");
  };
  const failed = reader.requestStream("@poet", {}, TIMES);
  assert.equal((await failed.next()).value?.text, "half");
  await assert.rejects(failed.next(), (error: unknown) => {
    assert.ok(error instanceof StreamError);
    return error.errorCode === "out_of_ink" && error.detail === "the pen is empty" && error.code === "stream_failed";
  });
  assert.deepEqual(await failed.next(), { done: true, value: undefined });
  await assert.rejects(failed.finish(), isFailed("out_of_ink"));

  act = async (_, context) => {
    await context.replyStream();
    throw new Error("a mistake");
  };
  await assert.rejects(reader.requestStream("@poet", {}, TIMES).text(), isFailed("handler_error"));
});

test("the close of a node ends its streams on both sides", async () => {
  const node = await network
    .node({ agentId: "brief", username: "brief" })
    .onMessage(async (message, context) => {
      const stream = await context.replyStream();
      await stream.delta("half");
      if (message.text === "hold") held.open(stream);
    })
    .start();
  const held = new Gate<StreamSender>();
  const stream = reader.requestStream("@brief", { text: "hold" }, TIMES);
  assert.equal((await stream.next()).value?.text, "half");
  const sender = await within("the stream", held.promise);
  await node.close();
  await assert.rejects(stream.next(), isFailed("shutting_down"));
  await assert.rejects(sender.delta("late"), NotRunningError);

  const cancelled = new Gate();
  act = async (_, context) => {
    const open = await context.replyStream();
    open.cancelled.addEventListener("abort", () => cancelled.open(), { once: true });
    await cancelled.promise;
  };
  await node.start();
  const reading = node.requestStream("@poet", {}, TIMES);
  await reading.request;
  const ended = assert.rejects(reading.next(), (error: unknown) => {
    return error instanceof StreamError && error.reason === "closed";
  });
  await eventually("a frame came", () => reading.streamId !== undefined || poet.metricsSnapshot().inflight_count > 0);
  await node.close();
  await ended;
});

test("ordinary replies and error replies answer requests for streams", async () => {
  act = (_, context) => context.reply({ text: "no stream", n: 1 });
  const whole = await reader.requestStream("@poet", {}, TIMES).finish();
  assert.equal(whole.text, "no stream");
  assert.deepEqual(whole.result, { text: "no stream", n: 1 });
  assert.equal(whole.message.kind, "reply");
  assert.equal(whole.deltas, 1);

  await assert.rejects(
    reader.requestStreamAccount("acct_nobody", {}, TIMES).text(),
    isFailed("account_not_found"),
    "the registry answers in the place of an account that is not there",
  );
  await assert.rejects(reader.requestStream("@no_such_name", {}).text(), (error: unknown) => {
    return isAgentNetError(error) && error.code === "not_found";
  });
});

test("silence is an error by its kind: no first frame, no further one, no end", async () => {
  const over = new Gate();
  act = async (message, context) => {
    if (message.text === "nothing") return await over.promise;
    const stream = await context.replyStream();
    await stream.delta("half");
    await over.promise;
    await stream[Symbol.asyncDispose]();
  };
  const reasonOf = (text: string, options: StreamRequestOptions): Promise<string> =>
    reader
      .requestStream("@poet", { text }, { ...TIMES, ...options })
      .text()
      .then(
        () => "no error",
        (error: unknown) => (error instanceof StreamError ? `${error.reason}: ${error.message}` : String(error)),
      );
  assert.match(await reasonOf("nothing", { timeoutMs: 300 }), /^timeout: no reply to message \w+ within 0.3 s$/);
  assert.match(await reasonOf("half", { idleTimeoutMs: 300 }), /^idle: the stream went silent after frame 1: nothing/);
  assert.match(await reasonOf("half", { totalTimeoutMs: 900 }), /^timeout: the stream did not end within 0.9 s$/);
  over.open();
});

test("a reader that is too slow fails alone, and its sender is told", async () => {
  const cancelled = new Gate();
  const go = new Gate();
  act = async (message, context) => {
    const stream = await context.replyStream();
    if (message.text === "flood") {
      stream.cancelled.addEventListener("abort", () => cancelled.open(), { once: true });
      for (let number = 0; number < 50 && !stream.isCancelled; number += 1) await stream.delta(number);
      return await within("the cancel", cancelled.promise);
    }
    await go.promise;
    return await stream.end("fine");
  };
  const other = reader.requestStream("@poet", { text: "fine" }, TIMES);
  const slow = reader.requestStream("@poet", { text: "flood" }, { ...TIMES, buffer: { frames: 10 } });
  await within("the cancel", cancelled.promise);
  const got: unknown[] = [];
  await assert.rejects(
    (async () => {
      for await (const piece of slow) got.push(piece.value);
    })(),
    (error: unknown) => error instanceof StreamError && error.reason === "too_slow",
  );
  assert.deepEqual(
    got,
    [0, 1, 2, 3, 4, 5, 6, 7, 8],
    "what the buffer holds is given first: nine pieces behind the start",
  );
  go.open();
  assert.equal(await other.text(), "fine");
});

test("a piece that no reader takes, or that is too large, is refused, and the stream goes on", async () => {
  act = async (_, context) => {
    const stream = await context.replyStream();
    await assert.rejects(stream.delta(null), InvalidArgumentError);
    await assert.rejects(stream.delta("x".repeat(300_000)), (error: unknown) => {
      return error instanceof InvalidArgumentError && error.code === "message_too_large";
    });
    await assert.rejects(stream.fail(""), InvalidArgumentError);
    for (let number = 0; number < 3; number += 1) await stream.delta("y".repeat(100_000));
    // The whole text does not fit into the end.
    await stream.end({ fine: true });
  };
  const whole = await reader.requestStream("@poet", {}, TIMES).finish();
  assert.equal(whole.text, "y".repeat(300_000));
  assert.equal(whole.message.streamFrame()?.part.type, "end");
  assert.deepEqual(whole.result, { fine: true });
});

test("limits of the assembler end a stream", async () => {
  act = async (_, context) => {
    await using stream = await context.replyStream();
    for (let number = 0; number < 10; number += 1) await stream.delta("0123456789");
  };
  const stream = reader.requestStream("@poet", {}, { ...TIMES, limits: { textBytes: 50 } });
  await assert.rejects(stream.text(), (error: unknown) => error instanceof StreamError && error.reason === "too_large");
});

test("a sender that is forgotten tells its reader", {
  skip: globalThis.gc === undefined && "needs --expose-gc",
}, async () => {
  act = async (_, context) => {
    await context.replyStream();
  };
  const stream = reader.requestStream("@poet", {}, TIMES);
  const ended = assert.rejects(stream.text(), isFailed("stream_abandoned"));
  let isOver = false;
  void ended.finally(() => {
    isOver = true;
  });
  await eventually("the garbage is collected", () => {
    globalThis.gc?.();
    return isOver;
  });
  await ended;
});
