import assert from "node:assert/strict";
import { test } from "node:test";

import { DEFAULT_LIMITS } from "../../src/index.js";
import { RawJson } from "../../src/json/index.js";
import { Circuit } from "../../src/node/circuit.js";
import { Dedupe } from "../../src/node/dedupe.js";
import { Fingerprints } from "../../src/node/fingerprint.js";
import { type Capacity, Guards } from "../../src/node/guards.js";
import { Rates } from "../../src/node/rates.js";
import { type Envelope, Timestamp } from "../../src/protocol/index.js";

test("texts are known for the time to live", () => {
  const dedupe = new Dedupe(600);
  assert.equal(dedupe.seen("a", 0), false);
  dedupe.remember("a", 0);
  dedupe.remember("b", 10);
  assert.equal(dedupe.seen("a", 599), true);
  assert.equal(dedupe.seen("a", 600), false);
  assert.equal(dedupe.seen("b", 600), true);
  assert.equal(dedupe.size, 1, "expired entries are gone");
});

test("forgotten texts may come again and live their full time", () => {
  const dedupe = new Dedupe(600);
  dedupe.remember("a", 0);
  dedupe.forget("a");
  assert.equal(dedupe.seen("a", 1), false);
  dedupe.remember("a", 100);
  assert.equal(dedupe.seen("a", 600), true, "the first time to live does not count");
  assert.equal(dedupe.seen("a", 700), false);
  assert.equal(dedupe.size, 0);
});

test("many texts come and go", () => {
  const dedupe = new Dedupe(10);
  for (let time = 0; time < 200; time += 1) {
    for (let number = 0; number < 200; number += 1) {
      const text = `${time}-${number}`;
      assert.equal(dedupe.seen(text, time), false);
      dedupe.remember(text, time);
      dedupe.remember(text, time);
    }
    for (let before = 0; before <= time; before += 1) {
      assert.equal(dedupe.seen(`${before}-${before % 200}`, time), time - before < 10, `${before} at ${time}`);
    }
    assert.equal(dedupe.size, 200 * Math.min(time + 1, 10));
  }
});

test("no number of texts takes more than its room, and empty text is never known", () => {
  const dedupe = new Dedupe(600, 5_000);
  for (let number = 0; number < 16_000; number += 1) dedupe.remember(String(number), 0);
  assert.equal(dedupe.size, 5_000);
  assert.equal(dedupe.seen("10999", 0), false);
  assert.equal(dedupe.seen("11000", 0), true);
  dedupe.remember("", 0);
  assert.equal(dedupe.seen("", 0), false);
});

test("fingerprints differ by text and by key, and use all their bits", () => {
  const key = new Uint32Array([1, 2, 3, 4]);
  const one = new Fingerprints(key);
  const texts = [
    "",
    "a",
    "b",
    "ab",
    "abc",
    "abcd",
    "abcde",
    "abc\0",
    "a\0",
    "\0",
    "\0\0",
    "é",
    "\ud800",
    "x".repeat(1_000),
  ];
  const known = new Set(texts.map((text) => one.of(text)));
  assert.equal(known.size, texts.length, "all differ");
  for (const text of texts) {
    for (const before of texts) {
      const several = new Fingerprints(key);
      several.of(before);
      assert.deepEqual([several.of(text), several.of(text)], [one.of(text), one.of(text)], "whatever came before");
    }
  }
  for (const text of texts) {
    assert.equal(one.of(text).length, 8);
    assert.equal(new Fingerprints(key).of(text), one.of(text));
    assert.notEqual(new Fingerprints(new Uint32Array([1, 2, 3, 5])).of(text), one.of(text));
  }
  // Every bit of the output takes part: of 2,000 texts, each bit is set in about a half.
  const counts = new Array<number>(128).fill(0);
  for (let number = 0; number < 2_000; number += 1) {
    const print = one.of(`text ${number}`);
    for (let bit = 0; bit < 128; bit += 1)
      counts[bit] = (counts[bit] ?? 0) + ((print.charCodeAt(bit >> 4) >> (bit & 15)) & 1);
  }
  for (const count of counts) assert.ok(count > 800 && count < 1_200, `${counts}`);
});

