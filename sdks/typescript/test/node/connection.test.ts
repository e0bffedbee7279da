import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "@nats-io/transport-node";

import {
  type AgentNode,
  Connection,
  ConnectionLostError,
  getProfile,
  getRegistryMetrics,
  InvalidArgumentError,
  listOnlineAgents,
  listThreads,
  NoRespondersError,
  PermissionDeniedError,
  RegistryClient,
  RegistryError,
  resolveAccountByUsername,
  searchMessages,
  searchProfiles,
  withRegistry,
} from "../../src/index.js";
import { Network, QuietLogger, TOKEN } from "../support/network.js";
import { eventually, Gate, within } from "../support/wait.js";

const generous = { rateLimitPerSenderPerSec: 1e6, rateLimitBurst: 1e6, maxPending: 10_000 };

async function pair(network: Network): Promise<{ sender: AgentNode; receiver: AgentNode; got: Set<string> }> {
  const got = new Set<string>();
  const receiver = network.node({ agentId: "receiver", username: "receiver", limits: generous });
  receiver.onMessage(async (message, context) => {
    got.add(message.messageId);
    if (message.wantsReply) await context.reply(message.payload);
  });
  await receiver.start();
  const sender = await network.node({ agentId: "sender", username: "sender" }).start();
  return { sender, receiver, got };
}

test("nodes come back after the server was killed, and no confirmed send is lost", async () => {
  const network = await Network.start();
  try {
    const { sender, receiver, got } = await pair(network);
    const to = receiver.accountId ?? "";
    const confirmed: string[] = [];
    const unconfirmed: unknown[] = [];
    const send = async (number: number): Promise<void> => {
      try {
        const options = { threadId: "crash", retryAttempts: 10 };
        confirmed.push((await sender.send(to, number, options)).messageId);
      } catch (error) {
        unconfirmed.push(error);
      }
    };
    await send(0);
    const session = sender.sessionTag;
    for (let round = 0; round < 2; round += 1) {
      const sends = Array.from({ length: 100 }, (_, number) => send(number));
      await network.stopServer("SIGKILL");
      await assert.rejects(sender.send(to, {}, { retryAttempts: 0, receiptTimeoutMs: 200 }), ConnectionLostError);
      await assert.rejects(sender.send(to, {}, { until: "published" }), ConnectionLostError);
      await assert.rejects(sender.request(to, {}, { timeoutMs: 100 }), ConnectionLostError);
      await assert.rejects(sender.listOnline({ timeoutMs: 100 }), { code: "not_connected" });
      await network.startServer();
      // The receiver may come back later than the sender: a request that is published before is not answered.
      await eventually(
        "a request is answered",
        async () => (await sender.request(to, "again", { timeoutMs: 2_000 })).payload,
      );
      await within("all sends end", Promise.all(sends));
    }
    assert.deepEqual(unconfirmed, []);
    for (const id of confirmed) assert.ok(got.has(id), `${id} was handled`);
    assert.equal(sender.sessionTag, session, "the session is the same");
    await network.online("sender");
    await network.online("receiver");
    const stored = await eventually("the history has them", async () => {
      const status = await sender.threadStatus("crash").catch(() => undefined);
      return status !== undefined && status.messageCount >= confirmed.length ? status : undefined;
    });
    assert.ok(stored.messageCount >= confirmed.length);
  } finally {
    await network.stop();
  }
});

test("a node closes while the server is down, and a closed connection is no connection", async () => {
  const network = await Network.start();
  try {
    const node = await network.node({ agentId: "orphan" }).start();
    const shared = await connect({ servers: `127.0.0.1:${network.port}`, token: TOKEN });
    await shared.close();
    const late = network.node({ agentId: "late", connection: shared, natsUrl: undefined });
    await assert.rejects(late.start(), (error: unknown) => {
      return error instanceof ConnectionLostError && /the connection is closed/.test(error.message);
    });
    await network.stopServer("SIGKILL");
    await eventually("the node has noticed", () => !node.session().connection.isConnected);
    await within("the close ends", node.close());
    assert.equal(node.isRunning, false);
  } finally {
    await network.stop();
  }
});

test("sends that wait for a server that does not read end with their signal, with the close, and when it reads on", async () => {
  const network = await Network.start();
  const { server } = network;
  try {
    const start = (agentId: string): Promise<AgentNode> => network.node({ agentId }).start();
    const [aborted, closed, patient] = [await start("aborted"), await start("closed"), await start("patient")];
    const reason = new Error("no longer");
    const controller = new AbortController();
    /** More sends than may be on their way; they wait when this resolves. */
    const flood = async (node: AgentNode, signal?: AbortSignal) => {
      const payload = "x".repeat(200_000);
      const sends = Array.from({ length: 30 }, () =>
        node.sendToAccount("acct_x", payload, { until: "published", signal }),
      );
      const outcomes = Promise.allSettled(sends);
      await eventually("sends wait", () => node.session().connection.pressure() !== undefined);
      return { outcomes };
    };
    server?.kill("SIGSTOP");
    const ofAborted = await flood(aborted, controller.signal);
    const ofClosed = await flood(closed);
    const ofPatient = await flood(patient);
    controller.abort(reason);
    const outcomes = await within("the sends of an aborted signal end", ofAborted.outcomes);
    const rejected = outcomes.filter((outcome) => outcome.status === "rejected");
    assert.ok(rejected.length > 0 && rejected.length < outcomes.length, `${rejected.length} were rejected`);
    assert.ok(rejected.every((outcome) => outcome.reason === reason));
    const closing = closed.close();
    await within("the sends of a closed node end", ofClosed.outcomes);
    server?.kill("SIGCONT");
    await within("the close ends", closing);
    const others = await within("the other sends end", ofPatient.outcomes);
    assert.ok(others.every((outcome) => outcome.status === "fulfilled"));
  } finally {
    server?.kill("SIGCONT");
    await network.stop();
  }
});

