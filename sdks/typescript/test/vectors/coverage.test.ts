/** No file of spec/vectors lies there unused. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PACKAGE, VECTORS } from "../support/repository.js";

/** The files that speak of registries, of the command line or of what is missing here, and why no test runs them. */
const NOT_OF_AGENTS: Readonly<Record<string, string>> = {
  checkpoint_end: "registries count checkpoints (section 8)",
  cli_payload_preview: "the column of a table of the command line (section 16)",
  invites: "secure mode: `agentnet join` uses invites (section 23.4)",
  mailbox_requests: "registries read the requests of the mailbox, with their defaults and bounds (section 21.3)",
  mailbox_storable: "registries decide which messages a mailbox can keep (section 21.3)",
  nats_jwts: "secure mode: registries make and read JWTs of NATS (section 23.8)",
  permissions: "secure mode: registries make the permissions of members (section 23.2)",
  signed_request_auth: "registries check the signatures of requests (section 13.8)",
  cursors: "agents pass cursors back unchanged; only registries read them (section 6.1)",
  task_requests: "registries read the requests about tasks, with their defaults and bounds (section 22.3)",
  thread_status: "registries compute the status and the limits of a thread (section 8)",
  token_estimates: "registries estimate tokens (section 8)",
};

/** The files that a test here loads by name. */
function loaded(): Set<string> {
  const folder = join(PACKAGE, "test/vectors");
  const sources = readdirSync(folder).map((file) => readFileSync(join(folder, file), "utf8"));
  const names = sources.flatMap((source) => [
    ...source.matchAll(/(?:checkEach|loadVectors|checkMessages)\("([a-z_]+)"/g),
  ]);
  return new Set(names.map(([, name]) => name ?? ""));
}

test("every file of vectors is run, or listed with the reason", () => {
  const files = readdirSync(VECTORS).map((file) => file.replace(/\.json$/, ""));
  assert.ok(files.length > 0);
  const run = loaded();
  const unused = files.filter((name) => !run.has(name) && !(name in NOT_OF_AGENTS));
  assert.deepEqual(unused, [], "files that no test loads and no list names");
  const both = files.filter((name) => run.has(name) && name in NOT_OF_AGENTS);
  assert.deepEqual(both, [], "files that are listed as unused and yet run");
  const gone = [...run, ...Object.keys(NOT_OF_AGENTS)].filter((name) => !files.includes(name));
  assert.deepEqual(gone, [], "names without a file");
});
