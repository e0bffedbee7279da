import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonObject, JsonView, RawJson, stringify } from "../../../src/json/index.js";
import {
  type AgentInfo,
  answering,
  boundedIds,
  checkAgent,
  checkEnvelope,
  compose,
  DecodeError,
  decodeCounters,
  decodeEnvelope,
  decodeReceipt,
  decodeReply,
  encodeEnvelope,
  encodeGoodbye,
  encodeHello,
  encodeReceipt,
  envelopeToObject,
  errorReply,
  extractError,
  judgeExpiry,
  KIND,
  REJECT,
  receiptFor,
  receiptMessageIdAtFront,
  receiptStatus,
  Timestamp,
  TooLarge,
} from "../../../src/protocol/index.js";

const SENDER = { agentId: "agent_a", accountId: "acct_a", sessionTag: "registry_A" };
const NOW = Timestamp.fromMillis(1_771_660_800_123);

test("a draft gets the defaults of section 11.1", () => {
  const draft = {
    toAgent: "acct_b",
    toAccountId: "acct_b",
    payload: RawJson.parse('{"n": 1.0, "é": 1}'),
    idempotencyKey: "  ",
  };
  const envelope = compose(draft, SENDER, "M1", NOW);
  assert.equal(
    encodeEnvelope(envelope),
    '{"message_id":"M1","from_agent":"agent_a","to_agent":"acct_b","payload":{"n": 1.0, "\\u00e9": 1},' +
      '"sent_at":"2026-02-21T08:00:00.123000Z","kind":"direct","schema_version":"1.1","from_session_tag":"registry_A",' +
      '"from_account_id":"acct_a","to_account_id":"acct_b","ttl_ms":30000,"expires_at":"2026-02-21T08:00:30.123000Z",' +
      '"trace_id":"M1","thread_id":"thread_m1"}',
  );
  assert.deepEqual(decodeEnvelope(encodeEnvelope(envelope)), {
    ...envelope,
    payload: RawJson.parse('{"n": 1.0, "\\u00e9": 1}'),
  });
  assert.deepEqual(envelopeToObject(envelope).payload, { n: 1, é: 1 });

  const all = compose(
    {
      toAgent: "capability:sum",
      payload: RawJson.NULL,
      kind: KIND.REQUEST,
      ttlMs: 0.5,
      traceId: "T",
      threadId: "th",
      parentMessageId: "p",
      idempotencyKey: " k ",
      schemaVersion: "1.2",
    },
    SENDER,
    "M2",
    NOW,
  );
  assert.deepEqual(
    [
      all.kind,
      all.ttlMs,
      all.traceId,
      all.threadId,
      all.parentMessageId,
      all.idempotencyKey,
      all.schemaVersion,
      all.toAccountId,
    ],
    ["request", 1, "T", "th", "p", "k", "1.2", undefined],
  );
  for (const [ttlMs, expected] of [
    [NaN, 1],
    [-5, 1],
    [Infinity, Number.MAX_SAFE_INTEGER],
  ] as const) {
    const odd = compose({ toAgent: "x", payload: RawJson.NULL, ttlMs }, SENDER, "m", NOW);
    assert.equal(odd.ttlMs, expected);
    assert.equal(judgeExpiry(odd, NOW, 0), undefined);
  }
});

test("an answer goes to the requester, on its thread and trace", () => {
  const request = decodeEnvelope(
    '{"message_id":"R","from_agent":"asker","from_account_id":"acct_r","thread_id":"th","payload":1}',
  );
  const reply = compose(answering({ payload: RawJson.NULL }, request), SENDER, "M", NOW);
  assert.deepEqual(
    [reply.toAgent, reply.toAccountId, reply.traceId, reply.threadId, reply.parentMessageId, reply.kind],
    ["acct_r", "acct_r", "R", "th", "R", "reply"],
  );
  const bare = answering({ payload: RawJson.NULL, threadId: "own", kind: KIND.STREAM }, decodeEnvelope("{}"));
  assert.deepEqual(
    [bare.toAgent, bare.toAccountId, bare.traceId, bare.threadId, bare.parentMessageId, bare.kind],
    ["unknown", undefined, undefined, "own", undefined, "stream"],
  );
  const error = errorReply(request, REJECT.busy, SENDER, "E", NOW);
  assert.equal(
    error.payload.text,
    '{"error":"busy","detail":"agent backlog is full","request_message_id":"R","trace_id":"R"}',
  );
  assert.deepEqual([error.toAgent, error.toAccountId, error.kind, error.ttlMs], ["asker", "acct_r", "error", 30_000]);
  assert.equal(extractError(error.payload.view()), "busy");
});

