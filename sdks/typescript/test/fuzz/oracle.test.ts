/**
 * Random cases, answered by this implementation and by the Rust one, which must agree.
 *
 * `AGENTNET_FUZZ_CASES` (default 5,000) says how many, `AGENTNET_FUZZ_SEED` which: a failure names the seed.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Answer, askOracle, type Question } from "./oracle.js";
import { KINDS } from "./questions.js";
import { Random } from "./random.js";

const CASES = Number(process.env.AGENTNET_FUZZ_CASES ?? 5000);
const SEED = Number(process.env.AGENTNET_FUZZ_SEED ?? Date.now() % 2 ** 31);

/**
 * Texts of Rust cannot hold half of a surrogate pair, which becomes U+FFFD there; here they stay, as in Python. Numbers beyond 53 bits
 * are where counters stop here, and beyond 63 where they stop there.
 */
function comparable(answer: Answer): Answer {
  return answer.map((part) =>
    part
      ?.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd")
      // With two backslashes in the text that Python has for a list or an object.
      .replace(
        /\\{1,2}ud[89ab][0-9a-f]{2}(?!\\ud[c-f])|(?<!\\ud[89ab][0-9a-f]{2})\\{1,2}ud[c-f][0-9a-f]{2}/g,
        "\\ufffd",
      ),
  );
}

function comparableTo(question: Question, answer: Answer): Answer {
  // The size of a blob is a number here, whose digits beyond 53 bits are rounded.
  if (question.name === "blob") {
    return comparable(answer.map((part) => part?.replace(/(?<="size_bytes":)\d{16,}/, (size) => String(Number(size)))));
  }
  if (question.name !== "compaction" || answer[2] === undefined) return comparable(answer);
  const large = answer[2].split(",").map((count) => (count.length > 15 ? "large" : count));
  return comparable(answer.with(2, large.join(",")));
}

/** A frame's number beyond 53 bits is refused here, and beyond 64 there: no stream has so many. */
function isLargeSeq(question: Question, theirs: Answer, ours: Answer): boolean {
  if (question.name !== "frame" || ours[1]?.endsWith(`at most ${Number.MAX_SAFE_INTEGER}`) !== true) return false;
  return theirs[0] === undefined ? theirs[1]?.includes("`seq`") === true : /"seq":\d{16,}/.test(theirs[0]);
}

const total = Object.values(KINDS).reduce((sum, kind) => sum + kind.weight, 0);

for (const [name, kind] of Object.entries(KINDS)) {
  test(`${name}: both implementations answer alike`, () => {
    const random = new Random(SEED + name.length);
    const count = Math.ceil((CASES * kind.weight) / total);
    const questions = Array.from({ length: count }, (): Question => ({ name, arguments: kind.make(random) }));
    const answers = askOracle(questions);
    const differences: string[] = [];
    for (const [index, question] of questions.entries()) {
      const theirs = comparableTo(question, answers[index] ?? []);
      const ours = comparableTo(question, kind.answer(...(question.arguments as never[])));
      // Absent parts at the end may be left out.
      while (ours.length < theirs.length) ours.push(undefined);
      while (theirs.length < ours.length) theirs.push(undefined);
      if (!theirs.every((part, place) => part === ours[place]) && !isLargeSeq(question, theirs, ours)) {
        const shown = question.arguments.map((value) =>
          JSON.stringify(typeof value === "string" ? value : Buffer.from(value).toString("hex")),
        );
        differences.push(`${shown.join(" ")}\n  rust: ${JSON.stringify(theirs)}\n  here: ${JSON.stringify(ours)}`);
      }
    }
    assert.ok(
      differences.length === 0,
      `${differences.length} of ${count} differ (AGENTNET_FUZZ_SEED=${SEED})\n${differences.slice(0, 5).join("\n")}`,
    );
  });
}
