/**
 * Lists who is online.
 *
 *     npx tsx examples/list-agents.ts [NATS_URL]
 */
import process from "node:process";
import { listOnlineAgents } from "agentnet-sdk";

for (const agent of await listOnlineAgents(process.argv[2])) {
  console.log(`@${agent.username}`, agent.name, agent.capabilities);
}
