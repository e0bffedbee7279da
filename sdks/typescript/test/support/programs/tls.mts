/** Starts a node at the address of the environment, where no registry runs, and prints what came of it. */
import { AgentNode, isAgentNetError } from "../../../src/index.js";

try {
  await new AgentNode({ agentId: "tls" }).start();
} catch (error) {
  if (!isAgentNetError(error)) throw error;
  console.log(`${error.code}: ${error.message}`);
}
