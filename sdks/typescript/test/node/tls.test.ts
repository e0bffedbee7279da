import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { freePort, Network } from "../support/network.js";
import { NATS_SERVER, runArguments } from "../support/processes.js";
import { PACKAGE } from "../support/repository.js";

/** A certificate for localhost, and the authority that has signed it. */
const FILES = path.join(PACKAGE, "test/support/tls");
const PROGRAM = path.join(path.dirname(fileURLToPath(import.meta.url)), "../support/programs/tls.mjs");

let network: Network;
before(async () => {
  network = await Network.start({ registry: false });
});
after(() => network.stop());

for (const isFirst of [false, true]) {
  test(`TLS, where the handshake comes ${isFirst ? "first" : "behind the server's first word"}`, async () => {
    const port = await freePort();
    const config = path.join(network.directory, `tls-${isFirst}.conf`);
    const tls = `cert_file: "${FILES}/server.pem", key_file: "${FILES}/server.key", handshake_first: ${isFirst}`;
    await writeFile(config, `listen: "127.0.0.1:${port}"\nauthorization { token: "t0k" }\ntls { ${tls} }\n`);
    await network.spawn(NATS_SERVER, ["-c", config]).printed(/Server is ready/);
    const start = async (scheme: string, environment: Record<string, string>): Promise<string> => {
      const url = `${scheme}://t0k@localhost:${port}`;
      const program = network.spawn(process.execPath, runArguments(PROGRAM), {
        AGENTNET_NATS_URL: url,
        ...environment,
      });
      assert.equal(await program.ended(), 0, program.stderr);
      return program.stdout;
    };
    const trusting = { NODE_EXTRA_CA_CERTS: path.join(FILES, "ca.pem") };
    // It is connected: nothing but the registry is missing.
    assert.match(await start("tls", trusting), /^no_registry: /);
    if (!isFirst) assert.match(await start("nats", trusting), /^no_registry: /);
    assert.match(
      await start("tls", {}),
      /^connect_failed: Cannot connect to NATS at tls:\/\/.*certificate.*NODE_EXTRA_CA_CERTS/,
    );
  });
}