test("a restarted registry knows the agents by their next hello, and a call waits for it", async () => {
  const network = await Network.start({ environment: { HEARTBEAT_INTERVAL_SECONDS: "1" } });
  try {
    const { sender } = await pair(network);
    await sender.listOnline();
    await network.stopRegistry();
    const listing = sender.listOnline({ timeoutMs: 30_000 });
    await network.startRegistry();
    await listing;
    await network.online("receiver");
    await network.online("sender");
    await network.stopRegistry();
    await assert.rejects(sender.listOnline({ timeoutMs: 500 }), { code: "no_registry" });
  } finally {
    await network.stop();
  }
});

test("messages that may wait go out before the next one, and by themselves where none comes", async () => {
  const network = await Network.start({ registry: false });
  try {
    const observer = await connect({ servers: `127.0.0.1:${network.port}`, token: TOKEN });
    const got: string[] = [];
    observer.subscribe("waiting.>", {
      callback: (_error, message) => {
        got.push(message.string());
      },
    });
    await observer.flush();
    const connection = await Connection.open(network.url, { name: "waiting", logger: new QuietLogger() });
    connection.publishWithNext("waiting.a", "1");
    connection.publishWithNext("waiting.a", "2");
    connection.publish("waiting.b", "3");
    await eventually("they go out with the next one", () => got.length === 3);
    connection.publishWithNext("waiting.a", "4");
    await eventually("it goes out by itself", () => got.length === 4);
    // More than may wait at a time.
    for (let number = 5; number <= 200; number += 1) connection.publishWithNext("waiting.a", String(number));
    await connection.roundTrip();
    await eventually("a round trip is behind them", () => got.length === 200);
    assert.deepEqual(
      got,
      [...got.keys()].map((index) => String(index + 1)),
    );
    await connection.close();
    await observer.close();
  } finally {
    await network.stop();
  }
});

test("a reply that is given while the connection is lost goes out when it is back", async () => {
  const network = await Network.start();
  try {
    const entered = new Gate();
    const gate = new Gate();
    const replied = new Gate();
    let aborted = false;
    const slow = network.node({ agentId: "slow", username: "slow" });
    slow.onMessage(async (_message, context) => {
      entered.open();
      await gate.promise;
      const reason = new Error("no longer");
      const signal = AbortSignal.timeout(1);
      await assert.rejects(context.reply("early", { signal }), { name: "TimeoutError" });
      aborted = true;
      await assert.rejects(context.reply("none", { signal: AbortSignal.abort(reason) }), (error) => error === reason);
      await context.reply("late");
      replied.open();
    });
    await slow.start();
    const sender = await network.node({ agentId: "sender" }).start();
    const request = sender.request("@slow", {}, { timeoutMs: 60_000 });
    await entered.promise;
    await network.stopServer("SIGKILL");
    await eventually("the node has noticed", () => !slow.session().connection.isConnected);
    gate.open();
    await eventually("the first reply waits", () => aborted);
    await network.startServer();
    await within("the reply is published", replied.promise);
    // Whether the requester has its reply subject back by then is another matter: the history shows that it went out.
    request.catch(() => undefined);
    await eventually("the reply is in the history", async () => {
      const { messages } = await sender.searchMessages({ kind: "reply" });
      return messages.some((message) => message.payload.text === '"late"');
    });
  } finally {
    await network.stop();
  }
});

