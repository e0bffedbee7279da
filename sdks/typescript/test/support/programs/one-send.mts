/**
 * A whole program: joins, sends until processed, asks, and closes. Then nothing keeps the process alive. Prints `done <text>`.
 *
 * Usage: one-send.mts <username of the receiver>
 */
import process from "node:process";

import { AgentNode } from "../../../src/index.js";

const to = process.argv[2] ?? "";
const node = await new AgentNode({ agentId: "one_send" }).start();
await node.send(to, { text: "hi" }, { until: "processed" });
const reply = await node.request(to, { text: "and back" });
await node.request(to, {}, { timeoutMs: 1 }).catch(() => undefined);
await node.listOnline();
await node.close();
console.log(`done ${reply.text}`);
