/** A network in secure mode for a test: `agentnet up --secure` in a temporary directory, and members that join it. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";

import { connect, type NatsConnection, nkeyAuthenticator } from "@nats-io/transport-node";

import {
  AgentNode,
  type IdentityRecord,
  type Logger,
  listOnlineAgents,
  MemberIdentity,
  type NodeOptions,
} from "../../src/index.js";
import { freePort, QuietLogger } from "./network.js";
import { AGENTNET, NATS_SERVER, Program } from "./processes.js";
import { eventually } from "./wait.js";

/** A member that has joined. */
export interface Member {
  readonly username: string;
  /** `identity:FILE`. */
  readonly url: string;
  readonly file: string;
  readonly record: IdentityRecord;
}

/** A network in secure mode that runs. */
export class SecureNetwork {
  readonly directory: string;
  readonly port: number;
  up: Program | undefined;
  readonly #data: string;
  readonly #programs: Program[] = [];
  readonly #nodes: AgentNode[] = [];
  readonly #clients: NatsConnection[] = [];

  private constructor(directory: string, port: number) {
    this.directory = directory;
    this.port = port;
    this.#data = path.join(directory, "data");
  }

  /** Starts it. */
  static async start(environment: Readonly<Record<string, string>> = {}): Promise<SecureNetwork> {
    const directory = await mkdtemp(path.join(tmpdir(), "agentnet-ts-secure-"));
    const network = new SecureNetwork(directory, await freePort());
    try {
      const args = ["--json", "up", "--secure", "--port", String(network.port), "--nats-server", NATS_SERVER];
      network.up = network.agentnet(args, environment);
      await network.up.printed(/"event":"ready"/);
      return network;
    } catch (error) {
      await network.stop();
      throw error;
    }
  }

  /** Runs a command of `agentnet` on the data directory of the network, which has the identities of all members. */
  agentnet(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Program {
    const env: NodeJS.ProcessEnv = { ...process.env, AGENTNET_DATA_DIR: this.#data, ...environment };
    for (const name of ["AGENTNET_NATS_URL", "NATS_URL", "AGENTNET_IDENTITY"])
      if (!(name in environment)) delete env[name];
    const program = new Program(AGENTNET, args, { env });
    this.#programs.push(program);
    return program;
  }

  /** Runs a command to its end; what it has printed. */
  async run(...args: string[]): Promise<string> {
    const program = this.agentnet(args);
    const code = await program.ended();
    if (code !== 0)
      throw new Error(`agentnet ${args.join(" ")} ended with ${code}: ${program.stdout}${program.stderr}`);
    return program.stdout.trim();
  }

  /** Invites a member, and joins as it. */
  async member(username: string, ...options: string[]): Promise<Member> {
    await this.run("join", await this.run("invite", username, ...options));
    const file = path.join(this.#data, "identities", `${username}.json`);
    const record = JSON.parse(await readFile(file, "utf8")) as IdentityRecord;
    return { username, url: `identity:${file}`, file, record };
  }

  /** A node of a member, not started; it is closed with the network. */
  node(member: Member, options: Partial<NodeOptions> = {}, logger: Logger = new QuietLogger()): AgentNode {
    const node = new AgentNode({ agentId: member.username, natsUrl: member.url, logger, ...options });
    this.#nodes.push(node);
    return node;
  }

  /** Starts the Rust echo agent of a member and waits until it is online. */
  async echo(member: Member, ...args: string[]): Promise<Program> {
    const echo = this.agentnet(["echo", "--conformance", "--username", member.username, ...args]);
    await echo.printed(/is online as/);
    await eventually(`@${member.username} is online`, async () => {
      const agents = await listOnlineAgents(member.url);
      return agents.some((agent) => agent.username === member.username);
    });
    return echo;
  }

  /** A NATS client without code of this package, logged in as a member. */
  async raw(member: Member): Promise<NatsConnection> {
    const seed = await MemberIdentity.of(member.record).encodedNkeySeed();
    const client = await connect({
      servers: `127.0.0.1:${this.port}`,
      inboxPrefix: `_AGENTNET.${member.record.account_id}`,
      authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)),
    });
    this.#clients.push(client);
    return client;
  }

  /** Closes the nodes, ends all programs and removes the directory. */
  async stop(): Promise<void> {
    await Promise.allSettled(this.#nodes.map((node) => node.close()));
    await Promise.allSettled(this.#clients.map((client) => client.close()));
    // The network last: the others say goodbye.
    for (const program of this.#programs.filter((one) => one !== this.up)) await program.stop();
    await this.up?.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}