test("what comes to a reply subject must be a message", () => {
  assert.equal(decodeReply('{"from_agent":"a"}').fromAgent, "a");
  assert.throws(() => decodeReply('{"stream":"S","seq":1}'), new DecodeError("`message_id` is missing", "message_id"));
  assert.throws(() => decodeReply("[]"), new DecodeError("the body must be a JSON object"));
  for (const [member, max] of [
    ["from_agent", 256],
    ["thread_id", 1_024],
  ] as const) {
    const reply = (length: number) => JSON.stringify({ message_id: "m", [member]: "x".repeat(length) });
    assert.equal(decodeReply(reply(max)).messageId, "m");
    assert.throws(() => decodeReply(reply(max + 1)), new TooLarge(member, max + 1, max));
  }
  assert.throws(() => decodeEnvelope('{"ttl_ms":1e400}'), { message: "a number is too large for an integer" });
});

test("a huge lifetime stays as it is", () => {
  const envelope = decodeEnvelope('{"ttl_ms":123456789012345678901234567890,"sent_at":"2026-02-21T08:00:00Z"}');
  assert.equal(envelope.ttlMs, 123456789012345678901234567890n);
  assert.match(encodeEnvelope(envelope), /"ttl_ms":123456789012345678901234567890[,}]/);
  assert.equal(judgeExpiry(envelope, NOW, 0), undefined);
  assert.equal(decodeEnvelope('{"ttl_ms":5.9}').ttlMs, 5);
});

test("a clock skew moves the end and nothing else", () => {
  const message = { sentAt: "2026-02-21T08:00:00Z", ttlMs: 1000 };
  const start = Timestamp.parse(message.sentAt);
  assert.ok(start);
  assert.equal(judgeExpiry(message, start.addMillis(2999), 2000), undefined);
  assert.equal(judgeExpiry(message, start.addMillis(3000), 2000), REJECT.expired);
  assert.equal(judgeExpiry({ sentAt: message.sentAt }, start, 2000), REJECT.missingTtl);
});

test("receipts name the message, and are told apart by their status", () => {
  const message = decodeEnvelope(
    '{"message_id":"M","from_account_id":"acct_s","thread_id":"t","parent_message_id":"p"}',
  );
  const receiver = { accountId: "acct_r", sessionTag: "tag" };
  const receipt = receiptFor(message, "rejected", receiver, NOW, REJECT.payloadTooLarge(7, 5));
  assert.equal(
    encodeReceipt(receipt),
    '{"message_id":"M","status":"rejected","event_at":"2026-02-21T08:00:00.123000Z","from_account_id":"acct_r",' +
      '"from_session_tag":"tag","to_account_id":"acct_s","trace_id":"M","thread_id":"t","parent_message_id":"p",' +
      '"code":"payload_too_large","detail":"message of 7 bytes exceeds the receiver\'s limit of 5 bytes"}',
  );
  for (const [status, expected] of [
    [" Accepted ", "accepted"],
    ["PROCESSED", "processed"],
    ["rejected", "rejected"],
    ["", "other"],
    ["ok", "other"],
  ] as const) {
    assert.equal(receiptStatus({ ...receipt, status }), expected);
  }
  const front: [string, string | undefined][] = [
    ['{"message_id":"m1","status":"accepted"}', "m1"],
    ['{"message_id":""}', ""],
    ['{"message_id":"a\\u0062"}', undefined],
    ['{"message_id": "m1"}', undefined],
    ['{"status":"accepted","message_id":"m1"}', undefined],
    ['{"message_id":"m1', undefined],
    ["", undefined],
    [encodeReceipt(receipt), "M"],
  ];
  for (const [body, id] of front) assert.equal(receiptMessageIdAtFront(new TextEncoder().encode(body)), id, body);
});

const AGENT: AgentInfo = {
  agentId: "a",
  name: "Ä",
  capabilities: ["chat"],
  metadata: RawJson.parse('{"n":1.0}'),
  sessionTag: "registry_1",
};

test("a hello carries counters and a signature beside the agent", () => {
  const counters = {
    inflight: 3,
    pending: 40,
    processed: 2 ** 53,
    errors: 2,
    rejected: 5,
    retries: 1,
    circuitOpen: true,
    avgHandleMs: 1.25,
  };
  const hello = encodeHello(AGENT, counters, RawJson.parse('{"x":"é"}'));
  assert.equal(
    hello,
    '{"agent_id":"a","name":"\\u00c4","capabilities":["chat"],"metadata":{"n":1.0},"session_tag":"registry_1","counters":' +
      '{"inflight":3,"pending":40,"processed":9007199254740992,"errors":2,"rejected":5,"retries":1,"circuit_open":true,"avg_handle_ms":1.25},' +
      '"auth":{"x":"\\u00e9"}}',
  );
  assert.equal(encodeHello(AGENT), hello.replace(/,"counters".*/, "}"));
  const read = (text: string) => decodeCounters(JsonObject.parseBody(text) ?? assert.fail());
  assert.deepEqual(read(hello), { ...counters, processed: Number.MAX_SAFE_INTEGER });
  for (const none of ["{}", '{"counters":null}', '{"counters":[1]}']) assert.equal(read(none), undefined, none);
  const odd =
    '{"counters":{"inflight":"7","pending":-1,"processed":1e400,"errors":[],"circuit_open":1,"avg_handle_ms":"x"}}';
  assert.deepEqual(read(odd), {
    inflight: 7,
    pending: 0,
    processed: 0,
    errors: 0,
    rejected: 0,
    retries: 0,
    circuitOpen: true,
    avgHandleMs: 0,
  });
  assert.equal(
    encodeGoodbye({ agentId: "a", sessionTag: "t", seenAt: "now" }),
    '{"agent_id":"a","session_tag":"t","seen_at":"now"}',
  );
});

