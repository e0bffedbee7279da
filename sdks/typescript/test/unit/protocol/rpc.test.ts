import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonError, JsonObject, RawJson } from "../../../src/json/index.js";
import {
  checkRequest,
  DecodeError,
  REGISTRY_SUBJECTS,
  RegistryRefusal,
  RPC,
  type Rpc,
} from "../../../src/protocol/index.js";

test("requests are written as the registry reads them", () => {
  const agent = { agentId: "a", name: "A", capabilities: ["c"], metadata: RawJson.parse('{"é":1.0}'), username: "u" };
  const cases: [written: string, expected: string][] = [
    [
      RPC.register.encode({ agent }),
      '{"agent_id":"a","name":"A","capabilities":["c"],"metadata":{"\\u00e9":1.0},"username":"u"}',
    ],
    [
      RPC.register.encode({ agent, auth: RawJson.parse('{"s":"é"}'), keepProfile: true }),
      '{"agent_id":"a","name":"A","capabilities":["c"],"metadata":{"\\u00e9":1.0},"username":"u","auth":{"s":"\\u00e9"},"keep_profile":true}',
    ],
    [RPC.list.encode({}), "{}"],
    [RPC.list.encode({ limit: 5, cursor: "x" }), '{"limit":5,"cursor":"x"}'],
    [RPC.resolveAccount.encode({ username: "u" }), '{"username":"u"}'],
    [RPC.resolveKey.encode({ accountId: "a" }), '{"account_id":"a"}'],
    [
      RPC.rotateKey.encode({ accountId: "a", newPublicKey: "k", auth: RawJson.EMPTY_OBJECT, proof: "p" }),
      '{"account_id":"a","new_public_key":"k","auth":{},"proof":"p"}',
    ],
    [RPC.search.encode({}), '{"query":"","capability":null,"limit":20,"online_only":false}'],
    [
      RPC.search.encode({ query: "q", capability: "c", limit: 3, onlineOnly: true, cursor: "x" }),
      '{"query":"q","capability":"c","limit":3,"online_only":true,"cursor":"x"}',
    ],
    [RPC.profile.encode({ username: "u" }), '{"username":"u"}'],
    [RPC.threadStatus.encode({ threadId: "t", hardLimitTokens: 9 }), '{"thread_id":"t","hard_limit_tokens":9}'],
    [RPC.threadList.encode({ participantUsername: "u" }), '{"query":"","limit":20,"participant_username":"u"}'],
    [RPC.threadMessages.encode({ threadId: "t" }), '{"thread_id":"t","limit":50}'],
    [RPC.messageSearch.encode({ messageId: "m", fromTs: "f", limit: 7 }), '{"message_id":"m","from_ts":"f","limit":7}'],
    [RPC.metrics.encode({}), "{}"],
    [
      RPC.mailboxLease.encode({ accountId: "a", sessionTag: "s" }),
      '{"account_id":"a","session_tag":"s","max":10,"lease_ms":30000,"wait_ms":0}',
    ],
    [
      RPC.mailboxAck.encode({
        accountId: "a",
        sessionTag: "s",
        acks: [
          { lease: "l1", outcome: "done" },
          { lease: "l2", outcome: "retry", delayMs: 500, code: "busy", detail: "é" },
        ],
        auth: RawJson.EMPTY_OBJECT,
      }),
      '{"account_id":"a","session_tag":"s","acks":[{"lease":"l1","outcome":"done"},{"lease":"l2","outcome":"retry","delay_ms":500,"code":"busy","detail":"\\u00e9"}],"auth":{}}',
    ],
    [
      RPC.register.encode({ agent, pullsMailbox: true, claimsTasks: true }),
      '{"agent_id":"a","name":"A","capabilities":["c"],"metadata":{"\\u00e9":1.0},"username":"u","mailbox":"pull","tasks":"claim"}',
    ],
    [
      RPC.taskCreate.encode({ accountId: "a", sessionTag: "s", to: "acct", text: "é", metadata: RawJson.EMPTY_OBJECT }),
      '{"account_id":"a","session_tag":"s","to":"acct","text":"\\u00e9","priority":0,"max_attempts":1,"backoff_ms":1000,"heartbeat_ms":30000,"metadata":{}}',
    ],
    [
      RPC.taskClaim.encode({ accountId: "a", sessionTag: "s", capabilities: ["c"], max: 2, waitMs: 9 }),
      '{"account_id":"a","session_tag":"s","capabilities":["c"],"max":2,"wait_ms":9}',
    ],
    [
      RPC.taskFinish.encode({
        accountId: "a",
        sessionTag: "s",
        taskId: "t",
        attempt: 1,
        lease: "l",
        finishId: "f",
        state: "failed",
        code: "c",
        retryable: true,
        auth: RawJson.EMPTY_OBJECT,
      }),
      '{"account_id":"a","session_tag":"s","task_id":"t","attempt":1,"lease":"l","finish_id":"f","state":"failed","code":"c","retryable":true,"auth":{}}',
    ],
    [
      RPC.taskCancel.encode({ accountId: "a", sessionTag: "s", taskId: "t", reason: "r", keepChildren: true }),
      '{"account_id":"a","session_tag":"s","task_id":"t","reason":"r","cascade":false}',
    ],
    [
      RPC.taskInput.encode({ accountId: "a", sessionTag: "s", taskId: "t", payload: RawJson.parse('"é"') }),
      '{"account_id":"a","session_tag":"s","task_id":"t","payload":"\\u00e9"}',
    ],
    [RPC.taskStatus.encode({ taskId: "t" }), '{"task_id":"t"}'],
    [RPC.taskList.encode({ state: "working", cursor: "x" }), '{"state":"working","limit":20,"cursor":"x"}'],
    [RPC.taskEvents.encode({ taskId: "t", after: 7 }), '{"task_id":"t","after":7,"limit":100,"wait_ms":0}'],
    [
      RPC.mailboxExtend.encode({ accountId: "a", sessionTag: "s", leases: ["l"], leaseMs: 5_000 }),
      '{"account_id":"a","session_tag":"s","leases":["l"],"lease_ms":5000}',
    ],
    [RPC.mailboxStatus.encode({}), "{}"],
    [RPC.mailboxStatus.encode({ username: "u" }), '{"username":"u"}'],
    [
      RPC.mailboxList.encode({ accountId: "a", state: "dead", cursor: "c" }),
      '{"account_id":"a","state":"dead","limit":50,"cursor":"c"}',
    ],
    [
      RPC.mailboxAction.encode({ accountId: "a", sessionTag: "", action: "drop", messageIds: ["m"] }),
      '{"account_id":"a","session_tag":"","action":"drop","message_ids":["m"]}',
    ],
    [
      RPC.mailboxAction.encode({ accountId: "a", sessionTag: "s", action: "requeue", state: "dead" }),
      '{"account_id":"a","session_tag":"s","action":"requeue","state":"dead"}',
    ],
    [
      RPC.mailboxPut.encode({ envelope: RawJson.parse('{"b":1e0,  "é":[ ]}') }),
      '{"envelope":{"b":1e0,  "\\u00e9":[ ]}}',
    ],
    [RPC.mailboxPut.encode({ envelope: RawJson.EMPTY_OBJECT, direct: true }), '{"envelope":{},"direct":true}'],
  ];
  for (const [written, expected] of cases) assert.equal(written, expected);
  for (const [written] of cases.slice(2)) checkRequest(written);
});

