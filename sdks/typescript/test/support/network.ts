/** A network of its own for a test: nats-server and registry on a free port, in a temporary directory. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";

import { connect, type NatsConnection } from "@nats-io/transport-node";

import { AgentNode, type Logger, listOnlineAgents, type NodeOptions } from "../../src/index.js";
import { AGENTNET, NATS_SERVER, Program } from "./processes.js";
import { eventually } from "./wait.js";

/** The token of the networks of tests. */
export const TOKEN = "token@of:tests";

/** How a network is made. */
export interface NetworkOptions {
  /** Whether a registry runs. Default true. */
  readonly registry?: boolean;
  /** Further settings of the registry, as environment variables. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The `authorization` block of nats-server, in the place of a token. */
  readonly authorization?: string;
  /** The credentials that the registry and the address use, `user:password`, where `authorization` is given. */
  readonly credentials?: string;
  /** Further lines of the configuration of nats-server. */
  readonly config?: string;
  /** Whether the server has JetStream. Default true. */
  readonly jetstream?: boolean;
}

/** A network that runs. */
export class Network {
  readonly directory: string;
  readonly port: number;
  /** The address with its credentials. */
  readonly url: string;
  server: Program | undefined;
  registry: Program | undefined;
  readonly #options: NetworkOptions;
  readonly #programs: Program[] = [];
  readonly #nodes: AgentNode[] = [];
  /** The sessions that have said hello: by then they have subscribed to what they receive. */
  readonly #greeted = new Set<string>();
  #observer: NatsConnection | undefined;

  private constructor(directory: string, port: number, options: NetworkOptions) {
    this.directory = directory;
    this.port = port;
    this.#options = options;
    this.url = this.urlAs(options.credentials ?? encodeURIComponent(TOKEN));
  }

  /** Starts nats-server and the registry. */
  static async start(options: NetworkOptions = {}): Promise<Network> {
    const directory = await mkdtemp(path.join(tmpdir(), "agentnet-ts-"));
    const network = new Network(directory, await freePort(), options);
    try {
      await network.startServer();
      await network.#observe();
      if (options.registry !== false) await network.startRegistry();
      return network;
    } catch (error) {
      await network.stop();
      throw error;
    }
  }

  /** Hears every hello from here on; a server that is started again is followed. */
  async #observe(): Promise<void> {
    const { credentials } = this.#options;
    const [user, pass] = credentials?.split(":") ?? [];
    this.#observer = await connect({
      servers: `127.0.0.1:${this.port}`,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
      ...(user === undefined || pass === undefined ? { token: credentials ?? TOKEN } : { user, pass }),
    });
    this.#observer.subscribe("registry.hello", {
      callback: (error, message) => {
        if (error === null) this.#greeted.add(message.json<{ session_tag?: string }>().session_tag ?? "");
      },
    });
    await this.#observer.flush();
  }

  /** The address with these credentials. */
  urlAs(credentials: string): string {
    return `nats://${credentials}@127.0.0.1:${this.port}`;
  }

  /** Starts nats-server, on the same port as before. */
  async startServer(): Promise<void> {
    const { authorization, config, jetstream } = this.#options;
    const lines = [
      `listen: "127.0.0.1:${this.port}"`,
      authorization === undefined
        ? `authorization { token: ${JSON.stringify(TOKEN)} }`
        : `authorization { ${authorization} }`,
      jetstream === false ? "" : `jetstream { store_dir: ${JSON.stringify(path.join(this.directory, "jetstream"))} }`,
      config ?? "",
    ];
    const file = path.join(this.directory, "nats-server.conf");
    await writeFile(file, lines.join("\n"));
    this.server = this.spawn(NATS_SERVER, ["-c", file]);
    await this.server.printed(/Server is ready/);
  }

  /** Ends nats-server. */
  async stopServer(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await this.server?.stop(signal);
    this.server = undefined;
  }

  /** Starts the registry, on the same database as before. */
  async startRegistry(): Promise<void> {
    const database = `sqlite://${path.join(this.directory, "registry.db")}`;
    this.registry = this.agentnet(["registry", "--database-url", database], this.#options.environment);
    await this.registry.printed(/registry ready/);
  }

  /** Ends the registry. */
  async stopRegistry(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.registry?.stop(signal);
    this.registry = undefined;
  }

  /** Runs a command of `agentnet` on this network. */
  agentnet(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Program {
    return this.spawn(AGENTNET, args, environment);
  }

  /** Runs a program with the network's address in its environment; it is ended with the network. */
  spawn(
    command: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    cwd?: string,
  ): Program {
    const env = {
      ...process.env,
      AGENTNET_DATA_DIR: path.join(this.directory, "data"),
      AGENTNET_NATS_URL: this.url,
      ...environment,
    };
    const program = new Program(command, args, cwd === undefined ? { env } : { env, cwd });
    this.#programs.push(program);
    return program;
  }

  /** Starts the Rust echo agent and waits until it is online. */
  async echo(username: string, ...args: string[]): Promise<Program> {
    const echo = this.agentnet(["echo", "--conformance", "--username", username, ...args]);
    await this.online(username);
    return echo;
  }

  /** A node on this network, not started; it is closed with the network. */
  node(options: NodeOptions, logger: Logger = new QuietLogger()): AgentNode {
    const node = new AgentNode({ natsUrl: this.url, logger, ...options });
    this.#nodes.push(node);
    return node;
  }

  /** Waits until an agent with this username is listed, and has said hello: it is listed before it can be reached. */
  async online(username: string): Promise<void> {
    await eventually(`@${username} is online`, async () => {
      const agents = await listOnlineAgents(this.url);
      return agents.some((agent) => agent.username === username && this.#greeted.has(agent.sessionTag ?? ""));
    });
  }

  /** Waits until no agent with this username is listed. */
  async offline(username: string): Promise<void> {
    await eventually(`@${username} is offline`, async () => {
      const agents = await listOnlineAgents(this.url);
      return agents.every((agent) => agent.username !== username);
    });
  }

  /** Closes the nodes, ends all programs and removes the directory. */
  async stop(): Promise<void> {
    await Promise.allSettled(this.#nodes.map((node) => node.close()));
    await this.#observer?.close();
    // The server last: the others say goodbye.
    for (const program of this.#programs.filter((one) => one !== this.server)) await program.stop();
    await this.stopServer();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Keeps what is reported, for tests to look at. */
export class QuietLogger implements Logger {
  readonly records: {
    readonly level: string;
    readonly message: string;
    readonly fields: Readonly<Record<string, unknown>>;
  }[] = [];

  debug(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.records.push({ level: "debug", message, fields });
  }

  warn(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.records.push({ level: "warn", message, fields });
  }

  error(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.records.push({ level: "error", message, fields });
  }

  /** Whether something was reported that matches. */
  has(pattern: RegExp): boolean {
    return this.records.some((record) => pattern.test(record.message));
  }
}

/** A port of this machine that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
