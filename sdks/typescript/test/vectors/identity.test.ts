/** Vectors of ids, usernames and targets (PROTOCOL.md sections 3, 7.1 and 11.2). */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isAccountId,
  normaliseUsername,
  parseCompatTarget,
  parseNodeTarget,
  parseSdkTarget,
  type Target,
  TargetError,
  UsernameError,
  ulid,
  usableUsername,
  usernameLookupKey,
} from "../../src/protocol/index.js";
import { checkEach } from "../support/vectors.js";

test("ulid", () =>
  checkEach("ulid", (c) => {
    const random = Uint8Array.from(c.text("random_hex").match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
    const id = ulid(c.number("timestamp_ms"), random);
    assert.equal(id, c.text("ulid"));
    assert.equal(`acct_${id.toLowerCase()}`, c.text("account_id"));
    assert.equal(`thread_sdk_${id.toLowerCase()}`, c.text("thread_sdk"));
    assert.ok(isAccountId(c.text("account_id")));
  }));

test("usernames", () =>
  checkEach("usernames", (c) => {
    const input = c.text("input");
    const normalised = normaliseUsername(input);
    assert.equal(normalised, c.text("normalized"));
    assert.equal(normaliseUsername(normalised), normalised, "normalising twice changes nothing");
    assert.equal(usernameLookupKey(input), c.text("client_prepared"));
    assert.equal(normaliseUsername(c.text("client_prepared")), c.text("normalized_of_client_prepared"));
    assert.equal(normaliseUsername(c.text("ts_prepared")), c.text("normalized_of_client_prepared"));
  }));

test("usable_usernames", () =>
  checkEach("usable_usernames", (c) => {
    const input = c.text("input");
    let outcome = "usable";
    try {
      assert.equal(usableUsername(input), c.text("normalized"));
    } catch (error) {
      if (!(error instanceof UsernameError)) throw error;
      outcome = error.outcome;
      // The error says what the name would become.
      if (outcome === "lossy") assert.ok(error.message.includes(`become "${c.text("normalized")}"`), error.message);
    }
    assert.equal(outcome, c.text("outcome"));
    assert.equal(normaliseUsername(input), c.text("normalized"), "the wire's rule stays");
  }));

test("targets", () =>
  checkEach("targets", (c) => {
    const input = c.text("input");
    assert.deepEqual(
      described(() => parseNodeTarget(input, "send")),
      c.get("node"),
      "node",
    );
    assert.deepEqual(
      described(() => parseSdkTarget(input)),
      c.get("sdk"),
      "sdk",
    );
    assert.deepEqual(
      described(() => parseCompatTarget(input)),
      c.get("ts"),
      "ts",
    );
  }));

function described(parse: () => Target): unknown {
  try {
    return parse();
  } catch (error) {
    assert.ok(error instanceof TargetError);
    return { kind: "error", error: error.message };
  }
}
