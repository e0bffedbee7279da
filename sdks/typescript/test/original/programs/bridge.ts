/**
 * The bridge of the original's document, for an agent system of its own: that system sees only this class, never the network.
 *
 * Run: bridge.ts USERNAME TARGET. It answers its inbox, asks TARGET, prints what it learns as lines of JSON, and stops when stdin
 * ends.
 */
import { type AgentMessage, AgentNetClient, parseCompactionRequired, type SendOptions } from "agentnet-sdk";

type Reply = (payload: unknown, options?: SendOptions) => Promise<string>;
type OnMessage = (message: AgentMessage, ctx: { reply: Reply }) => Promise<void> | void;
type Compaction = NonNullable<ReturnType<typeof parseCompactionRequired>>;

class NetworkBridge {
  private readonly client: AgentNetClient;
  private compaction: ((event: Compaction) => Promise<void> | void) | undefined;

  constructor(natsUrl: string, username: string) {
    this.client = new AgentNetClient({
      natsUrl,
      agentId: username,
      name: `Bridge ${username}`,
      username,
      capabilities: ["bridge"],
    });
  }

  onCompaction(handler: (event: Compaction) => Promise<void> | void): void {
    this.compaction = handler;
  }

  async start(onMessage: OnMessage): Promise<void> {
    await this.client.start();
    await this.client.subscribeInbox(async (message, ctx) => {
      const event = parseCompactionRequired(message);
      if (event !== null) await this.compaction?.(event);
      else await onMessage(message, ctx);
    });
  }

  async stop(): Promise<void> {
    await this.client.close();
  }

  async listOnlineAgents(): Promise<{ account?: string; username?: string; agent: string; can: string[] }[]> {
    const agents = await this.client.listOnlineAgents();
    return agents.map((agent) => ({
      account: agent.account_id,
      username: agent.username,
      agent: agent.agent_id,
      can: agent.capabilities ?? [],
    }));
  }

  getProfile(username: string): Promise<Record<string, unknown>> {
    return this.client.getProfile({ username });
  }

  sendMessage(to: string, threadId: string, text: string): Promise<string> {
    return this.client.send(to, { text }, { threadId, requireDeliveryAck: false });
  }

  requestMessage(to: string, threadId: string, text: string): Promise<AgentMessage> {
    return this.client.request(to, { text }, { threadId, timeoutMs: 20_000 });
  }

  getThreadState(threadId: string): Promise<Record<string, unknown>> {
    return this.client.threadStatus(threadId);
  }

  loadThreadWindow(threadId: string, cursor?: string): Promise<Record<string, unknown>> {
    return this.client.getThreadMessages(threadId, { cursor, limit: 50 });
  }
}

const [username = "bridge", target = "@echo"] = process.argv.slice(2);
const say = (event: string, value: unknown): void => console.log(JSON.stringify({ event, value }));

const bridge = new NetworkBridge(process.env.AGENTNET_NATS_URL ?? "", username);
bridge.onCompaction((event) => say("compaction", event));
await bridge.start(async (message, ctx) => {
  say("message", { text: (message.payload as { text?: string }).text, from: message.from_agent });
  if (message.reply_to) await ctx.reply({ text: `${username} got it` });
});
say(
  "online",
  (await bridge.listOnlineAgents()).map((agent) => agent.username),
);
say("profile", (await bridge.getProfile(target.replace("@", ""))).username);
await bridge.sendMessage(target, "bridge_thread", "for your information");
const reply = await bridge.requestMessage(target, "bridge_thread", "a question");
say("reply", { text: (reply.payload as { text?: string }).text, thread: reply.thread_id });
for (;;) {
  const state = await bridge.getThreadState("bridge_thread").catch(() => ({ message_count: 0 }));
  if (state.message_count === 3) break;
  await new Promise((resolve) => setTimeout(resolve, 50));
}
const { messages } = await bridge.loadThreadWindow("bridge_thread");
say("window", (messages as { kind: string }[]).map((message) => message.kind).sort());
say("ready", username);
process.stdin.resume();
await new Promise((resolve) => process.stdin.once("end", resolve));
await bridge.stop();
say("stopped", username);
