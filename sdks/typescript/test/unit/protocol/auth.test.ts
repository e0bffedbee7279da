import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { JsonView, RawJson } from "../../../src/json/index.js";
import {
  type AgentInfo,
  Claims,
  compose,
  goodbyeClaims,
  helloClaims,
  KeyError,
  keyFileName,
  messageClaims,
  parseSigningScope,
  type Receipt,
  readMessageAuth,
  receiptClaims,
  registerClaims,
  rotateKeyRequest,
  SIGNS_ALL,
  SigningKey,
  Timestamp,
  toBase64Url,
  verifyDetached,
  verifyMessage,
  verifySignature,
} from "../../../src/protocol/index.js";

const keyOf = (byte: number) => SigningKey.fromSeed(new Uint8Array(32).fill(byte));
const NOW = Timestamp.fromMillis(0);

test("received claims become text as Python writes it", () => {
  const wire = '{"n":1,"t":true,"z":null,"w":1.50,"s":"\\ud800","a":["x",2],"n":2}';
  const claims = Claims.read(JsonView.parse(wire));
  assert.ok(claims);
  assert.equal(claims.signedText(), `{"a":"['x', 2]","n":"2","s":"\\ud800","t":"True","w":"1.5","z":"None"}`);
  assert.deepEqual(
    ["n", "t", "z", "missing"].map((name) => claims.get(name)),
    ["2", "True", "", ""],
  );
  assert.equal(Claims.read(JsonView.NULL), undefined);
});

test("claims are compared without their order", () => {
  const one = Claims.of([
    ["a", "1"],
    ["b", "2"],
  ]);
  assert.ok(
    one.sameAs(
      Claims.of([
        ["b", "2"],
        ["a", "1"],
      ]),
    ),
  );
  assert.ok(!one.sameAs(one.without(["a"])));
  assert.ok(!one.sameAs(one.and("c", "3")));
  assert.ok(
    !one.sameAs(
      Claims.of([
        ["a", "1"],
        ["b", "3"],
      ]),
    ),
  );
  assert.equal(one.and("c", "3").json, '{"a":"1","b":"2","c":"3"}');
});

test("a key file reads back, and a damaged one does not", async () => {
  const key = await keyOf(7);
  const file = key.toKeyFile();
  assert.equal((await SigningKey.fromKeyFile(file)).publicKey, key.publicKey);
  assert.equal(file.split("\n").length, 4);
  const foreign = file.replace(key.publicKey, (await keyOf(8)).publicKey);
  await assert.rejects(
    SigningKey.fromKeyFile(foreign),
    new KeyError("the key file's public key does not belong to its private key"),
  );
  for (const broken of ["", "[]", '{"private_key":"x"}', '{"private_key":"","public_key":"x"}']) {
    await assert.rejects(
      SigningKey.fromKeyFile(broken),
      /must be a JSON object with `private_key` and `public_key`/,
      broken,
    );
  }
  const short = '{"private_key":"AAAA","public_key":"AAAA"}';
  await assert.rejects(SigningKey.fromKeyFile(short), /must be 32 bytes/);
});

test("a key is shown without its private part", async () => {
  const key = await SigningKey.generate();
  for (const shown of [inspect(key, { showHidden: true, depth: 9 }), JSON.stringify(key), String(key)]) {
    assert.ok(!shown.includes(key.privateKey), shown);
  }
  assert.notEqual(key.publicKey, (await SigningKey.generate()).publicKey);
});

test("claims that were changed do not verify", async () => {
  const key = await keyOf(7);
  const claims = Claims.of([["a", "1"]]);
  const signature = await key.sign(claims);
  assert.ok(await verifySignature(key.publicKey, signature, claims));
  assert.ok(await verifySignature(key.publicKey, `${signature}==`, claims), "padding may stand");
  assert.ok(!(await verifySignature(key.publicKey, signature, Claims.of([["a", "2"]]))));
  assert.ok(!(await verifySignature((await keyOf(8)).publicKey, signature, claims)));
  for (const broken of ["", "x", "é", "AAAA", toBase64Url(new Uint8Array(33))]) {
    assert.ok(!(await verifySignature(broken, signature, claims)), broken);
    assert.ok(!(await verifySignature(key.publicKey, broken, claims)), broken);
  }
});

test("a key of small order signs nothing", async () => {
  // The neutral element as key and as R, with S = 0, satisfies the equation of every message.
  const neutral = new Uint8Array(32);
  neutral[0] = 1;
  const signature = new Uint8Array(64);
  signature[0] = 1;
  for (const sign of [0, 0x80]) {
    neutral[31] = sign;
    assert.ok(!(await verifySignature(toBase64Url(neutral), toBase64Url(signature), Claims.of([["a", "1"]]))));
  }
});

test("a detached signature covers its claims alone", async () => {
  const key = await keyOf(3);
  const claims = Claims.of([
    ["purpose", "receipt"],
    ["message_id", "m"],
  ]);
  const auth = await key.detached(claims);
  assert.equal(await verifyDetached(auth, claims), key.publicKey);
  assert.equal(
    await verifyDetached(
      auth,
      Claims.of([
        ["purpose", "hello"],
        ["message_id", "m"],
      ]),
    ),
    undefined,
  );
  const broken = [
    "null",
    "{}",
    '{"scheme":"x","public_key":"a","signature":"b"}',
    '{"scheme":"dev-ed25519-v1","public_key":" ","signature":"b"}',
    '{"scheme":"dev-ed25519-v1","public_key":"a"}',
  ];
  for (const text of broken) assert.equal(await verifyDetached(RawJson.parse(text), claims), undefined, text);
  assert.equal(await verifyDetached(undefined, claims), undefined);
});

