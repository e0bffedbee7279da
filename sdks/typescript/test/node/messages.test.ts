import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  type AgentNode,
  DeliveryError,
  DeliveryTimeoutError,
  float,
  InvalidArgumentError,
  type Message,
  NoReplySubjectError,
  NotRunningError,
  RawJson,
  RegistryError,
  RequestTimeoutError,
} from "../../src/index.js";
import { Network, QuietLogger } from "../support/network.js";
import { eventually, Gate } from "../support/wait.js";

let network: Network;
let sender: AgentNode;
let echo: AgentNode;
/** What the echo agent has got. */
const received: Message[] = [];

const generous = { rateLimitPerSenderPerSec: 1e6, rateLimitBurst: 1e6 };

before(async () => {
  network = await Network.start();
  echo = network.node({ agentId: "echo", username: "echo", capabilities: ["echoing"], limits: generous });
  echo.onMessage(async (message, context) => {
    received.push(message);
    if (message.text === "fail") throw new Error("told to fail");
    if (message.text === "silence") return;
    if (message.wantsReply) await context.reply(RawJson.parse(message.payloadText));
  });
  await echo.start();
  sender = await network.node({ agentId: "sender", username: "sender", limits: { sendRetryAttempts: 1 } }).start();
});
after(() => network.stop());

