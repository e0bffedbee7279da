import assert from "node:assert/strict";
import { test } from "node:test";

import {
  AgentBusyError,
  AgentNetError,
  AgentNode,
  AgentRequestError,
  agentRequestError,
  ConnectError,
  DEFAULT_LIMITS,
  InvalidArgumentError,
  isAgentNetError,
  isStreamCancelled,
  type NodeOptions,
  RegistryError,
  StreamCancelledError,
} from "../../src/index.js";
import { resolveLimits } from "../../src/node/limits.js";
import { LatencyWindow, Metrics } from "../../src/node/metrics.js";
import { shown } from "../../src/node/shown.js";
import { REJECT } from "../../src/protocol/index.js";

test("limits below their minimum count as the minimum, and the environment fills in", () => {
  assert.deepEqual(resolveLimits(), DEFAULT_LIMITS);
  const limits = resolveLimits({
    maxConcurrency: 0,
    rateLimitPerSenderPerSec: 0,
    workTimeoutMs: Infinity,
    maxPending: 2.9,
  });
  assert.equal(limits.maxConcurrency, 1);
  assert.equal(limits.rateLimitPerSenderPerSec, 0.1);
  assert.equal(limits.workTimeoutMs, Number.MAX_SAFE_INTEGER);
  assert.equal(limits.maxPending, 2);
  const environment = (name: string) =>
    ({ ACCOUNT_RESOLVE_CACHE_TTL_SECONDS: "1.5", AGENT_METRICS_WINDOW_SIZE: "1" })[name];
  assert.equal(resolveLimits({}, environment).resolveCacheTtlMs, 1_500);
  assert.equal(resolveLimits({}, environment).metricsWindow, 32);
  assert.equal(resolveLimits({ resolveCacheTtlMs: 7 }, environment).resolveCacheTtlMs, 7);
  assert.throws(() => resolveLimits({ maxConcurrency: Number.NaN }), InvalidArgumentError);
  assert.throws(() => resolveLimits({ maxConcurency: 3 } as object), /there is no limit "maxConcurency"/);
  assert.throws(() => resolveLimits({}, () => "many"), /ACCOUNT_RESOLVE_CACHE_TTL_SECONDS must be a number/);
});

test("wrong options are errors of the constructor that name the option", () => {
  const cases: [options: unknown, pattern: RegExp][] = [
    [{}, /agentId is required/],
    [{ agentId: "  " }, /agentId is required/],
    [{ agentId: 7 }, /agentId must be a string, not number/],
    [{ agentId: "a", username: 7 }, /username must be a string/],
    [{ agentId: "a", capabilities: "chat" }, /capabilities must be an array/],
    [{ agentId: "a", metadata: [1] }, /metadata must be an object/],
    [{ agentId: "a", natsUrl: "nats://a", servers: ["b"] }, /give one of natsUrl, servers and connection/],
    [{ agentId: "a", connection: {} }, /connection must be a NatsConnection/],
    [{ agentId: "a".repeat(300) }, /agent_id has 300 bytes; at most 256 are allowed/],
    [{ agentId: "a", limits: { nope: 1 } }, /there is no limit/],
  ];
  for (const [options, pattern] of cases) {
    assert.throws(
      () => new AgentNode(options as NodeOptions),
      (error: unknown) => isAgentNetError(error) && pattern.test(error.message),
      String(pattern),
    );
  }
  assert.throws(() => new AgentNode({ agentId: "a", natsUrl: "http://x" }), ConnectError);
  assert.throws(() => new AgentNode({ agentId: "a", username: "日本" }), /username/i);
  assert.throws(() => new AgentNode({ agentId: "a" }).onMessage(undefined as never), /the handler must be a function/);
  assert.throws(() => new AgentNode({ agentId: "a" }).onMessage(function* () {}), /generator/);
  assert.throws(() => new AgentNode({ agentId: "a" }).onMessage(async function* () {}), /generator/);
});

test("errors have their names, codes and causes, and are known across copies of the package", () => {
  const cause = new Error("why");
  const error = RegistryError.refused("profile", "not_found", cause);
  assert.equal(error.name, "RegistryError");
  assert.equal(error.code, "not_found");
  assert.equal(error.isNotFound, true);
  assert.equal(error.cause, cause);
  assert.ok(error instanceof AgentNetError);
  assert.equal(RegistryError.refused("register", "agent_id is required").code, "registry_refused");
  const busy = agentRequestError("busy", "agent backlog is full", { messageId: "m" });
  assert.ok(busy instanceof AgentBusyError && busy instanceof AgentRequestError);
  assert.deepEqual(
    [busy.name, busy.code, busy.message, busy.messageId],
    ["AgentBusyError", "busy", "busy: agent backlog is full", "m"],
  );
  assert.equal(agentRequestError("toString", "").name, "AgentRequestError");
  assert.equal(isAgentNetError({ [Symbol.for("agentnet.error")]: true }), true);
  assert.equal(isAgentNetError(new Error("x")), false);
  assert.equal(isStreamCancelled(new Error("x", { cause: new StreamCancelledError() })), true);
  const circle = new Error("x");
  circle.cause = circle;
  assert.equal(isStreamCancelled(circle), false);
});

test("texts of the other side are shown bounded and without control characters", () => {
  assert.equal(shown("a\u001b[31mb\u202ec\n"), "a\\u001b[31mb\\u202ec\\u000a");
  assert.equal(shown("é".repeat(5_000)).length, 1_025);
  assert.equal(RegistryError.refused("list", "\u0007").message, "\\u0007");
});

test("metrics count refusals by their codes, and percentiles over a window", () => {
  const metrics = new Metrics(32);
  for (const reject of [
    REJECT.busy,
    REJECT.duplicateKey,
    REJECT.expired,
    REJECT.timeout,
    REJECT.handlerError,
    REJECT.auth("auth_missing"),
  ]) {
    metrics.refused(reject);
  }
  const snapshot = metrics.snapshot("a", undefined, undefined, 60_000);
  assert.deepEqual(
    [
      snapshot.dropped_count,
      snapshot.busy_count,
      snapshot.duplicate_count,
      snapshot.expired_count,
      snapshot.timeout_count,
      snapshot.error_count,
      snapshot.payload_rejected_count,
    ],
    [4, 1, 1, 1, 1, 1, 1],
  );
  assert.equal(snapshot.account_id, null);
  const window = new LatencyWindow(4);
  assert.deepEqual(window.snapshot(), { count: 0, p50: 0, p95: 0, p99: 0 });
  for (const sample of [100, 1, 2, 3, 4]) window.record(sample);
  assert.deepEqual(window.snapshot(), { count: 4, p50: 3, p95: 4, p99: 4 });
});
