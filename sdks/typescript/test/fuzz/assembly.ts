/** Random streams, and the course of their assembly as the oracle tells it. */

import { JsonView } from "../../src/json/index.js";
import { AssembleError, parseStreamFrame, StreamAssembler } from "../../src/protocol/index.js";
import type { Answer } from "./oracle.js";
import type { Random } from "./random.js";

/** The payloads of a stream in some order: some lost, some twice, some of another stream, of both forms. */
export function streamPayloads(random: Random): string[] {
  const open = random.oneIn(2);
  const first = open ? random.below(2) : 1;
  const count = random.below(6);
  const payload = (type: string, members: object, stream = "s") =>
    JSON.stringify({ type, stream_id: stream, ...members });
  const payloads = [payload("stream_start", open && !random.oneIn(4) ? {} : { seq: 0 })];
  for (let seq = first; seq < first + count; seq++) payloads.push(payload("stream_delta", { seq, delta: `${seq};` }));
  const last = { seq: random.oneIn(4) ? random.below(9) : first + count };
  if (random.oneIn(4)) payloads.push(payload("stream_error", { ...last, error: "busy" }));
  else payloads.push(payload("stream_end", random.oneIn(2) ? { ...last, text: "whole" } : last));
  if (random.oneIn(5)) payloads.push(payload("stream_delta", { seq: 1, delta: "x" }, "other"));
  if (random.oneIn(5)) payloads.push(payload("stream_delta", { seq: random.below(9), delta: "y" }));
  const kept = payloads.filter(() => !random.oneIn(8));
  const doubled = random.oneIn(3) ? [...kept, ...kept.slice(0, random.below(kept.length + 1))] : kept;
  return random.oneIn(3) ? doubled : random.shuffled(doubled);
}

/** The frames of an array of payloads, in the order in which the assembler gives them, and where it stands after each. */
export function assemble(text: string): Answer {
  const assembler = new StreamAssembler();
  const steps = (JsonView.parse(text).asArray() ?? []).map((payload) => {
    const frame = parseStreamFrame(payload);
    if (frame === undefined) throw new Error(`${payload.raw} is no frame`);
    let taken = "other";
    try {
      taken = String(assembler.push(frame));
    } catch (error) {
      if (!(error instanceof AssembleError && error.code === "stream_other")) throw error;
    }
    return `${taken} ${given(assembler)}`;
  });
  steps.push(`here ${assembler.endHere()} ${given(assembler)}`);
  steps.push(`without ${assembler.doWithoutStart()} ${given(assembler)}`);
  return [steps.join("\n"), assembler.text];
}

function given(assembler: StreamAssembler): string {
  const frames: string[] = [];
  for (let frame = assembler.pop(); frame !== undefined; frame = assembler.pop()) {
    frames.push(`${frame.part.type}:${frame.seq}`);
  }
  const missing = `${assembler.missingCount}:${assembler.missingNumbers(5).join(",")}`;
  return `[${frames.join(",")}] complete=${assembler.isComplete} next=${assembler.nextSeq} missing=${missing}`;
}
