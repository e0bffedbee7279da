/** What is remembered of streams that are read no more, and frames that were not sent. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { RawJson } from "../../src/index.js";
import { DroppedStreams } from "../../src/node/streams/cancel.js";
import { parseStreamFrame, StreamWriter, Timestamp } from "../../src/protocol/index.js";

test("a sender that goes on is cancelled again, but not for each frame", () => {
  const dropped = new DroppedStreams<string>();
  dropped.remember(1, "one", false, 1_000);
  dropped.remember(2, "two", true, 1_000);
  const cases: [number, number, string | undefined][] = [
    [1, 0, "one"],
    [1, 199, undefined],
    [1, 200, "one"],
    [1, 399, undefined],
    [1, 5_000, "one"],
    [2, 0, undefined],
    [2, 200, "two"],
    [3, 0, undefined],
  ];
  for (const [number, milliseconds, told] of cases) {
    assert.equal(dropped.due(number, 1_000 + milliseconds), told, `${number} at ${milliseconds} ms`);
  }
});

test("only the last streams are remembered", () => {
  const dropped = new DroppedStreams<number>();
  for (let number = 0; number <= 1_024; number += 1) dropped.remember(number, number, false, 0);
  assert.equal(dropped.due(0, 0), undefined);
  assert.equal(dropped.due(1, 0), 1);
  assert.equal(dropped.size, 1_024);
});

test("a frame that was not sent leaves no gap, and its text is not repeated by the end", () => {
  const writer = new StreamWriter("s");
  const now = Timestamp.now();
  const read = (payload: RawJson) => parseStreamFrame(payload.view());
  assert.equal(read(writer.start(now))?.seq, 0);
  assert.equal(read(writer.delta(RawJson.from("a")))?.seq, 1);
  assert.equal(read(writer.delta(RawJson.from("lost")))?.seq, 2);
  writer.takeBack();
  writer.takeBack();
  assert.equal(writer.seq, 2);
  assert.equal(read(writer.delta(RawJson.from("b")))?.seq, 2);
  const end = read(writer.end(now));
  assert.equal(end?.seq, 3);
  assert.equal(end?.part.type === "end" ? end.part.text : undefined, "ab");
});
