/** Vectors of times and lifetimes (PROTOCOL.md sections 3 and 12). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { stringify } from "../../src/json/index.js";
import { decodeEnvelope, judgeExpiry, Timestamp } from "../../src/protocol/index.js";
import { checkEach } from "../support/vectors.js";

/** The vectors show offsets; the network writes `Z`. */
function zulu(text: string | undefined): string | undefined {
  return text?.replace(/\+00:00$/, "Z");
}

test("timestamps", () =>
  checkEach("timestamps", (c) => {
    const input = c.text("input");
    assert.equal(Timestamp.parse(input)?.toString(), zulu(c.optText("registry_and_claims")), "trimmed");
    assert.equal(Timestamp.parseExact(input)?.toString(), zulu(c.optText("node_ttl")), "as it is");
  }));

test("timestamp_format", () =>
  checkEach("timestamp_format", (c) => {
    if (c.has("unix_micros")) {
      const time = Timestamp.fromMicros(BigInt(c.number("unix_micros")));
      assert.equal(time.toString(), c.text("text"));
      assert.equal(Timestamp.parse(c.text("text"))?.micros, time.micros);
    } else {
      const end = Timestamp.parse(c.text("sent_at"))?.addMillis(Math.max(1, c.number("ttl_ms")));
      assert.equal(String(end), c.text("expires_at"));
    }
  }));

/** Decided by the Python implementation's exact rule: a clock skew of 0. */
test("ttl_validation", () =>
  checkEach("ttl_validation", (c) => {
    const wire = { sent_at: c.get("sent_at"), ttl_ms: c.get("ttl_ms"), expires_at: c.get("expires_at") };
    const now = Timestamp.parse(c.text("now"));
    assert.ok(now);
    assert.equal(judgeExpiry(decodeEnvelope(stringify(wire)), now, 0)?.code ?? "ok", c.text("result"));
  }));
