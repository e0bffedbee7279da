/** Vectors of the receiver's rules, limits and latency figures (PROTOCOL.md sections 0.11, 6 and 12). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonView, stringify } from "../../src/json/index.js";
import {
  checkCapabilities,
  checkEnvelope,
  checkRequest,
  decodeEnvelope,
  idempotencyScope,
  judgeSchemaVersion,
  parseStreamFrame,
  percentiles,
  RateLimit,
  rateBucketKey,
  senderFields,
  TokenBucket,
  TooLarge,
} from "../../src/protocol/index.js";
import { Case, checkEach } from "../support/vectors.js";

test("schema_version", () =>
  checkEach("schema_version", (c) => {
    const envelope = decodeEnvelope(`{"schema_version":${c.text("wire_value_json")}}`);
    assert.equal(envelope.schemaVersion, c.text("decoded"));
    const result = judgeSchemaVersion(envelope.schemaVersion);
    if ("version" in result) assert.deepEqual(["ok", result.version], [c.text("result"), c.text("normalized")]);
    else assert.deepEqual([result.reject.code, undefined], [c.text("result"), c.optText("normalized")]);
  }));

test("rate_limiter", () =>
  checkEach("rate_limiter", (c) => {
    const limit = new RateLimit(c.number("rate_config"), c.number("burst_config"));
    assert.deepEqual([limit.perSecond, limit.burst], [c.number("effective_rate"), c.number("effective_burst")]);
    const buckets = new Map<string, TokenBucket>();
    for (const [index, members] of (c.get("trace") as Record<string, unknown>[]).entries()) {
      const step = new Case(members);
      const bucket = buckets.get(step.text("sender")) ?? new TokenBucket(limit, step.number("t"));
      buckets.set(step.text("sender"), bucket);
      assert.equal(bucket.take(limit, step.number("t")), step.get("allow"), `step ${index}`);
      // The recording may be rounded; the decisions above show that no bit was lost.
      assert.ok(Math.abs(bucket.tokens - step.number("tokens_after")) < 1e-9, `step ${index}: ${bucket.tokens} left`);
    }
  }));

const wire = (c: Case) => decodeEnvelope(stringify(c.get("wire")));

test("sender_key", () =>
  checkEach("sender_key", (c) => {
    assert.equal(rateBucketKey(senderFields(wire(c))), c.text("sender_key"));
  }));

test("idempotency_scope", () =>
  checkEach("idempotency_scope", (c) => {
    const envelope = wire(c);
    const scope = idempotencyScope(
      envelope.idempotencyKey,
      senderFields(envelope),
      c.optText("receiver_account_id"),
      c.text("receiver_agent_id"),
    );
    assert.equal(scope, c.optText("scope"));
  }));

test("latency_percentiles", () =>
  checkEach("latency_percentiles", (c) => {
    assert.deepEqual(percentiles(c.get("samples") as number[]), c.get("stats"));
  }));

test("limits", () =>
  checkEach("limits", (c) => {
    assert.equal(
      refusal(() => checkLimit(c)),
      c.optText("error"),
    );
  }));

function refusal(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof TooLarge, String(error));
    return error.message;
  }
}

function checkLimit(c: Case): void {
  const text = c.text("unit_text").repeat(c.number("repeat"));
  switch (c.text("where")) {
    case "envelope":
      checkEnvelope(decodeEnvelope(stringify({ [c.text("member")]: text })));
      break;
    case "capabilities":
      checkCapabilities(new Array<string>(c.number("count")).fill(text));
      break;
    case "stream": {
      const payload = { type: c.text("type"), stream_id: "s", seq: 1, delta: "d", [c.text("member")]: text };
      assert.ok(parseStreamFrame(JsonView.parse(stringify(payload))));
      break;
    }
    case "request":
      checkRequestLimit(c, text);
      break;
    default:
      assert.fail(`no such place: ${c.text("where")}`);
  }
}

function checkRequestLimit(c: Case, text: string): void {
  // A registration, and what the calls without texts ignore, have no such bounds.
  const rpc = c.text("rpc");
  if (rpc === "register") return;
  const needed = { agent_id: "a", account_id: "a", username: "u", thread_id: "t", new_public_key: "k" };
  const body = (value: string) => JSON.stringify({ ...needed, [c.text("member")]: value });
  checkRequest(body(c.text("member") === "padding" ? text.slice(0, text.length - body("").length) : text));
}
