/** Vectors of payloads: texts, compaction events, streams (PROTOCOL.md sections 5.5, 9 and 17). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonView, type RawJson } from "../../src/json/index.js";
import {
  AssembleError,
  extractText,
  frameText,
  isCompactionRequired,
  parseCompactionRequired,
  parseStreamFrame,
  StreamAssembler,
  type StreamFrame,
  StreamFrameError,
  type StreamPart,
  streamFramePayload,
} from "../../src/protocol/index.js";
import { checkEach } from "../support/vectors.js";

test("sdk_extract_text", () =>
  checkEach("sdk_extract_text", (c) => {
    assert.equal(extractText(JsonView.parse(c.text("payload_json"))), c.optText("text"));
  }));

/** The recordings are of the Python helper, which leaves `pending_messages` and `keep_tail_messages` out. */
test("compaction_events", () =>
  checkEach("compaction_events", (c) => {
    const source = JsonView.parse(c.text("source_json"));
    assert.equal(isCompactionRequired(source), c.get("is_compaction"));
    const event = parseCompactionRequired(source);
    const shown = event && {
      thread_id: event.threadId,
      status: event.status,
      message_count: event.messageCount,
      byte_count: event.byteCount,
      approx_tokens: event.approxTokens,
      soft_limit_tokens: event.softLimitTokens,
      hard_limit_tokens: event.hardLimitTokens,
      latest_checkpoint_end: event.latestCheckpointEnd,
      requested_at: event.requestedAt ?? null,
      reason: event.reason ?? null,
    };
    assert.deepEqual(shown ?? null, c.get("event"));
  }));

test("stream_frames", () =>
  checkEach("stream_frames", (c) => {
    const payload = JsonView.parse(c.text("payload_json"));
    let frame: StreamFrame | undefined;
    try {
      frame = parseStreamFrame(payload);
    } catch (error) {
      assert.ok(error instanceof StreamFrameError, String(error));
      assert.equal(error.member, c.optText("error"));
      return;
    }
    assert.equal(undefined, c.optText("error"));
    assert.deepEqual(frame === undefined ? null : shownFrame(frame), c.get("frame"));
    // What is read is written so that it reads the same.
    if (frame === undefined) return;
    const again = parseStreamFrame(streamFramePayload(frame).view());
    assert.deepEqual(again, frame);
  }));

function shownFrame(frame: StreamFrame): unknown {
  const { streamId, seq, role, contentType, part } = frame;
  return { stream_id: streamId, seq, role, content_type: contentType, type: `stream_${part.type}`, ...shownPart(part) };
}

function shownPart(part: StreamPart): object {
  const json = (raw: RawJson | undefined) => raw?.value() ?? null;
  switch (part.type) {
    case "start":
      return { numbered: part.numbered, started_at: part.startedAt ?? null, metadata: json(part.metadata) };
    case "delta":
      return { delta: json(part.delta) };
    case "end":
      return {
        text: part.text ?? null,
        result: json(part.result),
        finished_at: part.finishedAt ?? null,
        metadata: json(part.metadata),
      };
    case "error":
      return {
        error: part.error,
        detail: part.detail ?? null,
        finished_at: part.finishedAt ?? null,
        metadata: json(part.metadata),
      };
  }
}

test("stream_assembly", () =>
  checkEach("stream_assembly", (c) => {
    const assembler = new StreamAssembler();
    const pieces: (string | undefined)[] = [];
    let failure: string | undefined;
    for (const payload of c.get("payloads_json") as string[]) {
      const frame = parseStreamFrame(JsonView.parse(payload));
      assert.ok(frame);
      let foreign = false;
      try {
        assembler.push(frame);
      } catch (error) {
        foreign = error instanceof AssembleError && error.code === "stream_other";
        if (!foreign) throw error;
      }
      assert.equal(foreign, c.text("case") === "frames of another stream" && payload.includes("s2"));
      for (let given = assembler.pop(); given !== undefined; given = assembler.pop()) {
        if (given.part.type === "delta") pieces.push(frameText(given));
        if (given.part.type === "error") failure = given.part.error;
      }
    }
    assert.deepEqual(pieces, c.get("pieces"));
    assert.equal(assembler.text, c.text("text"));
    assert.equal(assembler.isComplete, c.get("complete"));
    const missing = assembler.missingNumbers(1000);
    assert.deepEqual(missing, c.get("missing"));
    assert.equal(assembler.missingCount, missing.length);
    assert.equal(failure, c.optText("error"));
    assembler.endHere();
    while (assembler.pop() !== undefined);
    assert.equal(assembler.isComplete, c.get("complete_at_end_here"));
  }));
