/** What a test of the browser example needs: the page's server, a network that lets it in, and Chromium. */

import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";

import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

import { AgentNode, listOnlineAgents, type NodeOptions } from "../../src/index.js";
import { QuietLogger } from "../support/network.js";
import { AGENTNET, NATS_SERVER, Program } from "../support/processes.js";
import { PACKAGE, REPOSITORY } from "../support/repository.js";
import { eventually } from "../support/wait.js";

/** What `agentnet up --json` says of itself. */
interface Ready {
  readonly url: string;
  readonly websocket_url: string;
  readonly nats_server: { readonly pid: number };
}

/** The flags of a Chromium that asks nothing of other machines. The sandbox does not work for root. */
const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** How a {@link Stage} is set up. */
export interface StageOptions {
  /** Further options of `agentnet up`. */
  readonly up?: readonly string[];
  /** Further variables of its environment. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A network of `agentnet up --websocket`, the example's web server, and what was started for them. */
export class Stage {
  /** The origin of the page, which the network lets in. */
  readonly origin: string;
  /** What the network said of itself. */
  readonly ready: Ready;
  readonly #directory: string;
  readonly #up: Program;
  readonly #programs: Program[];
  readonly #nodes: AgentNode[] = [];
  readonly #browsers: Browser[] = [];

  private constructor(directory: string, origin: string, ready: Ready, up: Program, programs: Program[]) {
    this.#directory = directory;
    this.#up = up;
    this.origin = origin;
    this.ready = ready;
    this.#programs = programs;
  }

  /** Starts the web server and the network. */
  static async start(options: StageOptions = {}): Promise<Stage> {
    const directory = await mkdtemp(path.join(tmpdir(), "agentnet-browser-"));
    const web = servePage();
    const programs = [web];
    try {
      const [, origin = ""] = await web.printed(/The page is at (\S+)/);
      const args = [
        ...["--json", "up", "--port", "0", "--data-dir", path.join(directory, "data"), "--nats-server", NATS_SERVER],
        ...["--websocket", "127.0.0.1:0", "--websocket-origin", origin],
        ...(options.up ?? []),
      ];
      const up = new Program(AGENTNET, args, { env: { ...process.env, ...options.environment } });
      programs.push(up);
      const [line] = await up.printed(/^\{.*"websocket_url".*\}$/m);
      return new Stage(directory, origin, JSON.parse(line) as Ready, up, programs);
    } catch (error) {
      for (const program of programs) await program.stop();
      throw error;
    }
  }

  /** A browser of its own. */
  async browser(flags: readonly string[] = [], withoutFlags: readonly string[] = []): Promise<Browser> {
    const browser = await chromium.launch({
      executablePath: findChromium(),
      args: [...CHROMIUM_FLAGS, ...flags],
      ignoreDefaultArgs: [...withoutFlags],
    });
    this.#browsers.push(browser);
    return browser;
  }

  /** The page, in a new tab; what it reports as an error is kept. */
  async open(browser: Browser | BrowserContext, origin = this.origin): Promise<OpenPage> {
    const page = await browser.newPage();
    const opened = new OpenPage(page);
    await page.goto(origin);
    return opened;
  }

  /** The page, joined to this network under a name. */
  async join(browser: Browser | BrowserContext, username: string): Promise<OpenPage> {
    const opened = await this.open(browser);
    await opened.join(this.ready.websocket_url, username);
    await opened.says(`Online as @${username}`);
    return opened;
  }

  /** A node on this network, not started; it is closed with the stage. */
  node(username: string, options: Partial<NodeOptions> = {}): AgentNode {
    const logger = new QuietLogger();
    const node = new AgentNode({ agentId: username, username, natsUrl: this.ready.url, logger, ...options });
    this.#nodes.push(node);
    return node;
  }

  /** Kills nats-server, as a crash would, and lets `agentnet up` start it again when `whileGone` is over. */
  async restartServer(whileGone: () => Promise<void>): Promise<void> {
    this.#up.child.kill("SIGSTOP");
    try {
      process.kill(this.ready.nats_server.pid, "SIGKILL");
      await whileGone();
    } finally {
      this.#up.child.kill("SIGCONT");
    }
    await this.#up.printed(/nats-server runs again/);
  }

  /** What a command of `agentnet` prints on this network. */
  agentnet(...args: string[]): string {
    return execFileSync(AGENTNET, ["--nats-url", this.ready.url, ...args], { encoding: "utf8" });
  }

  /** The usernames that are online. */
  async online(): Promise<string[]> {
    const agents = await listOnlineAgents(this.ready.url);
    return agents.map((agent) => agent.username ?? "");
  }

  /** Waits until an agent with this username is listed. */
  async isOnline(username: string): Promise<void> {
    await eventually(`@${username} is online`, async () => (await this.online()).includes(username));
  }

  /** Waits until no agent with this username is listed. */
  async isOffline(username: string): Promise<void> {
    await eventually(`@${username} is offline`, async () => !(await this.online()).includes(username));
  }

  /** Ends everything. */
  async stop(): Promise<void> {
    await Promise.allSettled(this.#browsers.map((browser) => browser.close()));
    await Promise.allSettled(this.#nodes.map((node) => node.close()));
    for (const program of this.#programs) await program.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** The example in a tab. */
export class OpenPage {
  readonly page: Page;
  /** Errors of scripts, of the content policy and of requests, as the browser reported them. */
  readonly errors: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on("pageerror", (error) => this.errors.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") this.errors.push(message.text());
    });
  }

  /** Fills in the form and joins. */
  async join(url: string, username: string): Promise<void> {
    await this.page.getByLabel("WebSocket URL").fill(url);
    await this.page.getByLabel("Username", { exact: true }).fill(username);
    await this.page.getByRole("button", { name: "Join" }).click();
  }

  /** Chooses an agent and asks it. */
  async ask(username: string, question: string): Promise<void> {
    await this.page.getByRole("radio", { name: `@${username}` }).check();
    await this.page.getByLabel(`Your question to @${username}`).fill(question);
    await this.page.getByRole("button", { name: "Ask" }).click();
  }

  /** Waits until the page says this about its connection. */
  async says(text: string): Promise<void> {
    await eventually(`the page says ${text}; it reported ${this.errors.join(", ")}`, async () =>
      (await this.page.getByRole("status").textContent())?.includes(text),
    );
  }

  /** Waits until the latest entry of the conversation has this text, and is complete or not. */
  async shows(text: string, isComplete: boolean): Promise<void> {
    const entry = this.page.locator(".entry").last();
    await eventually(`the page shows ${text}`, async () => {
      const isBusy = (await entry.getAttribute("aria-busy")) === "true";
      return isBusy !== isComplete && (await entry.locator(".text").textContent()) === text;
    });
  }
}

/** Serves the example on a free port. */
export function servePage(): Program {
  return new Program(process.execPath, [path.join(PACKAGE, "examples/browser/serve.mjs"), "0"]);
}

/** The path of a Chromium; on Debian as root it is installed. */
function findChromium(): string {
  return execFileSync(path.join(REPOSITORY, "scripts/chromium.sh"), { encoding: "utf8" }).trim();
}