test("every call has the subject of its name", () => {
  for (const [name, call] of Object.entries(RPC)) {
    assert.equal(call.subject, `registry.${call.name}`);
    assert.equal(call.subject, REGISTRY_SUBJECTS[name as keyof typeof REGISTRY_SUBJECTS]);
  }
});

test("what is no answer is told apart from a refusal", () => {
  const calls: Rpc<never, unknown>[] = Object.values(RPC);
  for (const call of calls) {
    assert.throws(
      () => call.read('{"error":"not_found"}'),
      (error) => error instanceof RegistryRefusal && error.message === "not_found" && error.detail === "not_found",
      call.name,
    );
    // The confirmation of a JetStream stream that captures the request.
    assert.throws(() => call.read('{"stream":"S","seq":1}'), DecodeError, call.name);
    assert.throws(() => call.read("[]"), DecodeError, call.name);
    assert.throws(() => call.read("{"), JsonError, call.name);
    // A registry's error is a text.
    assert.throws(() => call.read('{"error":{"code":1}}'), DecodeError, call.name);
  }
  assert.throws(
    () => RPC.register.read('{"account_id":"","session_tag":"t"}'),
    new DecodeError("`account_id` is missing", "account_id"),
  );
  assert.throws(() => RPC.profile.read('{"profile":5}'), new DecodeError("`profile` must be an object", "profile"));
});

