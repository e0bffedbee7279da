/** Runs an agent until the process is told to stop. Prints `ready`; at the end `closed`. */
import { AgentNode } from "../../../src/index.js";

const node = new AgentNode({ agentId: "forever_program", username: "forever-program" });
node.onMessage((message, context) => (message.wantsReply ? context.reply(message.payload) : undefined));
const running = node.startForever();
await node.start();
console.log("ready");
await running;
console.log("closed");
