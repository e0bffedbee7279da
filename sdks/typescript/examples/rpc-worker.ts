/**
 * A worker that is called by its capability, as a function would be: `{"op": "sum", "values": [...]}`.
 *
 *     npx tsx examples/rpc-worker.ts [NATS_URL]     several of them share the work
 */
import process from "node:process";
import { AgentNode, type JsonValue } from "agentnet-sdk";

// Without loss, integers that a number cannot hold are of type bigint: so all of them are calculated with as such.
const OPERATIONS: Record<string, (values: bigint[]) => bigint> = {
  sum: (values) => values.reduce((sum, value) => sum + value, 0n),
  max: (values) => values.reduce((most, value) => (value > most ? value : most)),
  min: (values) => values.reduce((least, value) => (value < least ? value : least)),
};

/** A call as its caller wrote it; undefined for what is none. */
function readCall(payload: JsonValue): { op: string; values: bigint[] } | undefined {
  if (typeof payload !== "object" || payload === null || !("op" in payload)) return undefined;
  const { op, values = [] } = payload;
  if (typeof op !== "string" || !Array.isArray(values)) return undefined;
  const numbers = values.filter((value) => typeof value === "bigint" || Number.isInteger(value));
  return numbers.length === values.length ? { op, values: numbers.map((value) => BigInt(value as number)) } : undefined;
}

const worker = new AgentNode({
  agentId: "calculator",
  name: "Calculator",
  capabilities: ["calculate"],
  natsUrl: process.argv[2],
});

worker.onMessage(async (message, context) => {
  if (message.kind !== "request") return;
  const call = readCall(message.payloadLossless());
  const operation = Object.hasOwn(OPERATIONS, call?.op ?? "") ? OPERATIONS[call?.op ?? ""] : undefined;
  if (call === undefined || operation === undefined || call.values.length === 0) {
    // A refusal in words; the client gets it as an AgentRequestError.
    const detail = `one of ${Object.keys(OPERATIONS).sort().join(", ")}, with whole numbers as values`;
    await context.reply({ error: "unknown_operation", detail });
    return;
  }
  await context.reply({ result: operation(call.values) });
});

await worker.startForever();
