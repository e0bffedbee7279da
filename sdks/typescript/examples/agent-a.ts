/**
 * Agent A: finds agent B, asks it something, and goes.
 *
 *     npx tsx examples/agent-a.ts [NATS_URL]        with examples/agent-b.ts running
 *
 * Deno, Bun and Node.js from 22.18 on run the file as it is.
 */
import process from "node:process";
import { AgentSDK } from "agentnet-sdk";

const sdk = new AgentSDK({ agentId: "agent_a", name: "Agent A", username: "agent_a", natsUrl: process.argv[2] });
await sdk.start();
try {
  if ((await sdk.listOnline()).every((agent) => agent.username !== "agent_b")) {
    console.error("agent_b is not online: run `npx tsx examples/agent-b.ts` in another terminal first");
    process.exitCode = 1;
  } else {
    const profile = await sdk.getProfile("@agent_b");
    console.log("found", profile.displayName, "which can", profile.capabilities.join(", "));
    const answer = await sdk.askText("@agent_b", "How are you?", { threadId: "demo", timeoutMs: 10_000 });
    console.log("agent_b says:", answer.text);
    await sdk.sendText("@agent_b", "Bye", { threadId: "demo" });
  }
} finally {
  await sdk.stop();
}