test("replies are read, absent and null members left out", () => {
  assert.deepEqual(
    RPC.register.read(
      '{"account_id":"acct","username":"u","session_tag":"t","heartbeat_interval":0.5,"registered_at":"now","reply_prefix":"p"}',
    ),
    {
      accountId: "acct",
      username: "u",
      sessionTag: "t",
      heartbeatInterval: 0.5,
      ttlSeconds: 40,
      registeredAt: "now",
      replyPrefix: "p",
    },
  );
  assert.deepEqual(RPC.list.read('{"generated_at":"now","agents":[{"agent_id":"a"},5],"next_cursor":"n"}'), {
    generatedAt: "now",
    agents: [{ agentId: "a", name: "a", capabilities: [], metadata: RawJson.EMPTY_OBJECT }],
    nextCursor: "n",
  });
  assert.deepEqual(
    RPC.resolveKey.read('{"account_id":"a","public_key":"k","resolved_at":"now","signs":"receipts"}').signs,
    {
      receipts: true,
      presence: false,
    },
  );
  const profile = RPC.profile.read(
    '{"profile":{"account_id":"a","online":1,"online_sessions":[{"session_tag":"t","metadata":{"n":1.0}}]}}',
  );
  assert.equal(profile.online, true);
  assert.equal(profile.onlineSessions[0]?.metadata.text, '{"n":1.0}');
  assert.equal(profile.displayName, "");
});

/** The examples of docs/PROTOCOL.md section 6. */
test("threads and their messages are read as section 6 shows them", () => {
  const status = RPC.threadStatus.read(
    '{"thread_id":"thread_one","created_by_account_id":null,"participants":["a","b"],"created_at":"c","updated_at":"u","message_count":12,' +
      '"byte_count":332,"approx_tokens":86,"latest_checkpoint_end":4,"last_message_at":"l","status":"ok","pending_messages":8,' +
      '"soft_limit_tokens":50000,"hard_limit_tokens":60000,"thread_keep_tail_messages":24,"token_estimate_chars_per_token":4.0,"generated_at":"g"}',
  );
  assert.deepEqual(status, {
    threadId: "thread_one",
    participants: ["a", "b"],
    createdAt: "c",
    updatedAt: "u",
    messageCount: 12,
    byteCount: 332,
    approxTokens: 86,
    latestCheckpointEnd: 4,
    lastMessageAt: "l",
    status: "ok",
    pendingMessages: 8,
    softLimitTokens: 50_000,
    hardLimitTokens: 60_000,
    threadKeepTailMessages: 24,
    tokenEstimateCharsPerToken: 4,
    generatedAt: "g",
    participantsFull: false,
  });
  const page = RPC.threadMessages.read(
    '{"thread_id":"t","limit":50,"cursor":null,"next_cursor":null,"generated_at":"g","messages":[{"message_id":"m008","thread_id":"t",' +
      '"parent_message_id":null,"from_account_id":"a","to_agent":"x","kind":"request","schema_version":"1.1",' +
      '"payload":{"n": 1.0, "big": 12345678901234567890},"sent_at":"s","received_at":"r","status":"received","metadata":{},"ttl_ms":30000}]}',
  );
  assert.deepEqual({ ...page, messages: [] }, { threadId: "t", limit: 50, messages: [], generatedAt: "g" });
  assert.deepEqual(page.messages, [
    {
      messageId: "m008",
      threadId: "t",
      fromAccountId: "a",
      toAgent: "x",
      kind: "request",
      schemaVersion: "1.1",
      payload: RawJson.trusted('{"n": 1.0, "big": 12345678901234567890}'),
      sentAt: "s",
      receivedAt: "r",
      status: "received",
      metadata: RawJson.EMPTY_OBJECT,
      ttlMs: 30_000,
    },
  ]);
  const unknown = RPC.threadList.read(
    '{"query":"","limit":20,"participant_account_id":null,"participant_username":"u","results":[],"generated_at":"g"}',
  );
  assert.deepEqual(unknown, { query: "", limit: 20, participantUsername: "u", results: [], generatedAt: "g" });
  // Numbers from a registry are limited to what a number can hold.
  const huge = RPC.threadStatus.read('{"thread_id":"t","message_count":1e400,"byte_count":99999999999999999999}');
  assert.deepEqual([huge.messageCount, huge.byteCount], [0, Number.MAX_SAFE_INTEGER]);
});

test("a registry's reply can be handed on as it is", () => {
  const object = RPC.search.readObject('{"results":[{"n":1.0}],"generated_at":"g","new_member":1}');
  assert.ok(object instanceof JsonObject);
  assert.deepEqual(object.value(), { results: [{ n: 1 }], generated_at: "g", new_member: 1 });
});
