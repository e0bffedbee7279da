/** The record of an agent: in register, hello and list entries (PROTOCOL.md sections 5.3 and 7.4). */

import { ascii, type JsonObject, type JsonView, ObjectWriter, RawJson } from "../json/index.js";
import { DecodeError, present } from "./decode.js";

/** One agent process as the registry knows it. */
export interface AgentInfo {
  /** The role label. */
  agentId: string;
  /** The display name; the agent id where there is none. */
  name: string;
  /** What it can do. */
  capabilities: string[];
  /** A JSON object. */
  metadata: RawJson;
  /** Its account, once registered, or the one that it asks for. */
  accountId?: string;
  /** Its account's name, once registered, or the one that it asks for. */
  username?: string;
  /** Its session, once registered. */
  sessionTag?: string;
  /** Time of its last hello, as the registry received it. */
  lastSeen?: string;
}

/**
 * Reads an agent with the coercions of section 5.3.
 *
 * @throws {@link DecodeError} where `capabilities` is a number or `true`.
 */
export function decodeAgentInfo(object: JsonObject): AgentInfo {
  const agentId = object.get("agent_id").text();
  const optional = (name: string) => object.get(name).optText();
  return {
    agentId,
    name: optional("name") ?? agentId,
    capabilities: readCapabilities(object.get("capabilities")),
    metadata: objectOrEmpty(object.get("metadata")),
    ...present({
      accountId: optional("account_id"),
      username: optional("username"),
      sessionTag: optional("session_tag"),
      lastSeen: optional("last_seen"),
    }),
  };
}

/** Falsy: none. Array: the text of each element. Text: its characters. Object: its names. */
function readCapabilities(value: JsonView): string[] {
  if (!value.isTruthy()) return [];
  switch (value.kind) {
    case "array":
      return (value.asArray() ?? []).map((item) => item.pythonText());
    case "string":
      return [...value.text()];
    case "object":
      return [...(value.asObject()?.entries() ?? [])].map(([name]) => name);
    default:
      throw DecodeError.ofMember("capabilities", "must be a list of texts");
  }
}

/** The exact text of an object; `{}` for anything else. */
export function objectOrEmpty(value: JsonView): RawJson {
  return value.kind === "object" ? value.toRaw() : RawJson.EMPTY_OBJECT;
}

/** Writes the members in the order of section 5.3, absent ones left out. */
export function writeAgentInfo(agent: AgentInfo, out: ObjectWriter): ObjectWriter {
  return out
    .text("agent_id", agent.agentId)
    .text("name", agent.name)
    .texts("capabilities", agent.capabilities)
    .raw("metadata", ascii(agent.metadata.text))
    .optText("account_id", agent.accountId)
    .optText("username", agent.username)
    .optText("session_tag", agent.sessionTag)
    .optText("last_seen", agent.lastSeen);
}

/** The wire text, ASCII. */
export function encodeAgentInfo(agent: AgentInfo): string {
  return writeAgentInfo(agent, new ObjectWriter()).finish();
}

/** An agent's counters of its own work, at the moment of a hello; since its process began unless stated otherwise. */
export interface AgentCounters {
  /** Handlers that run now. */
  inflight: number;
  /** Accepted messages that wait for a handler now. */
  pending: number;
  /** Messages handled without failure. */
  processed: number;
  /** Handlers that failed or took too long. */
  errors: number;
  /** Messages refused, for whatever reason. */
  rejected: number;
  /** Sends that were repeated. */
  retries: number;
  /** Whether the circuit breaker refuses all work now. */
  circuitOpen: boolean;
  /** Mean time in a handler, in milliseconds. */
  avgHandleMs: number;
}

/** The counters of a hello; `undefined` where it has none. Members that are missing or no numbers are 0. */
export function decodeCounters(hello: JsonObject): AgentCounters | undefined {
  const counters = hello.get("counters").asObject();
  if (counters === undefined) return undefined;
  return {
    inflight: count(counters.get("inflight")),
    pending: count(counters.get("pending")),
    processed: count(counters.get("processed")),
    errors: count(counters.get("errors")),
    rejected: count(counters.get("rejected")),
    retries: count(counters.get("retries")),
    circuitOpen: counters.get("circuit_open").isTruthy(),
    avgHandleMs: Math.max(0, counters.get("avg_handle_ms").number() ?? 0),
  };
}

/** The value of the member `counters`. */
export function encodeCounters(counters: AgentCounters): string {
  return new ObjectWriter()
    .int("inflight", counters.inflight)
    .int("pending", counters.pending)
    .int("processed", counters.processed)
    .int("errors", counters.errors)
    .int("rejected", counters.rejected)
    .int("retries", counters.retries)
    .bool("circuit_open", counters.circuitOpen)
    .float("avg_handle_ms", counters.avgHandleMs)
    .finish();
}

/** An integer of a record, at least 0 and at most the largest safe one; 0 where it is missing or unusable. */
export function count(value: JsonView): number {
  const number = integerOr(value, 0n);
  return number < 0n ? 0 : number;
}

/** An integer of a record, limited to the safe integers; a default where it is missing or unusable. */
export function integerOr(value: JsonView, missing: bigint): number {
  let number: bigint;
  try {
    number = value.int() ?? missing;
  } catch {
    number = missing;
  }
  const limit = BigInt(Number.MAX_SAFE_INTEGER);
  if (number > limit) return Number.MAX_SAFE_INTEGER;
  return number < -limit ? -Number.MAX_SAFE_INTEGER : Number(number);
}
