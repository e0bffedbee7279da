/** Vectors of the secure mode that concern agents: subjects with an issuer, and the keys of an identity (PROTOCOL.md section 23). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { nkeys } from "@nats-io/nats-core";

import {
  encodeUserNkey,
  encodeUserSeed,
  fromUnpaddedBase64,
  isNonce,
  issuedSubject,
  MemberIdentity,
  mayReplyToRequester,
  messageSeed,
  nkeySeed,
  SigningKey,
  splitIssuer,
  toBase64Url,
  toHex,
} from "../../src/protocol/index.js";
import { type Case, checkEach } from "../support/vectors.js";

test("issuer_subjects", () =>
  checkEach("issuer_subjects", (c) => {
    if (c.has("base")) {
      const [base, issuer] = [c.text("base"), c.text("issuer")];
      assert.equal(issuedSubject(base, issuer), c.text("issued"));
      assert.deepEqual(splitIssuer(c.text("issued")), [base, issuer]);
    } else if (c.has("request_reply")) {
      assert.equal(mayReplyToRequester(c.text("request_reply"), c.text("issuer")), c.get("may_reply"));
    } else if (c.has("subject")) {
      // What a subject is for, `parsed`, registries and observers read; an agent knows it by its subscription.
      assert.deepEqual(splitIssuer(c.text("subject")) ?? null, c.get("split"));
    } else {
      // Registries answer requests on `reply`.
      assert.ok(c.has("reply"));
    }
  }));

test("nkeys", () =>
  checkEach("nkeys", async (c) => {
    if (c.has("nonce_text")) assert.equal(isNonce(c.text("nonce_text")), c.get("is_nonce"));
    else if (c.has("identity_seed")) await checkKeys(c);
    // Registries take public keys from others.
    else assert.ok(c.has("usable"));
  }));

async function checkKeys(c: Case): Promise<void> {
  const seed = Uint8Array.from(Buffer.from(c.text("identity_seed"), "hex"));
  assert.equal(toHex(await nkeySeed(seed)), c.text("nkey_seed"));
  assert.equal(toHex(await messageSeed(seed)), c.text("message_seed"));
  const identity = MemberIdentity.of({
    version: 1,
    urls: ["nats://127.0.0.1:4222"],
    account_id: "acct_1",
    username: "alice",
    role: "agent",
    seed: toBase64Url(seed),
  });
  assert.equal(await identity.publicNkey(), c.text("nkey"));
  assert.equal((await identity.signingKey()).publicKey, c.text("public_key"));
  // As the NATS client reads the seed.
  const pair = nkeys.fromSeed(new TextEncoder().encode(await identity.encodedNkeySeed()));
  assert.equal(pair.getPublicKey(), c.text("nkey"));
  const signature = pair.sign(new TextEncoder().encode(c.text("nonce")));
  assert.equal(toBase64Url(signature), c.text("signature"));
  const own = await SigningKey.fromSeed(await nkeySeed(seed));
  assert.equal(encodeUserNkey(fromUnpaddedBase64(own.publicKey) ?? new Uint8Array()), c.text("nkey"));
  assert.equal(encodeUserSeed(await nkeySeed(seed)), await identity.encodedNkeySeed());
}
