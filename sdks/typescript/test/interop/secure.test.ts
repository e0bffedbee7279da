/** The secure mode (PROTOCOL.md section 23) on a network of `agentnet up --secure`: TypeScript with Rust and with itself. */

import assert from "node:assert/strict";
import { chmod, writeFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";

import {
  AgentNetClient,
  type AgentNode,
  BlobNotFoundError,
  ConnectError,
  type Context,
  DeliveryError,
  getProfile,
  InvalidArgumentError,
  listOnlineAgents,
  type Message,
  PermissionDeniedError,
  RegistryError,
} from "../../src/index.js";
import { QuietLogger } from "../support/network.js";
import { type Member, SecureNetwork } from "../support/secure-network.js";
import { eventually, Gate, within } from "../support/wait.js";

const LIMITS = { rateLimitBurst: 100_000, rateLimitPerSenderPerSec: 100_000 };
const ASK = { timeoutMs: 30_000 };

let network: SecureNetwork;
let alice: Member;
let bob: Member;
let mallory: Member;
let sender: AgentNode;
let receiver: AgentNode;
const logger = new QuietLogger();
const received: Message[] = [];
let act: (message: Message, context: Context) => unknown = () => undefined;

before(async () => {
  network = await SecureNetwork.start();
  let rust: Member;
  [alice, bob, mallory, rust] = await Promise.all([
    network.member("alice"),
    network.member("bob", "--capability", "upper"),
    network.member("mallory"),
    network.member("rust", "--capability", "rusty"),
  ]);
  await network.echo(rust, "--capability", "rusty");
  sender = await network.node(alice, { limits: LIMITS }).start();
  receiver = network.node(bob, { capabilities: ["upper"], limits: LIMITS }, logger);
  receiver.onMessage((message, context) => {
    received.push(message);
    return act(message, context);
  });
  await receiver.start();
});
after(() => network.stop());

/** Answers each request with its text in capitals. */
const upper = async (message: Message, context: Context): Promise<void> => {
  if (message.wantsReply) await context.reply({ text: message.text?.toUpperCase() });
};

test("a node is the member of its identity", () => {
  assert.equal(sender.username, "alice");
  assert.equal(sender.accountId, alice.record.account_id);
});

test("TypeScript sends to Rust and asks it, by name and by capability", async () => {
  assert.equal((await sender.send("@rust", { text: "a" })).receipt?.status, "accepted");
  assert.equal((await sender.send("@rust", { text: "b" }, { until: "processed" })).receipt?.status, "processed");
  assert.equal((await sender.request("@rust", { text: "c" }, ASK)).text, "c");
  assert.equal((await sender.requestCapability("rusty", { text: "d" }, ASK)).text, "d");
  const failed = sender.send("@rust", { do: "fail" }, { until: "processed" });
  await assert.rejects(failed, (error: unknown) => error instanceof DeliveryError && error.reason === "handler_error");
});

test("Rust sends to TypeScript and asks it, by name and by capability", async () => {
  act = upper;
  await network.member("carol");
  await network.run("send", "--as", "carol", "--to-username", "bob", "--processed", '{"text":"from Rust"}');
  const got = received.find((message) => message.text === "from Rust");
  assert.equal(got?.kind, "direct");
  const ask = ["request", "--json", "--as", "carol", "--timeout", "20"];
  assert.match(await network.run(...ask, "--to-username", "bob", '{"text":"hello"}'), /HELLO/);
  assert.match(await network.run(...ask, "--to-capability", "upper", '{"text":"again"}'), /AGAIN/);
});

test("TypeScript talks with TypeScript: receipts, requests, the mailbox", async () => {
  act = upper;
  assert.equal((await sender.send("@bob", { text: "x" }, { until: "processed" })).receipt?.status, "processed");
  assert.equal((await sender.request("@bob", { text: "abc" }, ASK)).text, "ABC");
  assert.equal((await sender.requestCapability("upper", { text: "abc" }, ASK)).text, "ABC");
  const offline = await network.member("offline");
  const kept = await sender.send("@offline", { text: "for later" }, { mailbox: true });
  assert.equal(kept.delivery, "queued");
  const got = new Gate<Message>();
  const late = network.node(offline).onMessage((message) => got.open(message));
  await late.start();
  const message = await within("the kept message", got.promise);
  assert.deepEqual([message.text, message.fromAccountId], ["for later", alice.record.account_id]);
});

test("the registry keeps blobs for members", async () => {
  const blobs = { storage: "nats_object" } as const;
  const [putter, getter, stranger] = [
    network.node(await network.member("putter"), { blobs }),
    network.node(await network.member("getter"), { blobs }),
    network.node(mallory, { blobs }),
  ];
  const got = new Gate<Uint8Array>();
  getter.onMessage(async (message, context) => {
    const blob = message.blobRef();
    if (blob !== undefined) got.open(await context.node.blobs.getBytes(blob));
  });
  await Promise.all([putter.start(), getter.start(), stranger.start()]);
  const bytes = Uint8Array.from({ length: 300_001 }, (_, at) => at % 251);
  const blob = await putter.blobs.putBytes(bytes, { filename: "a.png", metadata: { k: 1 } });
  assert.deepEqual([blob.storage, blob.size, blob.mimeType], ["nats_object", bytes.length, "image/png"]);
  assert.deepEqual(await putter.blobs.head(blob), blob);
  await putter.sendBlobRef("@getter", blob);
  assert.deepEqual(await within("the blob", got.promise), bytes);
  await assert.rejects(stranger.blobs.getBytes(blob), BlobNotFoundError);
  assert.equal(await stranger.blobs.delete(blob), false);
  await assert.rejects(getter.blobs.delete(blob), /forbidden: /);
  assert.equal(await putter.blobs.delete(blob), true);
  assert.equal(await putter.blobs.head(blob), undefined);
  const empty = await putter.blobs.putBytes("");
  assert.equal(await putter.blobs.getText(empty), "");
});

test("a target that is not there is told at once", async () => {
  await network.member("silent");
  assert.equal((await sender.requestCapability("nobody_has_it", {}, ASK)).errorCode, "capability_unavailable");
  const offline = await sender.request("@silent", {}, ASK);
  assert.equal(offline.errorCode, "recipient_offline");
  await assert.rejects(sender.send("@silent", {}), (error: unknown) => {
    return error instanceof DeliveryError && error.reason === "recipient_offline";
  });
});

test("a stream is read, and its cancellation arrives", async () => {
  const cancelled = new Gate();
  act = async (message, context) => {
    const stream = await context.replyStream();
    for (const word of ["one ", "two"]) await stream.delta(word);
    if (message.text === "all") return await stream.end({ words: 2 });
    stream.cancelled.addEventListener("abort", () => cancelled.open(), { once: true });
    return await cancelled.promise;
  };
  const whole = await sender.requestStream("@bob", { text: "all" }, ASK).finish();
  assert.deepEqual([whole.text, whole.result], ["one two", { words: 2 }]);
  for await (const piece of sender.requestStreamCapability("upper", { text: "go on" }, ASK)) {
    assert.equal(piece.text, "one ");
    break;
  }
  await within("the cancellation", cancelled.promise);
});

test("Rust reads a stream of TypeScript, and cancels one that goes silent", async () => {
  const cancelled = new Gate();
  act = async (message, context) => {
    const stream = await context.replyStream();
    await stream.delta("roses are red");
    if (message.text === "all") return await stream.end();
    stream.cancelled.addEventListener("abort", () => cancelled.open(), { once: true });
    return await cancelled.promise;
  };
  await network.member("dora");
  const chat = network.agentnet(["chat", "--as", "dora", "--to-username", "bob", "--timeout", "2"]);
  chat.child.stdin?.write("all\n");
  await chat.printed(/roses are red/);
  chat.child.stdin?.write("go on\n");
  await within("the cancellation", cancelled.promise);
  chat.child.stdin?.end();
});

test("a forged message is refused, and who has published it is told", async () => {
  const client = await network.raw(mallory);
  const own = mallory.record.account_id;
  const receipts: { status: string; code?: string; message_id: string }[] = [];
  client.subscribe(`account.${own}.receipts.*`, {
    callback: (error, message) => {
      if (error === null) receipts.push(message.json());
    },
  });
  await client.flush();
  const forged = (id: string, from: string | undefined): string =>
    JSON.stringify({
      message_id: id,
      from_agent: "alice",
      from_account_id: from,
      to_agent: bob.record.account_id,
      to_account_id: bob.record.account_id,
      kind: "direct",
      schema_version: "1.1",
      ttl_ms: 60_000,
      sent_at: new Date().toISOString(),
      payload: { text: "forged" },
    });
  const inbox = `account.${bob.record.account_id}.inbox.${own}`;
  client.publish(inbox, forged("forged-1", alice.record.account_id));
  client.publish(inbox, forged("forged-2", undefined));
  client.publish(`agent.capability.upper.${own}`, forged("forged-3", alice.record.account_id));
  await eventually("the receipts", () => receipts.length === 3);
  for (const receipt of receipts)
    assert.deepEqual([receipt.status, receipt.code], ["rejected", "auth_issuer_mismatch"]);
  assert.deepEqual(
    received.filter(({ messageId }) => messageId.startsWith("forged-")),
    [],
  );
  // An answer on a reply subject of another account would look like one to a request of that account.
  act = upper;
  const reply = `agentnet.reply.${alice.record.account_id}.01ABC.0`;
  client.publish(inbox, forged("honest-1", own), { reply });
  await eventually("the message", () => received.some(({ messageId }) => messageId === "honest-1"));
  assert.equal(received.find(({ messageId }) => messageId === "honest-1")?.wantsReply, false);
});

test("receipts, replies and frames of others do not count", async () => {
  const client = await network.raw(mallory);
  const own = mallory.record.account_id;
  const { account_id: asker } = alice.record;
  act = async (message, context) => {
    const forged = (kind: string, from: string) =>
      JSON.stringify({
        message_id: `reply-${from}`,
        from_agent: "bob",
        from_account_id: from,
        to_agent: "alice",
        to_account_id: asker,
        parent_message_id: message.messageId,
        trace_id: message.messageId,
        kind,
        schema_version: "1.1",
        ttl_ms: 60_000,
        sent_at: new Date().toISOString(),
        payload: { text: "forged" },
      });
    if (message.replyTo !== undefined) {
      for (const from of [own, bob.record.account_id])
        client.publish(`${message.replyTo}.${own}`, forged("reply", from));
    } else {
      const receipt = { message_id: message.messageId, status: "processed", event_at: new Date().toISOString() };
      for (const from_account_id of [own, bob.record.account_id, undefined]) {
        client.publish(`account.${asker}.receipts.${own}`, JSON.stringify({ ...receipt, from_account_id }));
      }
    }
    await client.flush();
    if (message.wantsReply) await context.reply({ text: "genuine" });
    else throw new Error("told to fail");
  };
  assert.equal((await sender.request("@bob", { text: "?" }, ASK)).text, "genuine");
  assert.equal((await sender.requestStream("@bob", { text: "?" }, ASK).finish()).text, "genuine");
  await assert.rejects(sender.send("@bob", {}, { until: "processed" }), (error: unknown) => {
    return error instanceof DeliveryError && error.reason === "handler_error";
  });
  const { refused_reply_count: replies, refused_receipt_count: ignored } = sender.metricsSnapshot();
  assert.ok(replies >= 4 && ignored >= 3, `${replies} replies, ${ignored} receipts`);
});

test("the class of the original joins by an identity too, and by its object", async () => {
  const peer = await network.member("classic");
  const { record } = await network.member("object");
  const first = new AgentNetClient({
    natsUrl: peer.url,
    agentId: "classic",
    name: "Classic",
    logger: new QuietLogger(),
  });
  const second = new AgentNetClient({
    natsUrl: `nats://127.0.0.1:${network.port}`,
    identity: record,
    agentId: "object",
    name: "Object",
    logger: new QuietLogger(),
  });
  try {
    assert.equal((await first.start()).account_id, peer.record.account_id);
    await second.start();
    await first.subscribeInbox(async (message, ctx) => {
      if (message.reply_to) await ctx.reply({ got: message.payload });
    });
    assert.deepEqual((await second.request("@classic", { n: 1 }, { timeoutMs: 20_000 })).payload, { got: { n: 1 } });
    const sent = await second.deliver("@classic", { n: 2 }, { until: "processed" });
    assert.equal(sent.delivery, "delivered");
    assert.ok((await first.listOnlineAgents()).some((agent) => agent.username === "object"));
  } finally {
    await Promise.all([first.close(), second.close()]);
  }
});

test("what is not granted is denied by name", async () => {
  const ungranted = network.node(await network.member("ungranted"), { capabilities: ["weather"] });
  ungranted.onMessage(() => undefined);
  await assert.rejects(ungranted.start(), (error: unknown) => {
    return error instanceof PermissionDeniedError && error.subject === "agent.capability.weather.*";
  });
  const quiet = await network.member("quiet", "--may-send-to", "bob");
  const node = await network.node(quiet).start();
  await assert.rejects(node.send("@rust", {}), PermissionDeniedError);
  assert.equal((await node.send("@bob", {})).receipt?.status, "accepted");
  await assert.rejects(network.node(quiet, { username: "other" }).start(), (error: unknown) => {
    return error instanceof RegistryError && /credential is of @quiet/.test(error.message);
  });
});

test("the registry is asked by an identity alone", async () => {
  const online = await listOnlineAgents(alice.url);
  assert.ok(online.some((agent) => agent.username === "bob"));
  assert.equal((await getProfile(alice.url, { username: "bob" })).accountId, bob.record.account_id);
});

test("an identity that cannot be used is told by what is wrong with it", async () => {
  const missing = path.join(network.directory, "missing.json");
  const exposed = path.join(network.directory, "exposed.json");
  const damaged = path.join(network.directory, "damaged.json");
  await writeFile(exposed, JSON.stringify(alice.record), { mode: 0o600 });
  await chmod(exposed, 0o644);
  await writeFile(damaged, "{}", { mode: 0o600 });
  const cases: [file: string, told: RegExp][] = [
    [missing, /no such identity file; `agentnet join CODE`/],
    [exposed, /read or changed by others \(mode 0644\)/],
    [damaged, /damaged: its version is missing/],
  ];
  for (const [file, told] of cases) {
    await assert.rejects(network.node({ ...alice, url: `identity:${file}` }).start(), (error: unknown) => {
      return error instanceof ConnectError && error.reason === "url" && told.test(error.message);
    });
  }
  assert.throws(() => network.node({ ...alice, url: "identity:" }), ConnectError);
  assert.throws(() => network.node(alice, { identity: alice.record }), InvalidArgumentError);
});

test("a member that is revoked is cut off", async () => {
  const cut = await network.member("cut");
  const quiet = new QuietLogger();
  const node = await network.node(cut, {}, quiet).start();
  assert.equal((await node.send("@bob", {})).receipt?.status, "accepted");
  await network.run("revoke", "cut");
  await eventually("the connection is lost", () => !node.session().connection.isConnected);
  await assert.rejects(network.node(cut).start(), (error: unknown) => {
    return error instanceof ConnectError && error.reason === "refused" && /@cut: it may be revoked/.test(error.message);
  });
  await eventually("it is offline", async () => {
    return (await listOnlineAgents(alice.url)).every((agent) => agent.username !== "cut");
  });
});
