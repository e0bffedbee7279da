/**
 * A bridge: any program that reads stdin and writes stdout becomes an agent (docs/BUILD_AGENT_BRIDGE_IN_15_MINUTES.md).
 *
 *     npx tsx examples/bridge.ts USERNAME PROGRAM [ARGUMENTS...]    the network is that of AGENTNET_NATS_URL, else of this machine
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { AgentWrapper, type Context, type Message } from "agentnet-sdk";

/** Shorter than the node's own limit, so that callers get our words. */
const TIME_LIMIT_MS = 20_000;

/** What answers. It knows nothing of the network. */
interface Runtime {
  answer(before: string[], text: string, signal: AbortSignal): Promise<string>;
}

/** A program that is run for each message. */
class Program implements Runtime {
  readonly #command: string;
  readonly #args: string[];

  constructor(command: string, args: string[]) {
    this.#command = command;
    this.#args = args;
  }

  async answer(_before: string[], text: string, signal: AbortSignal): Promise<string> {
    return await new Promise((resolve, reject) => {
      const child = spawn(this.#command, this.#args, { stdio: ["pipe", "pipe", "inherit"], signal });
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (part: string) => {
        output += part;
      });
      child.on("error", reject);
      child.on("close", (code) => {
        if (code === 0) resolve(output.trim());
        else reject(new Error(`${this.#command} ended with ${code}`));
      });
      // A program may end without having read its input.
      child.stdin.on("error", () => undefined);
      child.stdin.end(text);
    });
  }
}

/** The only place where messages and calls meet. */
class Bridge {
  readonly wrapper: AgentWrapper;
  readonly #runtime: Runtime;

  constructor(username: string, runtime: Runtime) {
    this.#runtime = runtime;
    this.wrapper = new AgentWrapper({ agentId: username, name: username, username, capabilities: ["bridge"] });
    this.wrapper.receive((message, context) => this.#handle(message, context));
  }

  async #handle(message: Message, context: Context): Promise<void> {
    // Answers are no questions: two bridges would never stop.
    if (message.kind !== "direct" && message.kind !== "request") return;
    const answer = await this.#answer(message, context.signal);
    if (message.wantsReply) await context.reply(answer);
  }

  async #answer(message: Message, closing: AbortSignal): Promise<object> {
    if (message.text === undefined) {
      return { error: "unsupported_payload", detail: "send a text, or an object with a text" };
    }
    const timeout = AbortSignal.timeout(TIME_LIMIT_MS);
    try {
      const before = await this.#before(message);
      return { text: await this.#runtime.answer(before, message.text, AbortSignal.any([timeout, closing])) };
    } catch (error) {
      if (!timeout.aborted) throw error;
      return { error: "timeout", detail: `no answer within ${TIME_LIMIT_MS / 1_000} s` };
    }
  }

  /** What the thread holds so far, oldest first. The registry remembers, the bridge need not. */
  async #before(message: Message): Promise<string[]> {
    if (message.threadId === undefined) return [];
    try {
      const { messages } = await this.wrapper.threadMessages(message.threadId, { limit: 20 });
      const earlier = messages.filter((item) => item.messageId !== message.messageId);
      return earlier.flatMap((item) => item.text ?? []).reverse();
    } catch {
      return [];
    }
  }
}

const [username, command, ...args] = process.argv.slice(2);
if (username === undefined || command === undefined) {
  console.error("usage: bridge.ts USERNAME PROGRAM [ARGUMENTS...]");
  process.exit(2);
}
await new Bridge(username, new Program(command, args)).wrapper.startForever();
