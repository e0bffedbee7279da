import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonView, RawJson, stringify } from "../../../src/json/index.js";
import {
  AssembleError,
  blobRefPayload,
  cancelSubject,
  frameText,
  isBlobId,
  parseBlobRef,
  parseStreamCancel,
  parseStreamFrame,
  StreamAssembler,
  type StreamFrame,
  StreamWriter,
  streamCancelPayload,
  Timestamp,
} from "../../../src/protocol/index.js";
import { Random } from "../../fuzz/random.js";

const NOW = Timestamp.fromMillis(0);

function read(payload: RawJson): StreamFrame {
  return parseStreamFrame(payload.view()) ?? assert.fail(payload.text);
}

function framesOf(texts: readonly string[]): StreamFrame[] {
  const writer = new StreamWriter("s");
  const payloads = [writer.start(NOW), ...texts.map((text) => writer.delta(RawJson.from(text))), writer.end(NOW)];
  return payloads.map(read);
}

function popAll(assembler: StreamAssembler): StreamFrame[] {
  const frames: StreamFrame[] = [];
  for (let frame = assembler.pop(); frame !== undefined; frame = assembler.pop()) frames.push(frame);
  return frames;
}

test("a stream is numbered, and its end repeats the text", () => {
  const writer = new StreamWriter("s1", { role: "tool", contentType: "text/markdown" });
  const payloads = [
    writer.start(NOW, RawJson.parse('{"model":"m"}')),
    writer.delta(RawJson.from("Hé\n")),
    writer.delta(RawJson.parse("[1.0]")),
    writer.end(NOW, RawJson.parse('{"n":12345678901234567890123,"é":1.0}')),
  ];
  const rest = [
    '"seq":0,"role":"tool","content_type":"text/markdown","started_at":"1970-01-01T00:00:00Z","metadata":{"model":"m"}}',
    '"seq":1,"role":"tool","content_type":"text/markdown","delta":"H\\u00e9\\n"}',
    '"seq":2,"role":"tool","content_type":"text/markdown","delta":[1.0]}',
    '"seq":3,"role":"tool","content_type":"text/markdown","finished_at":"1970-01-01T00:00:00Z","metadata":{},"text":"H\\u00e9\\n","result":{"n":12345678901234567890123,"\\u00e9":1.0}}',
  ];
  const types = ["start", "delta", "delta", "end"];
  for (const [index, payload] of payloads.entries()) {
    assert.equal(payload.text, `{"type":"stream_${types[index]}","stream_id":"s1",${rest[index]}`);
    assert.equal(read(payload).seq, index);
  }
  const failed = new StreamWriter("s2").error(NOW, "busy", "later");
  assert.deepEqual(read(failed).part, {
    type: "error",
    error: "busy",
    detail: "later",
    finishedAt: "1970-01-01T00:00:00Z",
  });
});

test("the end repeats a text that is not too long", () => {
  const cases: [pieces: string[], result: string | undefined, text: string | undefined][] = [
    [["abcd", "efgh"], "no", "abcdefgh"],
    [["abcd", "efghi"], "no", undefined],
    [["éééé"], undefined, "éééé"],
    [["ééééx"], undefined, undefined],
    [[], "result", "result"],
    [[], "too long for it", undefined],
    [[], undefined, undefined],
  ];
  for (const [pieces, result, text] of cases) {
    const writer = new StreamWriter("s", { maxTextBytes: 8 });
    for (const piece of pieces) writer.delta(RawJson.from(piece));
    const { part } = read(writer.end(NOW, result === undefined ? undefined : RawJson.from(result)));
    assert.equal(part.type === "end" ? part.text : "?", text, stringify([pieces, result ?? null]));
  }
});

test("ten thousand pieces, shuffled and doubled, come out exactly", () => {
  for (const seed of [1, 42, 0xbeef]) {
    const random = new Random(seed);
    const texts = Array.from({ length: 10_000 }, (_, index) => `${index} é\n${random.below(1000)}`);
    const frames = framesOf(texts);
    const extra = Array.from({ length: 5000 }, () => random.pick(frames));
    const assembler = new StreamAssembler();
    const given: StreamFrame[] = [];
    let fresh = 0;
    for (const frame of random.shuffled([...frames, ...frames, ...extra])) {
      if (assembler.push(frame)) fresh++;
      given.push(...popAll(assembler));
    }
    assert.equal(fresh, frames.length, `seed ${seed}: each is new once`);
    assert.deepEqual(
      given.map((frame) => frame.seq),
      frames.map((frame) => frame.seq),
    );
    assert.equal(assembler.text, texts.join(""));
    assert.ok(assembler.isComplete && assembler.missing === undefined);
  }
});

