import assert from "node:assert/strict";
import { test } from "node:test";

import { ConnectError, DEFAULT_NATS_URL, parseNatsUrl } from "../../src/index.js";
import { natsUrlFromEnvironment } from "../../src/node/nats-url.js";

test("a user part without a password is a token, percent-decoded", () => {
  const url = parseNatsUrl("nats://s%40cret@localhost:4333");
  assert.deepEqual(url.servers, ["nats://localhost:4333"]);
  assert.deepEqual(url.login, { kind: "token", token: "s@cret" });
  assert.equal(url.redacted, "nats://***@localhost:4333");
  assert.equal(parseNatsUrl("wss://token@example.org/nats?key=secret").redacted, "wss://***@example.org:443/nats?***");
});

test("addresses are read in every common form", () => {
  const cases: [text: string, servers: string[], login: unknown, transport?: string][] = [
    ["localhost", ["nats://localhost:4222"], { kind: "none" }],
    ["nats://[::1]:4000", ["nats://[::1]:4000"], { kind: "none" }],
    ["nats://h:80", ["nats://h:80"], { kind: "none" }],
    ["nats://t@h:80", ["nats://h:80"], { kind: "token", token: "t" }],
    ["TLS://u:p@h", ["tls://h:4222"], { kind: "user", name: "u", password: "p" }],
    ["nats://u:@h", ["nats://h:4222"], { kind: "user", name: "u", password: "" }],
    ["nats://t@a:1, nats://t@b:2", ["nats://a:1", "nats://b:2"], { kind: "token", token: "t" }],
    ["nats://a:1,nats://t@b:2", ["nats://a:1", "nats://b:2"], { kind: "token", token: "t" }],
    ["ws://t@h", ["ws://h:80"], { kind: "token", token: "t" }, "websocket"],
    ["wss://t@h/path?q=1", ["wss://h:443/path?q=1"], { kind: "token", token: "t" }, "websocket"],
    ["ws://127.0.0.1:4280/", ["ws://127.0.0.1:4280"], { kind: "none" }, "websocket"],
  ];
  for (const [text, servers, login, transport = "tcp"] of cases) {
    const url = parseNatsUrl(text);
    assert.deepEqual(url.servers, servers, text);
    assert.deepEqual(url.login, login, text);
    assert.equal(url.transport, transport, text);
  }
  assert.deepEqual(parseNatsUrl(["nats://t@a", "nats://b"]).servers, ["nats://a:4222", "nats://b:4222"]);
});

test("users have inboxes of their own", () => {
  for (const [text, expected] of [
    ["h", "_AGENTNET"],
    ["nats://tok@h", "_AGENTNET"],
    ["nats://alice:p@h", "_AGENTNET.alice"],
    ["nats://a%2Eb:p@h", "_AGENTNET"],
    ["nats://%3E:p@h", "_AGENTNET"],
    ["nats://a%20b:p@h", "_AGENTNET"],
  ] as const) {
    assert.equal(parseNatsUrl(text).inboxPrefix, expected, text);
  }
});

test("what is no address is refused, without showing a secret", () => {
  for (const text of [
    "",
    " , ",
    "http://h",
    "nats://",
    "nats://secret@",
    "nats://secret@h:99999",
    "nats://%FF@h",
    "nats://a,ws://b",
  ]) {
    assert.throws(
      () => parseNatsUrl(text),
      (error: unknown) => {
        assert.ok(error instanceof ConnectError, text);
        assert.equal(error.reason, "url");
        assert.match(error.message, /^invalid NATS URL/);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
      text,
    );
  }
});

test("the environment names the address", () => {
  const read = (variables: Record<string, string>) => natsUrlFromEnvironment((name) => variables[name]);
  assert.equal(read({}), DEFAULT_NATS_URL);
  assert.equal(read({ NATS_URL: "nats://b" }), "nats://b");
  assert.equal(read({ AGENTNET_NATS_URL: " nats://a ", NATS_URL: "nats://b" }), "nats://a");
  assert.equal(read({ AGENTNET_NATS_URL: "  ", NATS_URL: "nats://b" }), "nats://b");
});
