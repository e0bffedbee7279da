/** A network with signed identity (PROTOCOL.md section 13): TypeScript with TypeScript, Rust and Python, and forgers. */

import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { connect, type NatsConnection } from "@nats-io/transport-node";

import {
  type AgentNode,
  type Context,
  DeliveryError,
  DevAuth,
  isAgentNetError,
  MemoryKeyStore,
  type Message,
  type NodeOptions,
  RegistryError,
  RotateKeyError,
  SigningKey,
  StreamError,
} from "../../src/index.js";
import { Network, QuietLogger } from "../support/network.js";
import { Python } from "../support/python.js";
import { eventually, Gate, within } from "../support/wait.js";

let network: Network;
let keyDir: string;
let raw: NatsConnection;
let alice: AgentNode;
let rust: string;
const generous = { rateLimitPerSenderPerSec: 100_000, rateLimitBurst: 100_000, maxPending: 10_000 };

/** A node that signs, with its key in memory. */
function signed(options: NodeOptions, logger?: QuietLogger): AgentNode {
  return network.node({ devAuth: new DevAuth({ keys: new MemoryKeyStore() }), limits: generous, ...options }, logger);
}

before(async () => {
  network = await Network.start({
    environment: { DEV_AUTH: "true" },
    authorization: 'token: "plain_token"',
    credentials: "plain_token",
  });
  keyDir = path.join(network.directory, "keys");
  raw = await connect({ servers: `127.0.0.1:${network.port}`, token: "plain_token" });
  const args = ["--rate-limit", "100000", "--rate-burst", "100000", "--dev-auth", "--key-dir", keyDir];
  await network.echo("rust", ...args);
  alice = await signed({ agentId: "alice", username: "alice" }).start();
  rust = await alice.resolveUsername("rust");
});
after(async () => {
  await raw?.close();
  await network.stop();
});

test("signed nodes and Rust send, ask and answer, and refusals come by code", async () => {
  assert.equal((await alice.send("@rust", { text: "hi" })).receipt?.status, "accepted");
  const processed = await alice.send("@rust", { text: "hi" }, { until: "processed" });
  assert.notEqual(processed.receipt?.auth, undefined, "the receipt is signed");
  const reply = await alice.request("@rust", { n: 12345678901234567890n, float: 1.5 });
  assert.equal(reply.payloadText, '{"n":12345678901234567890,"float":1.5}');
  assert.equal((await alice.request("@rust", { do: "fail" })).errorCode, "handler_error");
  await assert.rejects(alice.send("@rust", { do: "fail" }, { until: "processed" }), (error: unknown) => {
    return error instanceof DeliveryError && error.reason === "handler_error";
  });
  await assert.rejects(alice.sendToAccount("acct_nobody", {}), (error: unknown) => {
    return error instanceof DeliveryError && error.reason === "account_not_found";
  });
  assert.equal((await alice.requestAccount("acct_nobody", {})).errorCode, "account_not_found");
});

test("Rust's commands send to a signed TypeScript agent and ask it", async () => {
  const got: (string | undefined)[] = [];
  const node = signed({ agentId: "ts", username: "ts", capabilities: ["tsc"] });
  node.onMessage(async (message, context) => {
    got.push(message.text);
    if (message.wantsReply) await context.reply({ text: `heard ${message.text}` });
  });
  await node.start();
  const auth = ["--dev-auth", "--key-dir", keyDir];
  const send = network.agentnet(["send", "--to-username", "ts", '{"text":"one"}', ...auth]);
  assert.equal(await send.ended(), 0, send.stderr);
  const request = network.agentnet(["request", "--to-capability", "tsc", '{"text":"two"}', ...auth]);
  assert.equal(await request.ended(), 0, request.stderr);
  assert.match(request.stdout, /heard two/);
  assert.deepEqual(got, ["one", "two"]);
});

