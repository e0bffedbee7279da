/**
 * The agent for `agentnet conformance agent` (docs/CONFORMANCE.md): what its handler does is what the payload says. Runs on Node.js,
 * Deno and Bun, with the built package.
 *
 * Usage: echo.mjs <username> [<capability>…]; the address is that of the environment. Prints `ready <account id>`, and closes the
 * agent when told to stop or when stdin ends.
 */
import process from "node:process";
import { AgentNode, RawJson } from "../../dist/esm/index.js";

const [username, ...capabilities] = process.argv.slice(2);
if (username === undefined) {
  console.error("usage: echo.mjs <username> [<capability>…]");
  process.exit(2);
}

const until = (time) => new Promise((resolve) => setTimeout(resolve, Math.max(0, Date.parse(time) - Date.now())));

const node = new AgentNode({ agentId: `echo_${username}`, username, capabilities });
node.onMessage(async (message, context) => {
  const { payload } = message;
  const told = typeof payload === "object" && payload !== null && !Array.isArray(payload) ? payload : {};
  if (told.do === "fail") throw new Error("told to fail");
  if (told.do === "hang") await new Promise(() => undefined);
  if (told.do === "wait") await until(told.until);
  // The payload as it is: numbers keep their spelling.
  if (message.wantsReply) await context.reply(RawJson.parse(message.payloadText));
  if (told.do === "reply_and_fail") throw new Error("told to fail");
});

const stopped = new AbortController();
process.stdin.on("end", () => stopped.abort());
process.stdin.on("error", () => undefined);
process.stdin.resume();

await node.start();
console.log(`ready ${node.accountId}`);
await node.startForever({ signal: stopped.signal });
process.stdin.destroy();