test("a send waits until published, accepted or processed, and reaches every form of target", async () => {
  for (const until of ["published", "accepted", "processed"] as const) {
    const sent = await sender.send("@echo", { until }, { until });
    assert.match(sent.messageId, /^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
    assert.equal(sent.traceId, sent.messageId);
    assert.equal(sent.threadId, `thread_${sent.messageId}`);
    assert.equal(sent.receipt?.status, until === "published" ? undefined : until);
    const message = await eventually("it arrives", () => received.find((one) => one.messageId === sent.messageId));
    assert.deepEqual(message.payload, { until });
  }
  const id = echo.accountId ?? "";
  for (const target of ["echo", "@ECHO", "username:echo", id, `account:${id}`]) {
    await sender.send(target, { target }, { until: "processed" });
  }
  await sender.sendToAccount(id, {});
  await sender.sendToUsername("@Echo", {});
  await sender.sendToCapability("echoing", {});
  await assert.rejects(sender.send("capability:echoing", {}), /Use send_to_capability\(\) for capability routing/);
  await assert.rejects(sender.request("capability:echoing", {}), /Use request_capability\(\) for capability routing/);
});

test("the options of a message are those of its envelope", async () => {
  const sent = await sender.send("@echo", "text", {
    threadId: "Thread-1",
    parentMessageId: "parent-1",
    traceId: "trace-1",
    idempotencyKey: "  key-1 ",
    ttlMs: 60_000.9,
    kind: "note",
    until: "processed",
  });
  const message = await eventually("it arrives", () => received.find((one) => one.messageId === sent.messageId));
  const { envelope } = message;
  assert.deepEqual(
    [message.threadId, message.parentMessageId, message.traceId, message.idempotencyKey, message.ttlMs, message.kind],
    ["Thread-1", "parent-1", "trace-1", "key-1", 60_000, "note"],
  );
  assert.deepEqual([message.schemaVersion, message.text, message.wantsReply], ["1.1", "text", false]);
  assert.equal(envelope.fromAccountId, sender.accountId);
  assert.equal(envelope.fromSessionTag, sender.sessionTag);
  assert.equal(envelope.toAccountId, echo.accountId);
  assert.equal(message.toJSON().from_agent, "sender");
  assert.equal(JSON.parse(JSON.stringify(message)).thread_id, "Thread-1");
});

test("a request lives as long as its reply is waited for", async () => {
  const cases = [
    [{}, 30_000],
    [{ timeoutMs: 90_000.5 }, 90_000],
    [{ timeoutMs: 86_400_000 }, 600_000],
    [{ timeoutMs: 90_000, ttlMs: 7_000 }, 7_000],
  ] as const;
  for (const [options, expected] of cases) {
    await sender.request("@echo", { text: "how long?" }, options);
    assert.equal(received.at(-1)?.ttlMs, expected);
  }
});

test("numbers and texts come back as the same text", async () => {
  const payload = '{"one":1.0,"big":12345678901234567890,"lone":"\\ud800","nan":NaN,"inf":-Infinity,"e":1E400,"a":[ ]}';
  const reply = await sender.request("@echo", RawJson.parse(payload));
  assert.equal(reply.payloadText, payload);
  const built = await sender.request("@echo", {
    one: float(1),
    big: 12345678901234567890n,
    nan: Number.NaN,
    gone: undefined,
  });
  assert.equal(built.payloadText, '{"one":1.0,"big":12345678901234567890,"nan":NaN}');
  const lossless = built.payloadLossless() as { big: bigint };
  assert.equal(lossless.big, 12345678901234567890n);
  assert.equal((built.payload as { one: number }).one, 1);
});

test("what is no JSON, too large or cannot be routed is refused before anything is sent", async () => {
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  for (const payload of [cycle, () => 1, Symbol("x"), { nested: [() => 1] }]) {
    await assert.rejects(sender.send("@echo", payload), { code: "invalid_payload" });
    await assert.rejects(sender.request("@echo", payload), { code: "invalid_payload" });
  }
  await assert.rejects(sender.send("@echo", "x".repeat(256_000)), (error: unknown) => {
    assert.ok(error instanceof InvalidArgumentError && error.code === "message_too_large");
    assert.match(error.message, /^message of \d+ bytes exceeds max_payload_bytes=256000$/);
    return true;
  });
  const large = await network.node({ agentId: "large", limits: { maxPayloadBytes: 1e8 } }).start();
  await assert.rejects(large.send("@echo", "x".repeat(2_000_000)), {
    code: "message_too_large",
    message: /^message of \d+ bytes exceeds the max_payload=1048576 of the NATS server$/,
  });
  await assert.rejects(sender.sendToAccount("a.b", {}), { code: "invalid_target" });
  await assert.rejects(sender.sendToCapability("a b", {}), { code: "invalid_target" });
  await assert.rejects(sender.send("", {}), { code: "invalid_target" });
  await assert.rejects(sender.send("@echo", {}, { until: "done" as never }), /until must be/);
  await assert.rejects(sender.send("@echo", {}, { ttlMs: Number.NaN }), /ttlMs must be a number/);
});

test("a payload may be as deep as a message can be read with, and a deeper one is refused", async () => {
  const nested = (levels: number) => RawJson.parse("[".repeat(levels) + "]".repeat(levels));
  assert.equal((await sender.request("@echo", nested(989))).payloadText, nested(989).text);
  const before = received.length;
  const value = (levels: number): unknown => (levels === 1 ? [] : [value(levels - 1)]);
  for (const payload of [nested(990), value(990)]) {
    for (const call of [
      () => sender.send("@echo", payload),
      () => sender.request("@echo", payload),
      () => sender.requestStream("@echo", payload).text(),
    ]) {
      await assert.rejects(call, (error: unknown) => {
        assert.ok(error instanceof InvalidArgumentError && error.code === "invalid_payload", String(error));
        assert.match(error.message, /^the payload is nested too deeply: a message has room for 989 levels/);
        return true;
      });
    }
  }
  await assert.rejects(sender.send("@echo", value(991)), { code: "invalid_payload" });
  assert.equal(received.length, before);
});

test("an unknown username fails at once, and a name is looked up once", async () => {
  await assert.rejects(sender.send("@nobody", {}), (error: unknown) => {
    assert.ok(error instanceof RegistryError && error.isNotFound);
    assert.equal(error.message, "No account found for username 'nobody'");
    return true;
  });
  const { username_cache: before } = sender.metricsSnapshot();
  await sender.request("@echo", 1);
  await sender.request("echo", 2);
  const { username_cache: now } = sender.metricsSnapshot();
  assert.equal(now.hits - before.hits, 2);
  assert.equal(now.misses, before.misses);
  assert.equal(await sender.resolveUsername("@Echo"), echo.accountId);
});

test("refusals of a receiver and of the registry are errors by code", async () => {
  const gone = await network.node({ agentId: "gone", username: "gone" }).start();
  await gone.close();
  await assert.rejects(sender.send("@gone", {}), (error: unknown) => {
    assert.ok(error instanceof DeliveryError);
    assert.deepEqual(
      [error.name, error.code, error.reason],
      ["DeliveryError", "delivery_rejected", "recipient_offline"],
    );
    assert.match(error.message, /^delivery_rejected recipient_offline: @gone is offline since /);
    assert.equal(error.wasAccepted, false);
    return true;
  });
  await assert.rejects(sender.sendToCapability("juggling", {}), { reason: "capability_unavailable" });
  const reply = await sender.request("acct_nobody", {});
  assert.deepEqual([reply.kind, reply.errorCode, reply.errorDetail], ["error", "account_not_found", "no such account"]);
  await assert.rejects(sender.send("@echo", "fail", { until: "processed" }), (error: unknown) => {
    assert.ok(error instanceof DeliveryError && error.wasAccepted);
    assert.equal(error.message, "not_processed handler_error: handler raised an exception");
    return true;
  });
  assert.equal((await sender.request("@echo", "fail")).errorCode, "handler_error");
});

test("a duplicate is delivered, but how the first was processed is not known", async () => {
  await sender.send("@echo", {}, { idempotencyKey: "once" });
  const again = await sender.send("@echo", {}, { idempotencyKey: "once" });
  assert.deepEqual([again.receipt?.status, again.receipt?.code], ["rejected", "duplicate"]);
  await assert.rejects(sender.send("@echo", {}, { idempotencyKey: "once", until: "processed" }), {
    reason: "duplicate",
  });
});

test("without a receipt a send is repeated with the same bytes, and says how often", async () => {
  const { nats } = sender.session().connection;
  const bodies: string[] = [];
  const subscription = nats.subscribe("account.acct_mute.inbox", {
    callback: (_error, message) => void bodies.push(message.string()),
  });
  // The registry would answer for an account that it does not know.
  await network.stopRegistry();
  const before = sender.metricsSnapshot();
  await assert.rejects(
    sender.send("acct_mute", { n: 1 }, { receiptTimeoutMs: 1, retryAttempts: 2 }),
    (error: unknown) => {
      assert.ok(error instanceof DeliveryTimeoutError);
      assert.equal(error.code, "delivery_ack_timeout");
      assert.equal(error.message, `delivery_ack_timeout message_id=${error.messageId} attempts=3`);
      return true;
    },
  );
  assert.equal(bodies.length, 3);
  assert.equal(new Set(bodies).size, 1);
  const now = sender.metricsSnapshot();
  assert.equal(now.retry_count - before.retry_count, 2);
  assert.equal(now.receipt_timeout_count - before.receipt_timeout_count, 3);
  subscription.unsubscribe();
  await network.startRegistry();
});

test("a receipt with an unknown status is unusable, and one for another message is ignored", async () => {
  const { nats } = sender.session().connection;
  const subscription = nats.subscribe("account.acct_odd.inbox", {
    callback: (_error, message) => {
      const { message_id: id } = message.json<{ message_id: string }>();
      const receipt = (of: string, status: string) => JSON.stringify({ message_id: of, status, event_at: "" });
      nats.publish(`account.${sender.accountId}.receipts`, receipt("another", "accepted"));
      nats.publish(`account.${sender.accountId}.receipts`, "no json");
      nats.publish(`account.${sender.accountId}.receipts`, receipt(id, " Maybe "));
    },
  });
  await network.stopRegistry();
  await assert.rejects(sender.send("acct_odd", {}, { retryAttempts: 0 }), (error: unknown) => {
    assert.ok(error instanceof DeliveryError && error.code === "delivery_ack_unusable");
    assert.equal(error.message, `delivery_ack_unusable status=Maybe message_id=${error.messageId}`);
    return true;
  });
  subscription.unsubscribe();
  await network.startRegistry();
});

test("receipts are read only while a send waits for one", async () => {
  const logger = new QuietLogger();
  const node = await network.node({ agentId: "waiting" }, logger).start();
  const { nats } = node.session().connection;
  const publishUnreadable = async (): Promise<void> => {
    nats.publish(`account.${node.accountId}.receipts`, "no json");
    // The server answers behind what it delivers.
    await nats.flush();
  };
  await publishUnreadable();
  assert.ok(!logger.has(/receipt that cannot be read/));
  const end = new AbortController();
  const rejected = assert.rejects(node.send("acct_silent", {}, { signal: end.signal }));
  await publishUnreadable();
  assert.ok(logger.has(/receipt that cannot be read/));
  end.abort();
  await rejected;
  await node.close();
});

test("a request ends with its timeout, its signal or its node", async () => {
  await assert.rejects(sender.request("@echo", "silence", { timeoutMs: 100 }), (error: unknown) => {
    assert.ok(error instanceof RequestTimeoutError && error.code === "request_timeout");
    assert.match(error.message, /^no reply to message [0-9a-f]{32} within 0\.1 s$/);
    return true;
  });
  const reason = new Error("changed my mind");
  const controller = new AbortController();
  const request = sender.request("@echo", "silence", { timeoutMs: 60_000, signal: controller.signal });
  await eventually("it is on its way", () => received.at(-1)?.text === "silence");
  controller.abort(reason);
  await assert.rejects(request, (error) => error === reason);
  await assert.rejects(sender.send("@echo", {}, { signal: AbortSignal.abort(reason) }), (error) => error === reason);
  const other = await network.node({ agentId: "leaver" }).start();
  const left = other.request("@echo", "silence", { timeoutMs: 60_000 });
  const rejected = assert.rejects(left, NotRunningError);
  await eventually("the request waits", () => received.at(-1)?.fromAgent === "leaver");
  await other.close();
  await rejected;
});

test("a reply carries trace, thread and parent of its request; a message without reply subject cannot be answered", async () => {
  const reply = await sender.request("@echo", { a: 1 }, { traceId: "t1", threadId: "th1" });
  const request = received.at(-1);
  assert.deepEqual(
    [reply.kind, reply.traceId, reply.threadId, reply.parentMessageId],
    ["reply", "t1", "th1", request?.messageId],
  );
  assert.deepEqual([reply.fromAccountId, reply.toAccountId], [echo.accountId, sender.accountId]);
  assert.equal(reply.wantsReply, false);
  await assert.rejects(echo.reply(reply, {}), (error: unknown) => {
    return (
      error instanceof NoReplySubjectError &&
      error.message === "Cannot reply: incoming message has no reply_to subject."
    );
  });
});

test("many requests at once are answered each by its own reply", async () => {
  const numbers = Array.from({ length: 300 }, (_, number) => number);
  const open = { maxPending: 1_000, ...generous };
  const busy = network.node({ agentId: "busy", username: "busy", limits: open });
  const gate = new Gate();
  busy.onMessage(async (message, context) => {
    await gate.promise;
    await context.reply(message.payload);
  });
  await busy.start();
  const replies = Promise.all(numbers.map((number) => sender.request("@busy", number, { timeoutMs: 30_000 })));
  gate.open();
  assert.deepEqual(
    (await replies).map((reply) => reply.payload),
    numbers,
  );
});

test("the calls of the registry are typed, and history holds what was sent", async () => {
  const sent = await sender.send("@echo", { text: "for the history" }, { threadId: "history_1" });
  const page = await eventually("it is stored", async () => {
    const stored = await sender.threadMessages("history_1");
    return stored.messages.length > 0 ? stored : undefined;
  });
  assert.equal(page.messages[0]?.messageId, sent.messageId);
  const status = await sender.threadStatus("history_1");
  assert.deepEqual([status.messageCount, status.status], [1, "ok"]);
  assert.equal((await sender.listThreads({ query: "history_" })).results[0]?.threadId, "history_1");
  const found = await sender.searchMessages({ messageId: sent.messageId });
  assert.equal(found.messages[0]?.payload.text, '{"text":"for the history"}');
  assert.equal((await sender.getProfile({ username: "@Echo" })).accountId, echo.accountId);
  assert.equal((await sender.searchProfiles({ query: "ech" })).results[0]?.username, "echo");
  assert.equal((await sender.registryMetrics()).get("server_id").asString(), "registry");
  await assert.rejects(sender.getProfile({ username: "no-such" }), { code: "not_found", rpc: "profile" });
  await assert.rejects(sender.threadMessages("history_1", { cursor: "garbage" }), { code: "cursor_invalid" });
});

test("a wrong option of a call is named, and nothing is sent", async () => {
  const wrong = (value: unknown) => value as never;
  const cases: [message: RegExp, call: () => Promise<unknown>][] = [
    [
      /^timeoutMs must be a number of milliseconds, 0 or more, not NaN$/,
      () => sender.request("@echo", 1, { timeoutMs: NaN }),
    ],
    [
      /^timeoutMs must be a number of milliseconds, 0 or more, not -1$/,
      () => sender.request("@echo", 1, { timeoutMs: -1 }),
    ],
    [/^timeoutMs must be .*, not "5 s"$/, () => sender.request("@echo", 1, { timeoutMs: wrong("5 s") })],
    [/^timeoutMs must be .*, not NaN$/, () => sender.listOnline({ timeoutMs: NaN })],
    [/^receiptTimeoutMs must be .*, not NaN$/, () => sender.send("@echo", 1, { receiptTimeoutMs: NaN })],
    [
      /^processingTimeoutMs must be .*, not NaN$/,
      () => sender.send("@echo", 1, { until: "processed", processingTimeoutMs: NaN }),
    ],
    [/^retryAttempts must be a number, not "x"$/, () => sender.send("@echo", 1, { retryAttempts: wrong("x") })],
    [/^threadId must be a string, not 5$/, () => sender.send("@echo", 1, { threadId: wrong(5) })],
    [/^idempotencyKey must be a string, not an array$/, () => sender.send("@echo", 1, { idempotencyKey: wrong([]) })],
    [/^the target must be a string, not 5$/, () => sender.send(wrong(5), 1)],
    [/^the target must be a string, not undefined$/, () => sender.sendToAccount(wrong(undefined), 1)],
    [/^the target must be a string, not undefined$/, () => sender.requestUsername(wrong(undefined), 1)],
    [/^signal must be an AbortSignal/, () => sender.send("@echo", 1, { signal: wrong(new AbortController()) })],
  ];
  const before = received.length;
  for (const [message, call] of cases) {
    await assert.rejects(call(), (error) => error instanceof InvalidArgumentError && message.test(error.message));
  }
  await assert.rejects(sender.searchProfiles({ limit: NaN }), /^JsonError: limit must be a finite number, not NaN$/);
  // Null is how programs without types leave an option out.
  const last = await sender.send("@echo", 1, {
    threadId: wrong(null),
    parentMessageId: wrong(null),
    until: "processed",
  });
  assert.deepEqual(
    received.slice(before).map((message) => message.messageId),
    [last.messageId],
  );
});