test("texts above their bounds are refused, and what may be said back is bounded", () => {
  const long = "x".repeat(1025);
  const envelope = decodeEnvelope(
    JSON.stringify({ message_id: long, trace_id: "t", from_agent: "y".repeat(257), from_account_id: "acct" }),
  );
  assert.throws(
    () => checkEnvelope(envelope),
    (error) =>
      error instanceof TooLarge &&
      error.message === "from_agent has 257 bytes; at most 256 are allowed" &&
      error.code === "too_large",
  );
  const bounded = boundedIds(envelope);
  assert.deepEqual(
    [bounded.messageId, bounded.fromAgent, bounded.traceId, bounded.fromAccountId],
    ["", "", "t", "acct"],
  );
  checkEnvelope(bounded);
  checkAgent(AGENT);
  assert.throws(() => checkAgent({ ...AGENT, name: "é".repeat(129) }), {
    message: "name has 258 bytes; at most 256 are allowed",
  });
  assert.throws(() => checkAgent({ ...AGENT, capabilities: new Array<string>(65).fill("c") }), {
    message: "capabilities has 65 entries; at most 64 are allowed",
  });
  assert.throws(() => checkAgent(AGENT, 5), { message: "metadata has 9 bytes; at most 5 are allowed" });
});

test("every text of a message and of a receipt is written with its escapes, and nothing that is absent", () => {
  const odd = (name: string) => `${name} "\\\n\u0001\u007f é\ud83d 😀`;
  const names = [
    "message_id",
    "from_agent",
    "to_agent",
    "payload",
    "sent_at",
    "kind",
    "schema_version",
    "from_session_tag",
    "from_account_id",
    "to_account_id",
    "ttl_ms",
    "expires_at",
    "trace_id",
    "thread_id",
    "parent_message_id",
    "idempotency_key",
    "reply_to",
    "auth",
  ];
  const value = (name: string) =>
    name === "ttl_ms" ? 2 ** 40 : name === "auth" ? { [odd("x")]: odd("y") } : odd(name);
  const all = stringify(Object.fromEntries(names.map((name) => [name, value(name)])));
  assert.equal(encodeEnvelope(decodeEnvelope(all)), all);
  for (const name of names.slice(7)) {
    const without = stringify(Object.fromEntries(names.filter((other) => other !== name).map((n) => [n, value(n)])));
    assert.equal(encodeEnvelope(decodeEnvelope(without)), without, name);
  }
  const members = ["message_id", "status", "event_at", "from_account_id", "from_session_tag", "to_account_id"];
  members.push("trace_id", "thread_id", "parent_message_id", "code", "detail", "auth");
  const receipt = stringify(Object.fromEntries(members.map((name) => [name, value(name)])));
  assert.equal(encodeReceipt(decodeReceipt(receipt)), receipt);
  for (const name of members.slice(3)) {
    const without = stringify(Object.fromEntries(members.filter((other) => other !== name).map((n) => [n, value(n)])));
    assert.equal(encodeReceipt(decodeReceipt(without)), without, name);
  }
});

test("each text of a message has its bound, and the first one above it is named", () => {
  const names = ["from_agent", "from_account_id", "from_session_tag", "to_account_id"].map(
    (name) => [name, 256] as const,
  );
  const ids = [
    "message_id",
    "to_agent",
    "sent_at",
    "kind",
    "schema_version",
    "expires_at",
    "trace_id",
    "thread_id",
    "parent_message_id",
    "idempotency_key",
  ].map((name) => [name, 1_024] as const);
  const bounds = [...names, ...ids];
  for (const [place, [member, max]] of bounds.entries()) {
    const read = (length: number, behind: readonly (readonly [string, number])[]) =>
      decodeEnvelope(
        JSON.stringify({
          [member]: "x".repeat(length),
          ...Object.fromEntries(behind.map(([name, bound]) => [name, "é".repeat(bound)])),
        }),
      );
    checkEnvelope(read(max, []));
    assert.throws(() => checkEnvelope(read(max + 1, bounds.slice(place + 1))), new TooLarge(member, max + 1, max));
  }
});

test("errors are found whatever their type", () => {
  const cases: [string, string | undefined][] = [
    ['{"error":" busy "}', "busy"],
    ['{"error":5}', "5"],
    ['{"error":""}', undefined],
    ['{"error":null}', undefined],
    ['{"text":"x"}', undefined],
    ['"error"', undefined],
  ];
  for (const [payload, error] of cases) assert.equal(extractError(JsonView.parse(payload)), error, payload);
});