test("what the server does not permit is an error at once, of sends, requests, registry calls and the start", async () => {
  const everything = 'permissions: { publish: ">", subscribe: ">" }';
  const network = await Network.start({
    authorization: `users: [
      { user: "all", password: "p", ${everything} }
      { user: "mute", password: "p", permissions: { publish: { deny: ["account.acct_x.inbox", "registry.search"] }, subscribe: ">" } }
      { user: "deaf", password: "p", permissions: { publish: ">", subscribe: { deny: ["account.*.inbox"] } } }
      { user: "lost", password: "p", permissions: { publish: ">", subscribe: { deny: ["agentnet.reply.>"] } } }
    ]`,
    credentials: "all:p",
  });
  try {
    const mute = await network.node({ agentId: "mute", natsUrl: network.urlAs("mute:p") }).start();
    const isDenied = (error: unknown): boolean => {
      assert.ok(error instanceof PermissionDeniedError, String(error));
      assert.deepEqual(
        [error.code, error.action, error.subject],
        ["permission_denied", "publish", "account.acct_x.inbox"],
      );
      assert.match(
        error.message,
        /permissions violation: NATS does not permit this user to publish to "account.acct_x.inbox"/,
      );
      return true;
    };
    const started = performance.now();
    await assert.rejects(mute.send("acct_x", {}, { receiptTimeoutMs: 60_000 }), isDenied);
    await assert.rejects(mute.request("acct_x", {}, { timeoutMs: 60_000 }), isDenied);
    await assert.rejects(mute.searchProfiles({}, { timeoutMs: 60_000 }), (error: unknown) => {
      return (
        error instanceof RegistryError &&
        error.code === "permission_denied" &&
        /registry\.search cannot be called/.test(error.message)
      );
    });
    assert.ok(performance.now() - started < 30_000);
    const deaf = network.node({ agentId: "deaf", username: "deaf", natsUrl: network.urlAs("deaf:p") });
    deaf.onMessage(() => undefined);
    await assert.rejects(
      deaf.start(),
      (error: unknown) => error instanceof PermissionDeniedError && error.action === "subscribe",
    );
    await network.offline("deaf");
    const lost = network.node({ agentId: "lost", natsUrl: network.urlAs("lost:p") });
    await assert.rejects(lost.start(), PermissionDeniedError);
  } finally {
    await network.stop();
  }
});

test("a subject without listeners is a no-responders error where no registry captures it", async () => {
  const network = await Network.start({ jetstream: false });
  try {
    const sender = await network.node({ agentId: "sender" }).start();
    await network.stopRegistry("SIGKILL");
    await eventually("the server has noticed", async () => {
      const started = performance.now();
      await assert.rejects(sender.request("acct_x", {}, { timeoutMs: 5_000 }), (error: unknown) => {
        assert.ok(error instanceof NoRespondersError && error.code === "no_responders", String(error));
        assert.equal(error.message, "no responders: account.acct_x.inbox has no subscriber");
        return true;
      });
      return performance.now() - started < 2_500;
    });
  } finally {
    await network.stop();
  }
});

test("a node joins again when its client has ended for good, and a shared connection stays the caller's", async () => {
  const network = await Network.start();
  try {
    const logger = new QuietLogger();
    const node = network.node({ agentId: "phoenix", username: "phoenix" }, logger);
    node.onMessage((_message, context) => context.reply("back"));
    await node.start();
    const before = node.sessionTag;
    await node.session().connection.nats.close();
    await eventually("it has another session", () => node.sessionTag !== undefined && node.sessionTag !== before);
    assert.ok(logger.has(/the NATS client has ended; joining the network again/));
    const shared = await connect({ servers: `127.0.0.1:${network.port}`, token: TOKEN });
    const first = network.node({ agentId: "first", username: "first", connection: shared, natsUrl: undefined });
    const second = network.node({ agentId: "second", username: "second", connection: shared, natsUrl: undefined });
    second.onMessage((_message, context) => context.reply("second"));
    await Promise.all([first.start(), second.start()]);
    assert.equal((await first.request("@second", {})).payload, "second");
    assert.equal((await first.request("@phoenix", {})).payload, "back");
    await first.close();
    assert.equal(shared.isClosed(), false);
    assert.equal(
      (await second.listOnline()).some((agent) => agent.username === "first"),
      false,
    );
    await second.close();
    await shared.close();
  } finally {
    await network.stop();
  }
});

test("the registry is asked without an agent, by address, client or connection", async () => {
  const network = await Network.start();
  try {
    const { sender } = await pair(network);
    const names = (agents: { username?: string }[]): (string | undefined)[] =>
      agents.map((agent) => agent.username).sort();
    assert.deepEqual(names(await listOnlineAgents(network.url)), ["receiver", "sender"]);
    const nats = await connect({ servers: `127.0.0.1:${network.port}`, token: TOKEN });
    assert.deepEqual(names(await listOnlineAgents(nats)), ["receiver", "sender"]);
    const client = RegistryClient.on(nats);
    assert.equal((await getProfile(client, { username: "@Sender" })).accountId, sender.accountId);
    assert.equal((await resolveAccountByUsername(client, "@sender")).accountId, sender.accountId);
    assert.equal((await searchProfiles(client, { query: "rec", onlineOnly: true })).results.length, 1);
    assert.deepEqual((await listThreads(client, { participantUsername: "nobody" })).results, []);
    assert.deepEqual((await searchMessages(client, { kind: "none" })).messages, []);
    assert.equal((await getRegistryMetrics(client)).get("store_backend").asString(), "sqlite");
    assert.equal(await withRegistry(network.url, async (registry) => (await registry.listOnline()).length), 2);
    await assert.rejects(getProfile(client, {}), InvalidArgumentError);
    await assert.rejects(getProfile(client, { username: "nobody" }), { code: "not_found" });
    client.close();
    await nats.close();
  } finally {
    await network.stop();
  }
});