test("a Python agent and TypeScript exchange signed messages and streams", async () => {
  const environment = { DEV_AUTH: "true", DEV_AUTH_KEY_DIR: keyDir };
  const python = await Python.agent(network, "python", environment);
  assert.equal((await alice.send("@python", { n: 1.5 })).receipt?.status, "accepted");
  assert.deepEqual((await python.next("message")).payload, { n: 1.5 });
  const stream = alice.requestStream("@python", { do: "stream", pieces: 500 }, { timeoutMs: 30_000 });
  assert.deepEqual((await stream.finish()).result, { pieces: 500 });
  for await (const piece of alice.requestStream("@python", { do: "stream for ever" }, { timeoutMs: 30_000 })) {
    assert.equal(piece.text, "on and on ");
    break;
  }
  await python.next("cancelled");

  const cancelled = new Gate();
  const answerer = await signed({ agentId: "answerer", username: "answerer" })
    .onMessage(async (message: Message, context: Context) => {
      if (message.text === "ping") return await context.reply({ text: "pong" });
      const reply = await context.replyStream();
      reply.cancelled.addEventListener("abort", () => cancelled.open(), { once: true });
      const pieces = message.text === "for ever" ? Infinity : 500;
      for (let number = 0; number < pieces; number += 1) await reply.delta(`${number} `);
      return await reply.end({ pieces });
    })
    .start();
  const to = answerer.accountId;
  assert.deepEqual(await python.call("request", { to, payload: { text: "ping" } }), {
    kind: "reply",
    payload: { text: "pong" },
  });
  const text = Array.from({ length: 500 }, (_, number) => `${number} `).join("");
  assert.deepEqual(await python.call("stream", { to, payload: { text: "500" } }), {
    text,
    result: { pieces: 500 },
    ordered: true,
  });
  const payload = { text: "for ever" };
  assert.deepEqual(await python.call("stream", { to, payload, cancel_after: 3 }), { cancelled: true });
  await within("the cancel", cancelled.promise);
});

test("messages of one sender keep their order, whether its key is known or has to be asked for", async () => {
  const got: number[] = [];
  const bob = await signed({ agentId: "bob", username: "bob", limits: { ...generous, maxConcurrency: 1 } })
    .onMessage((message) => {
      got.push(message.payload as number);
    })
    .start();
  const to = bob.accountId ?? "";
  // As many as may wait for a key that is not known yet.
  for (let number = 0; number < 60; number += 1) await alice.sendToAccount(to, number, { until: "published" });
  await eventually("the first have come", () => got.length === 60);
  for (let number = 60; number < 1_000; number += 1) await alice.sendToAccount(to, number, { until: "published" });
  await eventually("all have come", () => got.length === 1_000);
  assert.deepEqual(
    got,
    Array.from({ length: 1_000 }, (_, number) => number),
  );
});

test("forged, changed and unsigned messages are refused, and so are those that were signed for another", async () => {
  const got: string[] = [];
  const victim = await signed({ agentId: "victim", username: "victim" })
    .onMessage((message) => {
      got.push(message.messageId);
    })
    .start();
  const other = await signed({ agentId: "other", username: "other" })
    .onMessage((message) => {
      seen.open(message);
    })
    .start();
  const seen = new Gate<Message>();
  await alice.sendToAccount(other.accountId ?? "", { text: "for other" });
  const genuine = (await within("the message", seen.promise)).toJSON();
  const mallory = await SigningKey.generate();
  const refusal = async (message: object): Promise<unknown> => {
    const reply = await raw.request(`account.${victim.accountId}.inbox`, JSON.stringify(message), { timeout: 30_000 });
    const envelope = reply.json() as { kind: string; payload: { error?: string } };
    return envelope.kind === "error" ? envelope.payload.error : envelope.kind;
  };
  const auth = genuine.auth as Record<string, unknown>;
  const { auth: _, ...unsigned } = genuine;
  assert.equal(await refusal(unsigned), "auth_missing");
  assert.equal(await refusal({ ...unsigned, from_account_id: undefined }), "auth_missing_from_account");
  assert.equal(await refusal({ ...genuine, auth: { ...auth, scheme: "none" } }), "auth_scheme_invalid");
  assert.equal(await refusal({ ...genuine, auth: { ...auth, signature: "" } }), "auth_payload_invalid");
  assert.equal(await refusal({ ...genuine, payload: { text: "changed" } }), "auth_claims_mismatch");
  assert.equal(
    await refusal({ ...genuine, auth: { ...auth, public_key: mallory.publicKey } }),
    "auth_public_key_mismatch",
  );
  const signature = `${String(auth.signature).slice(0, -4)}AAAA`;
  assert.equal(await refusal({ ...genuine, auth: { ...auth, signature } }), "auth_signature_invalid");
  assert.equal(await refusal({ ...genuine, from_account_id: "acct_nobody" }), "auth_key_not_found");
  assert.equal(await refusal(genuine), "auth_claims_mismatch", "signed for another agent");
  assert.deepEqual(got, []);
  assert.equal((await alice.sendToAccount(victim.accountId ?? "", {})).receipt?.status, "accepted");
});

