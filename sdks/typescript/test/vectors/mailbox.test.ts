/** Vectors of the mailbox and of signed requests (PROTOCOL.md sections 13.8 and 21). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonObject, ObjectWriter, RawJson, stringify } from "../../src/json/index.js";
import {
  decodeEnvelope,
  decodeMailboxEvent,
  decodeReceipt,
  encodeEnvelope,
  encodeHello,
  encodeReceipt,
  isReceiptOfRegistry,
  MAILBOX_PULL,
  MAILBOX_RETRIABLE_CODES,
  payloadSha256,
  type Receipt,
  RPC,
  type Rpc,
  receiptClaims,
  receiptStatus,
  requestClaims,
  SigningKey,
  Timestamp,
  verifyDetached,
} from "../../src/protocol/index.js";
import { type Case, checkCases, checkEach, loadVectors } from "../support/vectors.js";

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

test("mailbox_member", () =>
  checkEach("mailbox_member", (c) => {
    const envelope = decodeEnvelope(c.text("wire"));
    assert.equal(envelope.mailbox, c.optText("ack"));
    const encoded = encodeEnvelope(envelope);
    assert.equal(encoded, c.text("reencoded"));
    assert.equal(decodeEnvelope(encoded).mailbox, envelope.mailbox);
  }));

/** Registries read the member; of what they take for `pull`, this package writes one form. */
test("mailbox_pull", async () => {
  let written = 0;
  const agent = { agentId: "a", name: "a", capabilities: [], metadata: RawJson.EMPTY_OBJECT };
  const hello = JsonObject.parseBody(encodeHello(agent, undefined, undefined, true));
  const registration = JsonObject.parseBody(RPC.register.encode({ agent, pullsMailbox: true }));
  await checkEach("mailbox_pull", (c) => {
    const mode = JsonObject.parseBody(c.text("wire"))?.get("mailbox").raw;
    if (mode !== JSON.stringify(MAILBOX_PULL)) return;
    assert.equal(c.get("pull"), true);
    for (const body of [hello, registration]) assert.equal(body?.get("mailbox").raw, mode);
    written += 1;
  });
  assert.ok(written > 0, "no case has the form that is written");
  assert.ok(!encodeHello(agent).includes("mailbox"));
  assert.ok(!RPC.register.encode({ agent }).includes("mailbox"));
});

test("mailbox_receipts", async () => {
  const vectors = loadVectors("mailbox_receipts");
  await checkCases(vectors, async (c) => {
    const receipt = decodeReceipt(c.text("wire"));
    for (const [name, expected] of Object.entries(c.object("fields").members)) {
      assert.equal(receipt[camel(name) as keyof Receipt] ?? null, expected, name);
    }
    assert.equal(encodeReceipt(receipt), c.text("reencoded"));
    const status = receiptStatus(receipt);
    assert.equal(status === "other" ? "" : status, c.text("status"));
    assert.equal(status === "queued" && isReceiptOfRegistry(receipt), c.get("queued_by_registry"));
    assert.equal(MAILBOX_RETRIABLE_CODES.includes(receipt.code ?? ""), c.get("retriable"));
    const claims = receiptClaims(receipt);
    const signedBy = await verifyDetached(receipt.auth, claims);
    const key = c.optText("key");
    if (key === undefined) {
      assert.equal(signedBy, undefined);
      return;
    }
    const signer = await signingKey(vectors.root, key);
    assert.equal(signedBy, signer.publicKey);
    assert.equal(claims.signedText(), c.text("signed_bytes"));
    assert.equal(encodeReceipt({ ...receipt, auth: await signer.detached(claims) }), c.text("wire"), "signed again");
  });
});

test("mailbox_events", () =>
  checkEach("mailbox_events", (c) => {
    assert.equal(rewritten(decodeMailboxEvent(c.text("wire"))), sorted(c.text("reencoded")));
  }));

/** Replies are read here and written by registries: what was read has all members of the wire. */
test("mailbox_replies", () =>
  checkEach("mailbox_replies", (c) => {
    const call = (Object.values(RPC) as Rpc<never, object>[]).find(({ name }) => name === c.text("rpc"));
    assert.ok(call, `there is no RPC ${c.text("rpc")}`);
    assert.equal(rewritten(call.read(c.text("wire"))), sorted(c.text("reencoded")));
  }));

test("signed_requests", async () => {
  const vectors = loadVectors("signed_requests");
  await checkCases(vectors, async (c) => {
    const text = c.text("request");
    const request = RawJson.parse(text);
    assert.equal(request.canonical(), c.text("canonical"));
    assert.equal(payloadSha256(request), c.text("request_sha256"));
    const now = Timestamp.parse(c.text("timestamp"));
    assert.ok(now);
    const rpc = c.text("rpc");
    const [accountId, sessionTag, nonce] = [c.text("account_id"), c.text("session_tag"), c.text("nonce")];
    const claims = requestClaims({ rpc, accountId, sessionTag, text, now, nonce });
    assert.equal(claims.signedText(), c.text("signed_bytes"));
    const key = await signingKey(vectors.root, c.text("key"));
    assert.equal((await key.auth(claims)).text, c.text("auth"));
  });
});

async function signingKey(root: Case, name: string): Promise<SigningKey> {
  return await SigningKey.fromText(root.object("keys").object(name).text("private_key"));
}

/** A record with the member names of the wire, its members sorted. */
function rewritten(record: object): string {
  return sorted(stringify(wireNames(record)));
}

function wireNames(value: unknown): unknown {
  if (value instanceof RawJson || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(wireNames);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [snake(name), wireNames(member)]));
}

/** Members in the order of their names, at every level but inside of messages; null members left out. */
function sorted(text: string): string {
  const object = JsonObject.parseBody(text);
  assert.ok(object);
  const out = new ObjectWriter();
  for (const [name, view] of [...object.entries()].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (view.isNull()) continue;
    const items = view.asArray();
    if (items === undefined) out.raw(name, view.raw);
    else out.raw(name, `[${items.map((item) => (item.kind === "object" ? sorted(item.raw) : item.raw)).join(",")}]`);
  }
  return out.finish();
}
