/**
 * Agent B: answers until it is stopped.
 *
 *     npx tsx examples/agent-b.ts [NATS_URL]
 */
import process from "node:process";
import { AgentNode } from "agentnet-sdk";

const node = new AgentNode({
  agentId: "agent_b",
  name: "Agent B",
  username: "agent_b",
  capabilities: ["smalltalk"],
  natsUrl: process.argv[2],
});

node.onMessage(async (message, context) => {
  console.log("got", message.payload, "from", message.fromAgent);
  if (message.wantsReply) await context.reply({ text: "Fine, thank you." });
});

await node.startForever();
