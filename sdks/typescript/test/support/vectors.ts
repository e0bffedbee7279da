/** Reads the files of spec/vectors and runs a check on each of their cases. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "../../src/json/index.js";
import { VECTORS } from "./repository.js";

/** A case of a file. The members differ from file to file. */
export class Case {
  constructor(readonly members: Record<string, unknown>) {}

  /** A member of any type. */
  get(name: string): unknown {
    return this.members[name];
  }

  /** Whether there is such a member. */
  has(name: string): boolean {
    return name in this.members;
  }

  /** A text. */
  text(name: string): string {
    const value = this.members[name];
    assert.equal(typeof value, "string", `the case has no text \`${name}\``);
    return value as string;
  }

  /** A text or null. */
  optText(name: string): string | undefined {
    const value = this.members[name];
    return typeof value === "string" ? value : undefined;
  }

  /** A number. */
  number(name: string): number {
    const value = this.members[name];
    assert.equal(typeof value, "number", `the case has no number \`${name}\``);
    return value as number;
  }

  /** The members of an object. */
  object(name: string): Case {
    return new Case(this.members[name] as Record<string, unknown>);
  }
}

/** One file of vectors. */
export interface VectorFile {
  /** The members beside the cases. */
  root: Case;
  cases: Case[];
}

/** Reads `<name>.json`; a file may hold what `JSON.parse` refuses. */
export function loadVectors(name: string): VectorFile {
  const root = parse(readFileSync(join(VECTORS, `${name}.json`), "utf8")) as Record<string, unknown>;
  const cases = (root.cases as Record<string, unknown>[]).map((members) => new Case(members));
  assert.ok(cases.length > 0, `${name}.json has no cases`);
  return { root: new Case(root), cases };
}

/** Runs a check on every case and fails with the list of all cases that failed. */
export async function checkCases(file: VectorFile, check: (test: Case) => void | Promise<void>): Promise<void> {
  const failures: string[] = [];
  for (const [index, test] of file.cases.entries()) {
    try {
      await check(test);
    } catch (error) {
      const shown = test.optText("case") ?? JSON.stringify(test.members)?.slice(0, 160);
      failures.push(`case ${index} (${shown}): ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  assert.deepEqual(failures, [], `${failures.length} of ${file.cases.length} cases failed`);
}

/** Runs a check on every case of `<name>.json`. */
export async function checkEach(name: string, check: (test: Case) => void | Promise<void>): Promise<void> {
  await checkCases(loadVectors(name), check);
}