test("what is missing is known", () => {
  const frames = framesOf(["a", "b", "c", "d"]);
  const cases: [arriving: number[], given: number[], missing: number[], complete: boolean][] = [
    [[], [], [], false],
    [[0, 1], [0, 1], [], false],
    [[1], [], [0], false],
    [[0, 4, 2], [0], [1, 3], false],
    [[5, 3, 0, 1], [0, 1], [2, 4], false],
    [[0, 0, 1, 0, 1, 2, 3, 4, 5, 5, 2], [0, 1, 2, 3, 4, 5], [], true],
  ];
  for (const [arriving, given, missing, complete] of cases) {
    const assembler = new StreamAssembler({ streamId: "s" });
    const out = arriving.flatMap((index) => {
      assembler.push(frames[index] as StreamFrame);
      return popAll(assembler).map((frame) => frame.seq);
    });
    assert.deepEqual(out, given, String(arriving));
    assert.deepEqual(assembler.missingNumbers(9), missing, String(arriving));
    assert.equal(assembler.missingCount, missing.length);
    assert.equal(assembler.isComplete, complete);
    assert.equal(assembler.nextSeq, given.length);
  }
});

const delta = (seq: number, text: string): StreamFrame => ({
  streamId: "s",
  seq,
  role: "assistant",
  contentType: "text/plain",
  part: { type: "delta", delta: RawJson.from(text) },
});

test("the first frame of a number counts, and nothing follows the end", () => {
  const assembler = new StreamAssembler();
  const end: StreamFrame = { ...delta(2, ""), part: { type: "end" } };
  assert.ok(assembler.push(delta(3, "behind the end")));
  assert.ok(assembler.push(delta(1, "first")));
  assert.ok(!assembler.push(delta(1, "second")));
  assert.ok(assembler.push(end));
  assert.ok(!assembler.push(delta(4, "behind the end")));
  assert.ok(assembler.push(delta(0, "zero ")));
  assert.equal(popAll(assembler).length, 3);
  assert.equal(assembler.text, "zero first");
  for (const late of [delta(0, "x"), delta(3, "x"), end]) assert.ok(!assembler.push(late));
  // Numbers are the sender's: a far one costs nothing.
  const far = new StreamAssembler();
  far.push(delta(Number.MAX_SAFE_INTEGER, "far"));
  assert.deepEqual(far.missingNumbers(2), [0, 1]);
  assert.equal(far.missingCount, Number.MAX_SAFE_INTEGER);
});

test("what is held has limits", () => {
  const frames = framesOf(["aaa", "bbb", "ccc", "ddd"]);
  // Each piece is 5 bytes of JSON.
  const cases: [limits: object, taken: number[], refused: number, message: string, code: string][] = [
    [{ heldFrames: 2 }, [2, 1], 3, "2 frames (10 bytes) wait for frame 0, which has not come", "stream_full"],
    [{ heldBytes: 12 }, [2, 1], 3, "2 frames (10 bytes) wait for frame 0, which has not come", "stream_full"],
    [{ heldFrames: 0 }, [], 1, "0 frames (0 bytes) wait for frame 0, which has not come", "stream_full"],
    [{ textBytes: 9 }, [1], 2, "the text of the stream exceeds 9 bytes", "stream_text_too_long"],
  ];
  for (const [limits, taken, refused, message, code] of cases) {
    const assembler = new StreamAssembler({ limits });
    for (const index of taken) {
      assert.ok(assembler.push(frames[index] as StreamFrame));
      assert.ok(!assembler.push(frames[index] as StreamFrame), "again costs nothing");
    }
    assert.throws(
      () => assembler.push(frames[refused] as StreamFrame),
      (error) => error instanceof AssembleError && error.message === message && error.code === code,
    );
    // What all wait for is taken, and makes room.
    assert.ok(assembler.push(frames[0] as StreamFrame));
    assert.equal(popAll(assembler).length, taken.length + 1);
  }
});

test("an end that gives the whole text ends a stream of the open form with many gaps at once", () => {
  const assembler = new StreamAssembler();
  assembler.push({ ...delta(0, ""), part: { type: "start", numbered: false } });
  for (let seq = 60_000; seq > 0; seq -= 2) assembler.push(delta(seq, "x"));
  assembler.push({ ...delta(60_001, ""), part: { type: "end", text: "whole" } });
  const given = popAll(assembler);
  assert.equal(given.length, 1 + 30_000 + 1);
  assert.ok(given.every((frame, index) => index === 0 || frame.seq > (given[index - 1]?.seq ?? 0)));
  assert.equal(assembler.text, "whole");
});

