/** Vectors of signed identity: signatures, registrations, messages (PROTOCOL.md section 13). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonView, stringify, trim } from "../../src/json/index.js";
import {
  Claims,
  decodeEnvelope,
  defaultThreadId,
  type Envelope,
  judgeExpiry,
  judgeSchemaVersion,
  keyFileName,
  messageClaims,
  registerClaims,
  SigningKey,
  Timestamp,
  traceOrMessageId,
  verifyMessage,
  verifySignature,
} from "../../src/protocol/index.js";
import { type Case, checkCases, checkEach, loadVectors } from "../support/vectors.js";

test("signatures", async () => {
  const vectors = loadVectors("signatures");
  await checkCases(vectors, async (c) => {
    const texts = vectors.root.object("keys").object(c.text("key"));
    const key = await SigningKey.fromText(texts.text("private_key"));
    assert.deepEqual([key.privateKey, key.publicKey], [texts.text("private_key"), texts.text("public_key")]);
    const claims = Claims.read(JsonView.parse(stringify(c.get("claims"))));
    assert.ok(claims);
    assert.equal(claims.signedText(), c.text("canonical"));
    assert.equal(await key.sign(claims), c.text("signature"));
    assert.ok(await verifySignature(key.publicKey, c.text("signature"), claims));
  });
});

test("key_file_names", () =>
  checkEach("key_file_names", (c) => {
    assert.equal(keyFileName(c.optText("username"), c.text("agent_id")), c.text("file"));
  }));

/** The checks are the registry's; an agent makes the claims and the signature. So what the recorded registrations carry is made again. */
test("register_auth", async () => {
  const vectors = loadVectors("register_auth");
  let made = 0;
  await checkCases(vectors, async (c) => {
    const error = c.optText("error");
    if (error !== undefined && error !== "auth_public_key_mismatch") return;
    const request = JsonView.parse(c.text("request")).asObject();
    const auth = request?.get("auth").asObject();
    const given = Claims.read(auth?.get("claims") ?? JsonView.NULL);
    assert.ok(request && auth && given);
    assert.ok(await verifySignature(trim(auth.get("public_key").text()), auth.get("signature").text(), given));
    const now = Timestamp.parse(given.get("timestamp"));
    if (now === undefined || now.toString() !== given.get("timestamp")) return;
    const claims = registerClaims({
      agentId: request.get("agent_id").text(),
      name: request.get("name").optText() ?? request.get("agent_id").text(),
      username: given.get("username"),
      accountId: given.get("account_id"),
      now,
      nonce: given.get("nonce"),
    });
    if (!claims.sameAs(given)) return;
    made += 1;
    assert.equal(claims.signedText(), given.signedText());
  });
  assert.ok(made > 0, "no recorded registration was made again");
});

test("message_auth_valid", () => checkMessages("message_auth_valid"));

test("message_auth_invalid", () => checkMessages("message_auth_invalid"));

/** Runs the receiver's checks in their order, from the schema version to the lifetime, and compares the first refusal. */
async function checkMessages(name: string): Promise<void> {
  const vectors = loadVectors(name);
  const context = vectors.root.object("context");
  const now = Timestamp.parse(context.text("now"));
  assert.ok(now);
  await checkCases(vectors, async (c) => {
    const envelope = decodeEnvelope(c.text("wire"));
    assert.equal(envelope.payload.canonical(), c.text("payload_canonical"));
    envelope.threadId ??= defaultThreadId(traceOrMessageId(envelope));
    const code = await admit(envelope, context.object("bound_keys"), now);
    assert.equal(code, c.optText("code"));
    if (code === undefined) await assertResigned(envelope, c, context);
  });
}

async function admit(envelope: Envelope, boundKeys: Case, now: Timestamp): Promise<string | undefined> {
  const version = judgeSchemaVersion(envelope.schemaVersion);
  if ("reject" in version) return version.reject.code;
  envelope.schemaVersion = version.version;
  const code = await verifyMessage(envelope, boundKeys.optText(envelope.fromAccountId ?? ""));
  // The recordings know no clock skew.
  return code ?? judgeExpiry(envelope, now, 0)?.code;
}

/** Signs the accepted message again: the claims and the signature must be those that the Python implementation made. */
async function assertResigned(envelope: Envelope, c: Case, context: Case): Promise<void> {
  const auth = envelope.auth?.view().asObject();
  const given = auth?.get("claims").asObject();
  assert.ok(auth && given);
  // Legacy claims are read and not made.
  if (given.get("schema_version").isNull()) return;
  const claims = messageClaims(envelope);
  assert.equal(claims.signedText(), c.text("signed_bytes"));
  const key = await SigningKey.fromText(context.object("keys").object("alice").text("private_key"));
  assert.equal(await key.sign(claims), auth.get("signature").text().trim().replace(/=+$/, ""));
}
