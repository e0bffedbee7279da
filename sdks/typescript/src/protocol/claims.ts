/** Claims: the named texts that a signature covers (PROTOCOL.md section 13). */

import { compareCodePoints, type JsonView, ObjectWriter } from "../json/index.js";

interface Claim {
  /** The signed text. */
  readonly text: string;
  /** Whether it was received as something that counts as nothing, such as null, whose text is `None`. */
  readonly falsy: boolean;
}

/** Claims in the order in which they travel. What is signed is their canonical form, where every value is text. Immutable. */
export class Claims {
  private constructor(private readonly members: ReadonlyMap<string, Claim>) {}

  /** Of names and values. Names must differ. */
  static of(members: Iterable<readonly [name: string, value: string]>): Claims {
    return new Claims(new Map([...members].map(([name, text]) => [name, { text, falsy: text === "" }])));
  }

  /**
   * As received: values that are not text become the text that Python would give them (`1`, `True`, `None`). `undefined` where the
   * value is no object.
   */
  static read(value: JsonView): Claims | undefined {
    const object = value.asObject();
    if (object === undefined) return undefined;
    const members = new Map<string, Claim>();
    for (const [name, view] of object.entries())
      members.set(name, { text: view.pythonText(), falsy: !view.isTruthy() });
    return new Claims(members);
  }

  /** The claim with this name; empty when missing, null, false or zero. */
  get(name: string): string {
    const claim = this.members.get(name);
    return claim === undefined || claim.falsy ? "" : claim.text;
  }

  /** As they are put on the wire: JSON, ASCII. */
  get json(): string {
    const out = new ObjectWriter();
    for (const [name, claim] of this.members) out.text(name, claim.text);
    return out.finish();
  }

  /** The text that is signed, ASCII. */
  signedText(): string {
    const sorted = [...this.members].sort(([a], [b]) => compareCodePoints(a, b));
    return new Claims(new Map(sorted)).json;
  }

  /** Whether both hold the same claims, in whatever order. */
  sameAs(other: Claims): boolean {
    if (this.members.size !== other.members.size) return false;
    return [...this.members].every(([name, claim]) => other.members.get(name)?.text === claim.text);
  }

  /** With one more claim. */
  and(name: string, value: string): Claims {
    return Claims.of([...this.texts(), [name, value]]);
  }

  /** Without some of the claims. */
  without(names: readonly string[]): Claims {
    return Claims.of(this.texts().filter(([name]) => !names.includes(name)));
  }

  private texts(): [name: string, text: string][] {
    return [...this.members].map(([name, claim]) => [name, claim.text]);
  }
}
