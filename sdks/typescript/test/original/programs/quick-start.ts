/** What the original's description of its client shows first: start, who is online, one request, close. */
import { AgentNetClient } from "agentnet-sdk";

const sdk = new AgentNetClient({
  natsUrl: process.env.AGENTNET_NATS_URL ?? "nats://agentnet_secret_token@localhost:4222",
  agentId: "quick_start",
  name: "Quick Start",
  username: "quick_start",
  capabilities: ["mesh.agent"],
});

await sdk.start();
const online = await sdk.listOnlineAgents();
console.log(
  online
    .map((agent) => agent.username)
    .sort()
    .join(" "),
);
const reply = await sdk.request("@echo", { text: "Analyze this game." }, { threadId: "quick_1", timeoutMs: 90_000 });
console.log(JSON.stringify(reply.payload));
await sdk.close();
