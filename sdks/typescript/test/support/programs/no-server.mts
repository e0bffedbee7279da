/** Tries to start an agent where no server is, and prints the code of the error. */
import { AgentNode, isAgentNetError } from "../../../src/index.js";

try {
  await new AgentNode({ agentId: "no_server" }).start();
} catch (error) {
  console.log(isAgentNetError(error) ? error.code : "another error");
}
