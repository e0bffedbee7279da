/** Server addresses: `nats://TOKEN@host:port`, several separated by commas (PROTOCOL.md section 1). */

import { CONNECTION_INBOX_PREFIX, isRoutable, type MemberIdentity } from "../protocol/index.js";
import { ConnectError } from "./errors.js";

/** The address that is used when none is given, as of `agentnet up`. */
export const DEFAULT_NATS_URL = "nats://agentnet_secret_token@localhost:4222";

/** How to log in. A user part without a password is the server's token; a member of a network in secure mode has an nkey. */
export type Login =
  | { readonly kind: "none" }
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "user"; readonly name: string; readonly password: string }
  | { readonly kind: "member"; readonly member: MemberIdentity; readonly seed: string };

/** One or more servers of a network, and how to log in there. */
export interface NatsUrl {
  /** The servers, `scheme://host:port`, without credentials. */
  readonly servers: readonly string[];
  /** The credentials. */
  readonly login: Login;
  /** `tcp` for `nats:` and `tls:`, `websocket` for `ws:` and `wss:`. */
  readonly transport: "tcp" | "websocket";
  /** Whether a server is to be reached by TLS over TCP. */
  readonly isTls: boolean;
  /** What the connection's inboxes begin with. */
  readonly inboxPrefix: string;
  /** The address for people to read, credentials hidden. */
  readonly redacted: string;
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { nats: 4222, tls: 4222, ws: 80, wss: 443 };

/**
 * Reads an address; `identity:FILE` is none to this function, but to what connects.
 *
 * @throws {ConnectError} reason `url`; its message never shows the credentials.
 */
export function parseNatsUrl(address: string | readonly string[]): NatsUrl {
  const text = typeof address === "string" ? address : address.join(",");
  const parts = text.split(",").map((part) => part.trim());
  const parsed = parts.filter((part) => part !== "").map(parseOne);
  const first = parsed[0];
  if (first === undefined) throw invalid(text, "it is empty");
  const transport = first.transport;
  if (parsed.some((one) => one.transport !== transport)) {
    throw invalid(text, "its servers must be either all nats:// or tls://, or all ws:// or wss://");
  }
  const login = parsed.find((one) => one.login.kind !== "none")?.login ?? first.login;
  const servers = parsed.map((one) => one.server);
  const hidden = { none: "", member: "", token: "***@", user: "***:***@" }[login.kind];
  return {
    servers,
    login,
    transport,
    isTls: servers.some((server) => server.startsWith("tls://")),
    inboxPrefix:
      login.kind === "user" && isRoutable(login.name)
        ? `${CONNECTION_INBOX_PREFIX}.${login.name}`
        : CONNECTION_INBOX_PREFIX,
    // A query of a ws:// address may hold a secret too.
    redacted: servers.map((server) => server.replace("://", `://${hidden}`).replace(/\?.*$/s, "?***")).join(","),
  };
}

/** The address that the environment names: `AGENTNET_NATS_URL`, else `NATS_URL`, else {@link DEFAULT_NATS_URL}. */
export function natsUrlFromEnvironment(environment: (name: string) => string | undefined): string {
  for (const name of ["AGENTNET_NATS_URL", "NATS_URL"]) {
    const value = environment(name)?.trim();
    if (value !== undefined && value !== "") return value;
  }
  return DEFAULT_NATS_URL;
}

interface ParsedServer {
  readonly server: string;
  readonly login: Login;
  readonly transport: "tcp" | "websocket";
}

function parseOne(text: string): ParsedServer {
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(.*)$/s.exec(text);
  const scheme = (match?.[1] ?? "nats").toLowerCase();
  const rest = match?.[2] ?? text;
  const defaultPort = DEFAULT_PORTS[scheme];
  if (defaultPort === undefined) throw invalid(text, `scheme \`${scheme}\` is not supported`);
  let url: URL;
  try {
    // Runtimes agree on http addresses only; the port 80 of one is not told from none.
    url = new URL(`http://${rest}`);
  } catch (cause) {
    throw invalid(text, "it is no address", cause);
  }
  if (url.hostname === "") throw invalid(text, "it has no host");
  const authority = /^[^/?#]*/.exec(rest)?.[0] ?? "";
  const port = url.port === "" ? (/:0*80$/.test(authority) ? 80 : defaultPort) : Number(url.port);
  const transport = scheme === "ws" || scheme === "wss" ? "websocket" : "tcp";
  const path = transport === "websocket" ? `${url.pathname === "/" ? "" : url.pathname}${url.search}` : "";
  return { server: `${scheme}://${url.hostname}:${port}${path}`, login: loginOf(url, authority, text), transport };
}

function loginOf(url: URL, authority: string, text: string): Login {
  const userInfo = authority.includes("@") ? authority.slice(0, authority.lastIndexOf("@")) : "";
  if (userInfo === "") return { kind: "none" };
  const decode = (part: string): string => {
    try {
      return decodeURIComponent(part);
    } catch (cause) {
      throw invalid(text, "its credentials are not UTF-8", cause);
    }
  };
  if (!userInfo.includes(":")) return { kind: "token", token: decode(url.username) };
  return { kind: "user", name: decode(url.username), password: decode(url.password) };
}

function invalid(text: string, problem: string, cause?: unknown): ConnectError {
  // Whatever stands before an `@` may be a secret.
  const at = text.lastIndexOf("@");
  const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.exec(text)?.[0] ?? "";
  const shown = (at < 0 ? text : `${scheme}***@${text.slice(at + 1)}`).slice(0, 256);
  return new ConnectError(`invalid NATS URL \`${shown}\`: ${problem}; expected nats://TOKEN@HOST:PORT`, "url", cause);
}