test("a flood of invented senders is bounded, and others go on", async () => {
  const got = new Gate();
  const victim = await signed({ agentId: "flooded", username: "flooded" })
    .onMessage(() => got.open())
    .start();
  const seen: string[] = [];
  const inbox = `_AGENTNET.flood.${Date.now()}`;
  raw.subscribe(inbox, {
    callback: (_, message) => {
      seen.push((message.json() as { payload: { error: string } }).payload.error);
    },
  });
  const auth = { scheme: "dev-ed25519-v1", public_key: "AA", signature: "AA", claims: {} };
  const forged = (sender: string): string =>
    JSON.stringify({
      message_id: sender,
      from_agent: "x",
      from_account_id: sender,
      to_agent: victim.accountId,
      payload: 1,
      sent_at: new Date().toISOString(),
      ttl_ms: 60_000,
      kind: "direct",
      schema_version: "1.1",
      auth,
    });
  const flood = 3_000;
  for (let number = 0; number < flood; number += 1) {
    raw.publish(`account.${victim.accountId}.inbox`, forged(`acct_${number}`), { reply: inbox });
  }
  await eventually("all are refused", () => seen.length === flood);
  assert.ok(seen.includes("busy"), "more wait than may");
  assert.ok(
    seen.every((code) => code === "busy" || code === "auth_key_not_found"),
    [...new Set(seen)].join(),
  );
  await alice.sendToAccount(victim.accountId ?? "", {}, { retryAttempts: 10 });
  await within("the genuine message", got.promise);
});

test("forged replies, frames and statuses are ignored, counted and reported", async () => {
  const before = alice.metricsSnapshot().refused_reply_count;
  const forger = raw.subscribe(`account.${rust}.inbox`, {
    callback: (_, message) => {
      const { message_id, from_account_id } = message.json() as Record<string, string>;
      const reply = {
        message_id: "forged",
        from_agent: "x",
        to_agent: "y",
        payload: { text: "forged" },
        kind: "reply",
      };
      const addressed = { ...reply, to_account_id: from_account_id, parent_message_id: message_id };
      for (const from_account_id of [undefined, "acct_mallory", rust]) {
        message.respond(JSON.stringify({ ...addressed, from_account_id }));
      }
      message.respond("no message");
    },
  });
  await raw.flush();
  const until = new Date(Date.now() + 1_000).toISOString();
  assert.deepEqual((await alice.request("@rust", { do: "wait", until }, { timeoutMs: 30_000 })).payload, {
    do: "wait",
    until,
  });
  assert.ok(alice.metricsSnapshot().refused_reply_count >= before + 4);
  await assert.rejects(alice.request("@rust", { do: "hang" }, { timeoutMs: 700 }), (error: unknown) => {
    return isAgentNetError(error) && /4 others were not accepted, the last one for message_invalid/.test(error.message);
  });
  const stream = alice.requestStream("@rust", { do: "hang" }, { timeoutMs: 700 });
  await assert.rejects(stream.text(), (error: unknown) => {
    return (
      error instanceof StreamError && error.reason === "timeout" && /4 messages were not accepted/.test(error.message)
    );
  });
  forger.unsubscribe();
});

test("forged receipts confirm nothing", async () => {
  const silent = signed({ agentId: "silent", username: "silent" });
  await silent.start();
  const to = silent.accountId ?? "";
  await silent.close();
  await network.offline("silent");
  const spy = raw.subscribe(`account.${to}.inbox`, {
    callback: (_, message) => {
      const { message_id, from_account_id } = message.json() as Record<string, string>;
      const receipt = { message_id, status: "accepted", event_at: new Date().toISOString() };
      for (const sender of [to, "acct_mallory", undefined]) {
        const body = JSON.stringify({ ...receipt, from_account_id: sender, to_account_id: from_account_id });
        raw.publish(`account.${from_account_id}.receipts`, body);
      }
    },
  });
  await raw.flush();
  const refused = alice.metricsSnapshot().refused_receipt_count;
  // The registry's receipt may be the first, and a sender that has its answer looks at no other.
  await eventually("they are counted", async () => {
    await assert.rejects(alice.sendToAccount(to, {}), (error: unknown) => {
      return error instanceof DeliveryError && error.reason === "recipient_offline";
    });
    return alice.metricsSnapshot().refused_receipt_count > refused;
  });
  spy.unsubscribe();
});

