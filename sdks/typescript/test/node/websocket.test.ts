import assert from "node:assert/strict";
import { test } from "node:test";

import { AgentNode, ConnectError } from "../../src/index.js";
import { freePort, Network, TOKEN } from "../support/network.js";
import { eventually, within } from "../support/wait.js";

/** Node.js has a WebSocket from version 22 on. */
const skip = typeof globalThis.WebSocket === "function" ? false : "this runtime has no WebSocket";

test("a node joins by WebSocket, beside one by TCP, and both come back after the server was killed", {
  skip,
}, async () => {
  const port = await freePort();
  const network = await Network.start({ config: `websocket { listen: "127.0.0.1:${port}", no_tls: true }` });
  try {
    const natsUrl = `ws://${encodeURIComponent(TOKEN)}@127.0.0.1:${port}`;
    const web = network.node({ agentId: "web", username: "web", natsUrl });
    const tcp = network.node({ agentId: "tcp", username: "tcp" });
    for (const node of [web, tcp]) node.onMessage((message, context) => context.reply(message.payload));
    await web.start();
    await tcp.start();
    await network.node({ agentId: "another", natsUrl }).start();
    const ask = async (): Promise<void> => {
      assert.equal((await web.request(tcp.accountId ?? "", "by TCP", { timeoutMs: 2_000 })).payload, "by TCP");
      assert.equal(
        (await tcp.request(web.accountId ?? "", "by WebSocket", { timeoutMs: 2_000 })).payload,
        "by WebSocket",
      );
    };
    await ask();
    await network.stopServer("SIGKILL");
    for (const node of [web, tcp]) {
      await eventually("the node has noticed", () => !node.session().connection.isConnected);
    }
    await network.startServer();
    await eventually("both are back", async () => {
      await ask();
      return true;
    });
    await within("the close ends", web.close());
    await network.offline("web");
  } finally {
    await network.stop();
  }
});

test("a WebSocket address without a server, and with a wrong token, are clear errors", { skip }, async () => {
  const port = await freePort();
  const nobody = new AgentNode({ agentId: "a", natsUrl: `ws://secret@127.0.0.1:${port}` });
  await assert.rejects(nobody.start(), (error: unknown) => {
    assert.ok(error instanceof ConnectError && error.reason === "unreachable", String(error));
    assert.match(error.message, /^Cannot connect to NATS at ws:\/\/\*\*\*@127\.0\.0\.1:\d+\. Is it running\?/);
    return true;
  });
  const network = await Network.start({
    registry: false,
    config: `websocket { listen: "127.0.0.1:${port}", no_tls: true }`,
  });
  try {
    const wrong = new AgentNode({ agentId: "a", natsUrl: `ws://wrong@127.0.0.1:${port}` });
    await assert.rejects(
      wrong.start(),
      (error: unknown) => error instanceof ConnectError && error.reason === "refused",
    );
  } finally {
    await network.stop();
  }
});
