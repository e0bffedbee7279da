/** Identity files of members (PROTOCOL.md section 23.3). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { type IdentityRecord, KeyError, MemberIdentity } from "../../../src/index.js";

const SEED = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const RECORD: IdentityRecord = {
  version: 1,
  urls: ["nats://127.0.0.1:4222"],
  account_id: "acct_1",
  username: "alice",
  role: "agent",
  seed: SEED,
};

test("an identity is read from its text and from its object", async () => {
  const read = MemberIdentity.parse(JSON.stringify({ ...RECORD, later: true, ca_pem: "PEM" }));
  assert.deepEqual(
    [read.urls, read.accountId, read.username, read.role, read.caPem],
    [RECORD.urls, "acct_1", "alice", "agent", "PEM"],
  );
  const same = MemberIdentity.of({ ...RECORD, ca_pem: null });
  assert.equal(same.caPem, undefined);
  assert.equal(await same.publicNkey(), await read.publicNkey());
  assert.notEqual(await same.publicNkey(), (await same.signingKey()).publicKey);
});

test("what is no identity is refused, and no error shows the seed", () => {
  const cases: [text: string, told: RegExp][] = [
    ["", /no JSON/],
    [`{"seed":"${SEED}"`, /no JSON/],
    ["null", /no JSON object/],
    ["{}", /version is missing/],
    [JSON.stringify({ ...RECORD, version: 2 }), /version is 2, and this program reads 1/],
    [JSON.stringify({ ...RECORD, urls: "nats://h" }), /urls/],
    [JSON.stringify({ ...RECORD, username: 1 }), /username/],
    [JSON.stringify({ ...RECORD, account_id: "acct.*" }), /account_id/],
    [JSON.stringify({ ...RECORD, account_id: "" }), /account_id/],
    [JSON.stringify({ ...RECORD, ca_pem: 1 }), /ca_pem/],
    [JSON.stringify({ ...RECORD, seed: `AA${SEED}` }), /32 bytes/],
    [JSON.stringify({ ...RECORD, seed: `${SEED}=` }), /32 bytes/],
    [JSON.stringify({ ...RECORD, seed: ` ${SEED}` }), /32 bytes/],
  ];
  for (const [text, told] of cases) {
    assert.throws(
      () => MemberIdentity.parse(text),
      (error: unknown) => {
        assert.ok(error instanceof KeyError, text);
        assert.match(error.message, told, text);
        assert.ok(!error.message.includes(SEED.slice(0, 8)), text);
        return true;
      },
    );
  }
});

test("an identity that is shown hides its seed", () => {
  const identity = MemberIdentity.of(RECORD);
  for (const shown of [JSON.stringify(identity), inspect(identity, { showHidden: true, depth: 5 }), String(identity)]) {
    assert.ok(!shown.includes(SEED), shown);
  }
});