test("a forged cancel does not end a stream", async () => {
  const go = new Gate();
  const logger = new QuietLogger();
  const poet = await signed({ agentId: "poet", username: "poet" }, logger)
    .onMessage(async (_, context) => {
      const stream = await context.replyStream();
      await stream.delta("half ");
      await go.promise;
      assert.equal(stream.isCancelled, false);
      await stream.delta("whole");
      await stream.end();
    })
    .start();
  const spy = raw.subscribe(`account.${poet.accountId}.inbox`, {
    callback: (_, message) => {
      const request = message.json() as Record<string, string>;
      const cancel = {
        ...request,
        message_id: "forged",
        kind: "stream",
        payload: { type: "stream_cancel" },
        auth: undefined,
      };
      replies.push(() => raw.publish(`${message.reply}.cancel`, JSON.stringify(cancel)));
    },
  });
  const replies: (() => void)[] = [];
  await raw.flush();
  const stream = alice.requestStream("@poet", {}, { timeoutMs: 30_000 });
  assert.equal((await stream.next()).value?.text, "half ");
  await eventually("the forger has heard the request", () => replies.length > 0);
  for (const forge of replies) forge();
  await eventually("the forgery is noticed", () => logger.has(/ignored a cancellation by another account/));
  go.open();
  assert.equal(await stream.text(), "half whole");
  spy.unsubscribe();
});

test("only nodes that sign, with the key of their account, may join", async () => {
  const plain = network.node({ agentId: "plain", username: "plain" });
  await assert.rejects(plain.start(), (error: unknown) => {
    return error instanceof RegistryError && error.code === "auth_required";
  });
  const thief = signed({ agentId: "alice", username: "alice" });
  await assert.rejects(thief.start(), (error: unknown) => {
    return error instanceof RegistryError && error.code === "auth_public_key_mismatch";
  });
});

test("a key is rotated while the node runs, others accept the new one, and a start finishes what was interrupted", async () => {
  const keys = new MemoryKeyStore();
  const carol = await signed({ agentId: "carol", username: "carol", devAuth: new DevAuth({ keys }) }).start();
  await carol.send("@rust", {});
  const first = (await keys.load("carol.json"))?.publicKey;
  const second = await carol.rotateKey();
  assert.notEqual(second, first);
  assert.equal((await keys.load("carol.json"))?.publicKey, second);
  assert.equal(await keys.load("carol.json.next"), undefined);
  assert.equal((await carol.send("@rust", {}, { retryAttempts: 5 })).receipt?.status, "accepted");
  assert.equal((await carol.request("@rust", { text: "still me" }, { timeoutMs: 30_000 })).text, "still me");
  await carol.close();

  // Interrupted after the registry has bound the new key.
  const old = await keys.load("carol.json");
  await carol.start();
  await carol.rotateKey();
  const third = await keys.load("carol.json");
  await carol.close();
  if (old === undefined || third === undefined) throw new Error("no key");
  await keys.replace("carol.json", old);
  await keys.create("carol.json.next", third);
  await carol.start();
  assert.equal((await keys.load("carol.json"))?.publicKey, third.publicKey);
  assert.equal(await keys.load("carol.json.next"), undefined);
  assert.equal((await carol.request("@rust", { text: "me" }, { timeoutMs: 30_000 })).text, "me");

  const unsigned = network.node({ agentId: "x" });
  await assert.rejects(unsigned.rotateKey(), /not running/);
  assert.equal(new RotateKeyError("x", "no_key").code, "no_key");
});

test("a signed agent on a network that does not check warns, and is refused by nobody but itself", async () => {
  const plain = await Network.start();
  const logger = new QuietLogger();
  const node = plain.node({ agentId: "lonely", devAuth: new DevAuth({ keys: new MemoryKeyStore() }) }, logger);
  await node.start();
  await eventually("the warning", () => logger.has(/the registry does not check signatures/));
  await plain.stop();
});
