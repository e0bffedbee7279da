/** The functions and constants of the original's TypeScript SDK. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as everything from "../../src/index.js";
import { isCompactionRequired, parseCompactionRequired, RawJson } from "../../src/index.js";
import { loadVectors } from "../support/vectors.js";

test("compaction events are read as the vectors say", () => {
  for (const one of loadVectors("compaction_events").cases) {
    const source: unknown = RawJson.parse(one.text("source_json")).value();
    assert.equal(isCompactionRequired(source), one.get("is_compaction"), one.text("source_json"));
    const wanted = one.get("event") as Record<string, unknown> | null;
    const event = parseCompactionRequired(source);
    if (wanted === null) assert.equal(event, null);
    else
      for (const [name, value] of Object.entries(wanted))
        assert.equal(event?.[name as keyof typeof event] ?? null, value, name);
  }
  assert.equal(
    parseCompactionRequired(() => undefined),
    null,
  );
  assert.equal(isCompactionRequired(undefined), false);
});

test("the subjects have the original's names", () => {
  const names = Object.keys(everything).filter((name) => /^REGISTRY_.*_SUBJECT$/.test(name));
  assert.equal(names.length, 11);
  for (const name of names) {
    const subject = (everything as unknown as Record<string, string>)[name];
    assert.equal(subject, `registry.${name.slice(9, -8).toLowerCase()}`);
  }
  assert.equal(everything.accountInboxSubject("a"), "account.a.inbox");
  assert.equal(everything.accountReceiptsSubject("a"), "account.a.receipts");
  assert.equal(everything.agentCapabilitySubject("c"), "agent.capability.c");
});
