/** Vectors of records: envelopes, receipts, agents, read and written again (PROTOCOL.md section 5). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonError, JsonObject, JsonView, persisted, stringify, wire } from "../../src/json/index.js";
import {
  DecodeError,
  decodeAgentInfo,
  decodeEnvelope,
  decodeReceipt,
  type Envelope,
  encodeAgentInfo,
  encodeEnvelope,
  encodeReceipt,
  type Receipt,
} from "../../src/protocol/index.js";
import { type Case, checkEach } from "../support/vectors.js";

/** Two JSON texts are compared in one spelling: members stay in their order, numbers keep their type. */
function assertSameJson(ours: string, expected: string): void {
  assert.equal(wire(ours), wire(expected));
}

/** A payload is carried as the text it came in, so the re-encoding is compared after both were brought into one spelling. */
test("envelope_decode", () =>
  checkEach("envelope_decode", (c) => {
    if (c.has("raw_hex")) return checkBody(c);
    if (c.optText("error") !== undefined) {
      assert.throws(() => decodeEnvelope(c.text("wire")), JsonError);
      return;
    }
    const envelope = decodeEnvelope(c.text("wire"));
    checkFields(c, envelope);
    assert.equal(persisted(envelope.payload.text), c.text("payload_json"), "payload");
    const encoded = encodeEnvelope(envelope);
    assert.match(encoded, /^[\u0000-\u007e]*$/, "the wire text is ASCII");
    assertSameJson(encoded, c.text("reencoded"));
    // What we wrote reads back as the same message.
    assert.equal(encodeEnvelope(decodeEnvelope(new TextEncoder().encode(encoded))), encoded);
  }));

/** A case that records only whether a body can be read at all. */
function checkBody(c: Case): void {
  const body = Uint8Array.from(c.text("raw_hex").match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  const result = c.text("decode_result");
  if (result === "dict") {
    assert.ok(JsonObject.parseBody(body));
    decodeEnvelope(body);
  } else if (result.startsWith("error:")) {
    assert.throws(() => JsonObject.parseBody(body), JsonError);
    assert.throws(() => decodeEnvelope(body), JsonError);
  } else {
    assert.equal(JsonObject.parseBody(body), undefined);
    assert.throws(() => decodeEnvelope(body), new DecodeError("the body must be a JSON object"));
  }
}

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function checkFields(c: Case, envelope: Envelope): void {
  const fields = c.object("fields");
  for (const [name, expected] of Object.entries(fields.members)) {
    const actual = envelope[camel(name.replace("_text", "")) as keyof Envelope];
    if (name === "ttl_ms_text") assert.equal(String(envelope.ttlMs), expected, name);
    else if (name === "ttl_ms") {
      // Beyond 64 bits the recording has the digits beside it, as text.
      if (!fields.has("ttl_ms_text")) assert.equal(actual === undefined ? null : Number(actual), expected, name);
    } else if (name === "reply_to" || name === "auth") {
      assertSameJson(String(actual ?? "null"), stringify(expected));
    } else assert.equal(actual ?? null, expected, name);
  }
}

test("receipts", () =>
  checkEach("receipts", (c) => {
    const receipt = decodeReceipt(c.text("wire"));
    for (const [name, expected] of Object.entries(c.object("fields").members)) {
      assert.equal(receipt[camel(name) as keyof Receipt] ?? null, expected, name);
    }
    assert.equal(encodeReceipt(receipt), c.text("reencoded"));
    assert.deepEqual(decodeReceipt(encodeReceipt(receipt)), receipt, "written and read again");
  }));

/** PROTOCOL.md section 0.3: what makes the Python implementation fail without an answer is an error that names the member. */
test("agent_info", () =>
  checkEach("agent_info", (c) => {
    const object = JsonView.parse(c.text("wire")).asObject();
    assert.ok(object);
    if (c.optText("error") !== undefined) {
      assert.throws(
        () => decodeAgentInfo(object),
        (error) => error instanceof DecodeError && error.member === "capabilities",
      );
      return;
    }
    const encoded = encodeAgentInfo(decodeAgentInfo(object));
    assertSameJson(encoded, c.text("reencoded"));
    const again = JsonObject.parseBody(encoded);
    assert.ok(again);
    assert.equal(encodeAgentInfo(decodeAgentInfo(again)), encoded, "written and read again");
  }));