test("senders have buckets of their own, and idle ones go", () => {
  const rates = new Rates(1, 2, 600_000);
  assert.deepEqual(
    [1, 2, 3].map(() => rates.take("a", 1_000)),
    [true, true, false],
  );
  assert.equal(rates.take("b", 1_000), true);
  assert.equal(rates.take("a", 700_000), true, "refilled, and moved to the young generation");
  assert.equal(rates.size, 2, "b has not been used");
  assert.equal(rates.take("a", 1_400_000), true);
  assert.equal(rates.size, 1, "b is gone");
});

test("any number of made-up senders takes bounded room", () => {
  const rates = new Rates(1, 2, 600_000, 1_000);
  for (let number = 0; number < 5_000; number += 1) {
    assert.equal(rates.take(`sender ${number}`, 1_000), true);
    assert.ok(rates.size <= 2_000);
  }
});

test("the circuit opens on failures in a row only, and closes by time", () => {
  const circuit = new Circuit(2, 15);
  circuit.failed(1);
  circuit.succeeded();
  circuit.failed(2);
  assert.equal(circuit.isOpen(2), false, "a success in between resets the count");
  circuit.failed(3);
  assert.equal(circuit.isOpen(3), true);
  assert.equal(circuit.isOpen(17), true);
  assert.equal(circuit.isOpen(18), false, "closed after the reset time");
  circuit.failed(18);
  assert.equal(circuit.isOpen(18), false, "the count started again");
});

const SENT_AT = "2026-02-21T08:00:00Z";
const NOW = Timestamp.parse(SENT_AT);
const FREE: Capacity = { isAccepting: true, isCircuitOpen: false, isBacklogFull: false };

function envelope(changes: Partial<Envelope> = {}): Envelope {
  return {
    messageId: "m1",
    fromAgent: "a",
    fromAccountId: "acct_a",
    toAgent: "acct_b",
    payload: RawJson.NULL,
    sentAt: SENT_AT,
    ttlMs: 30_000,
    kind: "direct",
    schemaVersion: "1.1",
    ...changes,
  };
}

function guards(isSigned = false): Guards {
  return new Guards({ accountId: "acct_b", agentId: "b", isSigned }, { ...DEFAULT_LIMITS, rateLimitBurst: 3 });
}

test("the first failing check decides, in the order of section 12", () => {
  const guard = guards();
  const admit = (message: Envelope, capacity: Partial<Capacity> = {}) =>
    guard.admit(message, { ...FREE, ...capacity }, 0, NOW)?.code;
  const expired = envelope({ sentAt: "2026-02-21T07:00:00Z" });
  assert.equal(admit(expired, { isAccepting: false, isCircuitOpen: true, isBacklogFull: true }), "shutting_down");
  assert.equal(admit(expired, { isCircuitOpen: true, isBacklogFull: true }), "service_degraded");
  assert.equal(admit(expired, { isBacklogFull: true }), "expired");
  assert.equal(admit(envelope({ sentAt: "no time" })), "missing_ttl");
  assert.equal(admit(envelope(), { isBacklogFull: true }), "busy");
  assert.equal(admit(envelope()), undefined, "what was refused as busy burns no id");
  assert.equal(admit(envelope(), { isBacklogFull: true }), "duplicate");
  assert.equal(admit(envelope()), "rate_limited", "the rate comes before the duplicates");
});

test("idempotency keys belong to sender and receiver, and failures are forgotten", () => {
  const guard = guards();
  const admit = (changes: Partial<Envelope>, now = 0) =>
    guard.admit(envelope({ ...changes, fromSessionTag: changes.messageId ?? "" }), FREE, now, NOW);
  assert.equal(admit({ messageId: "1", idempotencyKey: " k " }), undefined);
  assert.equal(admit({ messageId: "2", idempotencyKey: "k" })?.detail, "idempotency_key has already been processed");
  assert.equal(admit({ messageId: "3", idempotencyKey: "K" }), undefined);
  assert.equal(admit({ messageId: "4", idempotencyKey: "k", fromAccountId: "acct_c" }), undefined);
  guard.forget(envelope({ messageId: "1", idempotencyKey: "k" }));
  assert.equal(admit({ messageId: "1", idempotencyKey: "k" }), undefined);
});

test("under signed identity the account's rate counts, not the session's", () => {
  const guard = guards(true);
  const codes = [1, 2, 3, 4].map(
    (n) => guard.admit(envelope({ messageId: `${n}`, fromSessionTag: `s${n}` }), FREE, 0, NOW)?.code,
  );
  assert.deepEqual(codes, [undefined, undefined, undefined, "rate_limited"]);
});