test("presence and receipts are covered in every member", async () => {
  const agent: AgentInfo = {
    agentId: "a",
    name: "Ä",
    capabilities: ["chat"],
    metadata: RawJson.parse('{"n":1.0,"b":"ü"}'),
    accountId: "acct_a",
    username: "a",
    sessionTag: "registry_1",
    lastSeen: "2026-01-01T00:00:00Z",
  };
  const claims = helloClaims(agent);
  assert.equal(claims.json.match(/"/g)?.length, 8 * 4, "eight claims");
  // Spelling and order of the metadata do not count, its numbers do.
  assert.ok(claims.sameAs(helloClaims({ ...agent, metadata: RawJson.parse('{ "b": "\\u00fc", "n": 1e0 }') })));
  const changes: Partial<AgentInfo>[] = [
    { agentId: "b" },
    { name: "B" },
    { capabilities: ["chat", "admin"] },
    { metadata: RawJson.parse('{"n":1,"b":"ü"}') },
    { accountId: "acct_b" },
    { username: "b" },
    { sessionTag: "registry_2" },
    { lastSeen: "2026-01-01T00:00:01Z" },
  ];
  for (const change of changes) assert.ok(!claims.sameAs(helloClaims({ ...agent, ...change })), JSON.stringify(change));

  const goodbye = { agentId: "a", sessionTag: "t", seenAt: "now" };
  for (const change of [{ agentId: "b" }, { sessionTag: "u" }, { seenAt: "then" }]) {
    assert.ok(!goodbyeClaims(goodbye).sameAs(goodbyeClaims({ ...goodbye, ...change })));
  }
  const receipt: Receipt = { messageId: "m", status: "accepted", eventAt: "now" };
  for (const name of [
    "messageId",
    "status",
    "eventAt",
    "fromAccountId",
    "fromSessionTag",
    "toAccountId",
    "traceId",
    "threadId",
    "parentMessageId",
    "code",
    "detail",
  ]) {
    assert.ok(!receiptClaims(receipt).sameAs(receiptClaims({ ...receipt, [name]: "changed" })), name);
  }
});

test("a message is checked in the order of section 13.4", async () => {
  const [key, other] = [await keyOf(1), await keyOf(2)];
  const sender = { agentId: "a", accountId: "acct_a", sessionTag: "t" };
  const message = compose(
    { toAgent: "acct_b", toAccountId: "acct_b", payload: RawJson.parse("1.0") },
    sender,
    "M",
    NOW,
  );
  const signed = { ...message, auth: await key.auth(messageClaims(message)) };
  assert.equal(await verifyMessage(signed, key.publicKey), undefined);
  assert.deepEqual(readMessageAuth(signed), { publicKey: key.publicKey });
  assert.equal(
    await verifyMessage({ ...signed, fromAgent: "z", fromSessionTag: "z" }, key.publicKey),
    undefined,
    "not covered",
  );
  const { fromAccountId: _, ...anonymous } = signed;
  assert.equal(await verifyMessage(anonymous, key.publicKey), "auth_missing_from_account");
  assert.equal(await verifyMessage(message, key.publicKey), "auth_missing");
  const withAuth = (text: string) => verifyMessage({ ...message, auth: RawJson.parse(text) }, key.publicKey);
  assert.equal(await withAuth('{"scheme":"x"}'), "auth_scheme_invalid");
  assert.equal(await withAuth('{"scheme":"dev-ed25519-v1","public_key":"k","claims":{}}'), "auth_payload_invalid");
  assert.equal(await verifyMessage(signed, undefined), "auth_key_not_found");
  assert.equal(await verifyMessage(signed, other.publicKey), "auth_public_key_mismatch");
  assert.equal(await verifyMessage({ ...signed, payload: RawJson.parse("1") }, key.publicKey), "auth_claims_mismatch");
  const forged = RawJson.parse(signed.auth.text.replace(key.publicKey, other.publicKey));
  assert.equal(await verifyMessage({ ...signed, auth: forged }, other.publicKey), "auth_signature_invalid");
  const legacy = await key.auth(messageClaims(message).without(["schema_version", "idempotency_key"]));
  assert.equal(await verifyMessage({ ...message, auth: legacy }, key.publicKey), undefined);
});

test("registrations and rotations claim what section 13 names", async () => {
  const claims = registerClaims({ agentId: "a", name: "A", now: NOW, nonce: "n", signs: SIGNS_ALL });
  assert.equal(
    claims.json,
    '{"agent_id":"a","name":"A","username":"","account_id":"","timestamp":"1970-01-01T00:00:00Z","nonce":"n","signs":"receipts,presence"}',
  );
  const [oldKey, newKey] = [await keyOf(1), await keyOf(2)];
  const request = await rotateKeyRequest("acct_a", oldKey, newKey, NOW, "n");
  const signed = Claims.read(request.auth.view().asObject()?.get("claims") ?? JsonView.NULL);
  assert.ok(signed);
  assert.equal(signed.get("new_public_key"), newKey.publicKey);
  assert.ok(await verifySignature(newKey.publicKey, request.proof, signed));
  assert.deepEqual(parseSigningScope(" presence , sleep"), { receipts: false, presence: true });
  assert.deepEqual(parseSigningScope(SIGNS_ALL), { receipts: true, presence: true });
});

test("a key file is never outside its directory", () => {
  assert.equal(keyFileName(undefined, "/"), "_.json");
  assert.equal(keyFileName("_", "../.."), ".._...json");
});
