/** Logging in as a member of a network in secure mode (PROTOCOL.md section 23.3). */

import type { Authenticator } from "@nats-io/nats-core";
import { jwtAuthenticator, nkeyAuthenticator } from "@nats-io/nats-core";

import { platform } from "../platform/index.js";
import { connectionInboxPrefix, type IdentityRecord, isNonce, KeyError, MemberIdentity } from "../protocol/index.js";
import { ConnectError } from "./errors.js";
import { type NatsUrl, parseNatsUrl } from "./nats-url.js";
import { isMissing, type PrivateFileKind, readPrivateFile } from "./private-file.js";

/** What an address begins with that names an identity file. */
const IDENTITY_SCHEME = "identity:";

const IDENTITY_FILE: PrivateFileKind = {
  name: "identity file",
  ifExposed: "have the member revoked if somebody may have read it",
  damaged: (path, why) =>
    new KeyError(
      `the identity file ${path} is damaged: ${why}. ` +
        "Restore it from a backup, or ask for a new invite (agentnet invite NAME)",
    ),
};

/** The file that an address `identity:FILE` names; undefined of other addresses. */
export function identityFileOf(address: string | readonly string[]): string | undefined {
  const text = (typeof address === "string" ? address : address.join(",")).trim();
  return text.startsWith(IDENTITY_SCHEME) ? text.slice(IDENTITY_SCHEME.length).trim() : undefined;
}

/** Checks the form of an address; the file of an identity is not read yet. @throws {ConnectError} reason `url`. */
export function checkAddress(address: string | readonly string[]): void {
  const file = identityFileOf(address);
  if (file === undefined) parseNatsUrl(address);
  else if (file === "") throw invalid(file, "it names no file");
}

/**
 * Reads an address, and the identity file where it names one. With an identity the credentials of the address do not count.
 *
 * @throws {ConnectError} reason `url`. @throws {KeyError} This runtime lacks WebCrypto.
 */
export async function resolveAddress(
  address: string | readonly string[],
  identity: MemberIdentity | undefined,
): Promise<NatsUrl> {
  checkAddress(address);
  const file = identityFileOf(address);
  if (file === undefined) return identity === undefined ? parseNatsUrl(address) : await memberUrl(address, identity);
  const member = await readIdentity(file);
  return await memberUrl(member.urls, member);
}

/** An identity that was given as an object. @throws {KeyError} */
export function memberOf(identity: MemberIdentity | IdentityRecord): MemberIdentity {
  return identity instanceof MemberIdentity ? identity : MemberIdentity.of(identity);
}

/** Logs in by the nkey, and the JWT where there is one. @throws {ConnectError} The server asks for no signature of a nonce. */
export function memberAuthenticator(seed: string, jwt?: string): Authenticator {
  const key = new TextEncoder().encode(seed);
  const sign = jwt === undefined ? nkeyAuthenticator(key) : jwtAuthenticator(jwt, key);
  return (nonce) => {
    // A false server could have any text signed as its nonce, so only what looks like one is.
    if (nonce !== undefined && isNonce(nonce)) return sign(nonce);
    throw new ConnectError(
      "the server sent no nonce that can be signed: it is not a network in secure mode",
      "refused",
    );
  };
}

/** Reads an identity file. @throws {ConnectError} reason `url`. */
async function readIdentity(path: string): Promise<MemberIdentity> {
  const { files } = platform;
  if (files === undefined) throw invalid(path, "this runtime has no files: give the option identity instead");
  try {
    const content = await readPrivateFile(files, path, IDENTITY_FILE);
    return parsed(path, content);
  } catch (cause) {
    if (isMissing(cause)) {
      throw invalid(path, "there is no such identity file; `agentnet join CODE` makes one from an invite", cause);
    }
    throw invalid(path, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function parsed(path: string, content: string): MemberIdentity {
  try {
    return MemberIdentity.parse(content);
  } catch (cause) {
    throw cause instanceof KeyError ? IDENTITY_FILE.damaged(path, cause.message) : cause;
  }
}

async function memberUrl(address: string | readonly string[], member: MemberIdentity): Promise<NatsUrl> {
  const url = parseNatsUrl(address);
  return {
    ...url,
    login: { kind: "member", member, seed: await member.encodedNkeySeed() },
    inboxPrefix: connectionInboxPrefix(member.accountId),
    redacted: url.servers.map((server) => server.replace(/\?.*$/s, "?***")).join(","),
  };
}

function invalid(path: string, problem: string, cause?: unknown): ConnectError {
  const shown = `${IDENTITY_SCHEME}${path}`.slice(0, 256);
  return new ConnectError(`invalid NATS URL \`${shown}\`: ${problem}`, "url", cause);
}