test("an error is known while pieces are missing", () => {
  const writer = new StreamWriter("s");
  const [start, piece, error] = [
    writer.start(NOW),
    writer.delta(RawJson.from("a")),
    writer.error(NOW, "busy", "later"),
  ].map(read);
  const assembler = new StreamAssembler();
  assembler.push(start as StreamFrame);
  assert.equal(assembler.failure, undefined);
  assembler.push(error as StreamFrame);
  assert.deepEqual(assembler.failure, { error: "busy", detail: "later" });
  assert.ok(assembler.hasEnd && !assembler.isComplete);
  assembler.push(piece as StreamFrame);
  assert.deepEqual(popAll(assembler).at(-1), error);
});

test("texts are of pieces that have one", () => {
  const texts = ['" a\\n"', '{"text":" b ","n":1}', '{"n":1}', "5", '{"text":5}'].map((json) =>
    frameText({ ...delta(1, ""), part: { type: "delta", delta: RawJson.parse(json) } }),
  );
  assert.deepEqual(texts, [" a\n", " b ", undefined, undefined, undefined]);
});

test("a cancel names its stream or any", () => {
  const cases: [string, { streamId?: string } | undefined][] = [
    ['{"type":"stream_cancel"}', {}],
    ['{"type":"stream_cancel","stream_id":null}', {}],
    ['{"type":"stream_cancel","stream_id":" "}', {}],
    ['{"type":" Stream_Cancel ","stream_id":" s1 "}', { streamId: "s1" }],
    ['{"type":"stream_end","stream_id":"s1","seq":0}', undefined],
    ["[]", undefined],
  ];
  for (const [text, expected] of cases) assert.deepEqual(parseStreamCancel(JsonView.parse(text)), expected, text);
  assert.equal(streamCancelPayload().text, '{"type":"stream_cancel"}');
  assert.equal(streamCancelPayload("s1").text, '{"type":"stream_cancel","stream_id":"s1"}');
  assert.equal(cancelSubject("_INBOX.x"), "_INBOX.x.cancel");
});

test("a blob reference reads back, and its members are checked", () => {
  const blob = {
    blobId: "b1",
    storage: "nats_object",
    filename: "chärt.png",
    mimeType: "image/png",
    size: 1024,
    sha256: "0f".repeat(32),
    createdAt: "2026-02-21T08:00:00Z",
    metadata: RawJson.parse('{"k":[1]}'),
    text: "look",
  };
  const payload = blobRefPayload(blob);
  const text = `{"type":"blob_ref","blob_id":"b1","storage":"nats_object","mime_type":"image/png","size_bytes":1024,"filename":"ch\\u00e4rt.png","sha256":"${"0f".repeat(32)}","created_at":"2026-02-21T08:00:00Z","metadata":{"k":[1]},"text":"look"}`;
  assert.equal(payload.text, text);
  assert.deepEqual(parseBlobRef(payload.view()), blob);
  const parse = (json: string) => parseBlobRef(JsonView.parse(json));
  assert.deepEqual(parse('{"type":" BLOB_REF ","blob_id":" b ","name":"x","metadata":{},"sha256":""}'), {
    blobId: "b",
    storage: "local_fs",
    mimeType: "application/octet-stream",
    size: 0,
    filename: "x",
  });
  assert.equal(parse('{"type":"blob_ref","blob_id":"b","size":7,"size_bytes":8}')?.size, 8);
  assert.equal(parse("5"), undefined);
  assert.throws(() => parse('{"type":"blob_ref"}'), {
    code: "invalid_blob_ref",
    message: "a blob_ref payload needs a `blob_id`",
  });
  assert.throws(() => parse('{"type":"blob_ref","blob_id":"b","size_bytes":-1}'), /number of bytes/);
  assert.throws(() => parse('{"type":"blob_ref","blob_id":"b","sha256":"x"}'), /64 hexadecimal digits/);
  for (const good of ["b", "A-9_", "x".repeat(128)]) assert.ok(isBlobId(good), good);
  for (const bad of ["", ".", "..", "../x", "a/b", "a\\b", "a.json", "a\0", "é", " a", "a\n", "x".repeat(129)])
    assert.ok(!isBlobId(bad), bad);
});
