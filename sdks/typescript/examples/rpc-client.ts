/**
 * Calls the workers of rpc-worker.ts, many calls at once.
 *
 *     npx tsx examples/rpc-client.ts [NATS_URL]
 */
import process from "node:process";
import { AgentRequestError, AgentSDK } from "agentnet-sdk";

const sdk = new AgentSDK({ agentId: "rpc_client", name: "RPC client", natsUrl: process.argv[2] });
await sdk.start();
try {
  const values = [1, 2n ** 70n, 3];
  const calls = ["sum", "max", "min"].map((op) =>
    sdk.askJson("capability:calculate", { op, values }, { timeoutMs: 10_000 }),
  );
  for (const answer of await Promise.all(calls)) {
    // Without loss: the integers are larger than a number holds.
    const { result } = answer.dataLossless() as { result: number | bigint };
    console.log(String(result));
  }
  await sdk.askJson("capability:calculate", { op: "guess" }, { timeoutMs: 10_000 });
} catch (error) {
  if (!(error instanceof AgentRequestError)) throw error;
  console.log("refused:", error.code);
} finally {
  await sdk.stop();
}
