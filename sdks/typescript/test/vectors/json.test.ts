/** Vectors of JSON: canonical form, wire form, sizes, doubles, coercion to integers (PROTOCOL.md sections 1 and 4). */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ascii,
  canonical,
  floatText,
  JsonError,
  JsonView,
  parseLossless,
  persisted,
  persistedLength,
  RawJson,
  stringify,
  wire,
} from "../../src/json/index.js";
import { payloadSha256, sha256Hex } from "../../src/protocol/index.js";
import { checkEach } from "../support/vectors.js";

test("canonical_json", () =>
  checkEach("canonical_json", (c) => {
    const input = RawJson.parse(c.text("input_json"));
    assert.equal(input.canonical(), c.text("canonical"), "canonical");
    assert.equal(payloadSha256(input), c.text("sha256"), "sha256");
    assert.equal(sha256Hex(input.canonical()), c.text("sha256"), "sha256 of the canonical text");
    assert.equal(wire(input.text), c.text("wire_encoding"), "wire_encoding");
    assert.equal(persisted(input.text), c.text("persisted_text"), "persisted_text");
    assert.equal(persistedLength(input.text), c.number("persisted_byte_count"), "persisted_byte_count");

    // Each form is JSON again, and means the same.
    for (const form of [c.text("canonical"), c.text("wire_encoding"), c.text("persisted_text")]) {
      assert.equal(canonical(form), c.text("canonical"), `canonical form of ${form}`);
    }
    // Escaping alone changes neither white space nor numbers, and yields the same value.
    const escaped = ascii(input.text);
    assert.match(escaped, /^[\u0000-\u007e]*$/);
    assert.equal(canonical(escaped), c.text("canonical"), "ascii");
    // What is read without loss is written as the same text, and as the same canonical form.
    assert.equal(canonical(stringify(parseLossless(input.text))), c.text("canonical"), "lossless");
  }));

test("float_format", () =>
  checkEach("float_format", (c) => {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, BigInt(`0x${c.text("bits_hex")}`));
    const text = floatText(view.getFloat64(0));
    assert.equal(text, c.text("json"));
    // The text read from the wire and written again stays as it is, and is a double, not an integer.
    assert.equal(JsonView.parse(text).kind, "float");
    assert.equal(wire(text), text);
    assert.equal(stringify(parseLossless(text)), text);
  }));

test("payload_byte_count", () =>
  checkEach("payload_byte_count", (c) => {
    assert.equal(persisted(c.text("payload_json")), c.text("persisted_text"));
    assert.equal(persistedLength(c.text("payload_json")), c.number("byte_count"));
  }));

/** PROTOCOL.md section 0.3: an infinite number, on which the Python implementation gives no answer at all, is an error here. */
test("int_coercion", () =>
  checkEach("int_coercion", (c) => {
    const view = JsonView.parse(c.text("value_json"));
    const python = c.get("python_int");
    if (python === "OverflowError") {
      assert.throws(
        () => view.int(),
        (error) => error instanceof JsonError && error.reason === "overflow",
      );
      return;
    }
    const isError = typeof python === "string" && python.endsWith("Error");
    const read = view.int();
    assert.equal(read, isError ? undefined : integer(python));
    const coerced = read === undefined ? 77n : read < 0n ? 0n : read;
    assert.equal(coerced, integer(c.get("coerced_default_77")));
  }));

/** A recorded integer; one beyond 64 bits may be written as text. */
function integer(value: unknown): bigint {
  return typeof value === "string" ? BigInt(value) : BigInt(value as number);
}
