/** Random texts, JSON and messages from a seed, so that a failure can be repeated. */

const SPECIAL = [
  " ",
  "\t",
  "\n",
  "\r",
  "\u000b",
  "\f",
  "\u001c",
  "\u001f",
  "\u007f",
  "\u0085",
  "\u00a0",
  "\u00ad",
  "\u1680",
  "\u2003",
  "\u2028",
  "\u202f",
  "\u3000",
  "\ufeff",
  "'",
  '"',
  "\\",
  "/",
  "\b",
  "\0",
  "é",
  "ß",
  "İ",
  "ſ",
  "K",
  "Σ",
  "σ",
  "日",
  "本",
  "٣",
  "३",
  "۵",
  "１",
  "ﷺ",
  "\ue000",
  "\uffff",
  "😀",
  "𝟘",
  "𝟡",
  "𐐷",
  "👩\u200d👧",
  "e\u0301",
  "\u20dd",
  "²",
  "Ⅳ",
  "@",
  ".",
  "_",
  "-",
  ":",
  "*",
  ">",
  "$",
  "+",
  "%",
];
const WORDS = [
  "account:",
  "capability:",
  "username:",
  "acct_",
  "@",
  "true",
  "null",
  "NaN",
  "Infinity",
  "1e400",
  "stream_end",
  "_INBOX.",
  "agentnet.reply.",
];

/** A generator of numbers (xorshift32). */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0 || 1;
  }

  private next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x | 0;
    return x >>> 0;
  }

  /** An integer from 0, below a limit. */
  below(limit: number): number {
    return this.next() % limit;
  }

  /** True once in so many calls. */
  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  /** One of several. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** Another order of the same items. */
  shuffled<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let index = out.length - 1; index > 0; index--) {
      const other = this.below(index + 1);
      [out[index], out[other]] = [out[other] as T, out[index] as T];
    }
    return out;
  }

  /** A short text of common and of unusual characters. */
  text(): string {
    let out = this.oneIn(6) ? this.pick(WORDS) : "";
    const length = this.oneIn(40) ? this.below(400) : this.below(8);
    for (let index = 0; index < length; index++) {
      out += this.oneIn(3) ? this.pick(SPECIAL) : this.pick([..."abcxyzABZ0129"]);
    }
    return out;
  }

  /** The text of a number as JSON has it, or nearly. */
  number(): string {
    const digits = (count: number) => Array.from({ length: count }, () => this.below(10)).join("");
    switch (this.below(12)) {
      case 0:
        return this.pick([
          "0",
          "-0",
          "0.0",
          "-0.0",
          "1.0",
          "1e0",
          "1E+2",
          "NaN",
          "Infinity",
          "-Infinity",
          "1e400",
          "-1e400",
        ]);
      case 1:
        return this.pick([
          "9007199254740991",
          "9007199254740992",
          "9007199254740993",
          "18446744073709551616",
          "1e15",
          "1e16",
          "1e-4",
          "1e-5",
        ]);
      case 2:
        return this.pick(["01", "-", "+1", "1.", ".5", "1e", "0x1", "1_0", "--1", "-Inf", "Nan"]);
      case 3:
        return `${this.pick(["", "-"])}${1 + this.below(9)}${digits(this.below(25))}`;
      case 4:
        return `${this.below(10)}.${digits(1 + this.below(20))}e${this.pick(["", "+", "-"])}${this.below(330)}`;
      case 5: {
        const view = new DataView(new ArrayBuffer(8));
        view.setUint32(0, this.next());
        view.setUint32(4, this.next());
        return String(view.getFloat64(0));
      }
      default:
        return `${this.pick(["", "-"])}${this.below(1000)}${this.oneIn(2) ? `.${digits(1 + this.below(6))}` : ""}`;
    }
  }

  /** A string literal with escapes of all kinds. `halves`: also those of lone surrogates. */
  literal(halves: boolean): string {
    let out = "";
    for (const character of this.text()) {
      if (this.oneIn(6)) {
        for (let at = 0; at < character.length; at++)
          out += `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`;
      } else
        out += JSON.stringify(character)
          .slice(1, -1)
          .replace("/", this.pick(["/", "\\/"]));
    }
    if (halves && this.oneIn(8))
      out += this.pick(["\\ud83d", "\\ude00", "\\udbff\\udfff", "\\uD800", "\\udfff\\ud800"]);
    return `"${out}"`;
  }

  private space(): string {
    return this.oneIn(4) ? this.pick([" ", "\n", "\t ", "\r\n"]) : "";
  }

  /** The text of a JSON value. */
  json(depth = 3, halves = true): string {
    const kind = this.below(depth > 0 ? 9 : 6);
    if (kind < 2) return this.literal(halves);
    if (kind < 4) return this.validNumber();
    if (kind < 6) return this.pick(["null", "true", "false"]);
    const s = () => this.space();
    const count = this.below(4);
    const items = Array.from({ length: count }, () => {
      const value = `${s()}${this.json(depth - 1, halves)}${s()}`;
      return kind === 6 ? value : `${s()}${this.name(halves)}${s()}:${value}`;
    });
    return kind === 6
      ? `[${items.join(",")}${count === 0 ? s() : ""}]`
      : `{${items.join(",")}${count === 0 ? s() : ""}}`;
  }

  private validNumber(): string {
    for (;;) {
      const number = this.number();
      if (/^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$|^NaN$|^-?Infinity$/.test(number)) return number;
    }
  }

  /** The name of a member; often the same few, so that some come twice. */
  private name(halves: boolean): string {
    return this.oneIn(2)
      ? JSON.stringify(this.pick(["a", "b", "é", "😀", "\uffff", "__proto__", "text"]))
      : this.literal(halves);
  }

  /** Bytes that are nearly a text: some are changed, taken out or put in. */
  damaged(text: string): Uint8Array {
    const bytes = [...new TextEncoder().encode(text)];
    for (let count = 1 + this.below(2); count > 0 && bytes.length > 0; count--) {
      const at = this.below(bytes.length);
      const byte = this.oneIn(3) ? this.below(256) : this.pick([...'{}[]",:\\u0e.- tfnNI'].map((c) => c.charCodeAt(0)));
      bytes.splice(at, this.below(2), ...(this.oneIn(3) ? [] : [byte]));
    }
    return Uint8Array.from(bytes);
  }

  /** An object with some of these members, whose values are of any type. */
  record(names: readonly string[], known: (name: string) => string | undefined): string {
    const members = this.shuffled(names)
      .filter(() => !this.oneIn(4))
      .map((name) => {
        const value = this.oneIn(3) ? undefined : known(name);
        return `${JSON.stringify(name)}:${value ?? this.json(2, false)}`;
      });
    if (this.oneIn(10))
      members.push(...members.slice(0, 1).map((member) => member.replace(/:.*/s, `:${this.json(1, false)}`)));
    return `{${members.join(this.pick([",", ", "]))}}`;
  }

  /** The text of a time, or nearly. */
  time(): string {
    const two = (limit: number) => String(this.below(limit)).padStart(2, "0");
    const year = this.oneIn(8) ? this.pick(["0001", "9999", "0000", "999"]) : String(1990 + this.below(60));
    const date = this.pick([
      () => `${year}-${two(14)}-${two(33)}`,
      () => `${year}${two(14)}${two(33)}`,
      () => `${year}-W${two(55)}${this.pick(["", "-1", "-7", "-8"])}`,
      () => `${year}W${two(55)}${this.pick(["", "1", "7"])}`,
    ])();
    const colon = this.pick([":", ":", ""]);
    const clock = [two(25), two(61), two(62)].slice(0, 1 + this.below(3)).join(colon);
    const fraction = this.pick(["", "", ".5", ",25", ".123456", ".1234567", ".", ".00000"]);
    const zone = this.pick([
      "Z",
      "Z",
      "z",
      "",
      "+02:00",
      "-0530",
      "+00:00:30",
      "+00:00:00.5",
      "-23:59:59.999999",
      "+24:00",
      "+1",
    ]);
    const text = this.oneIn(6)
      ? date
      : `${date}${this.pick(["T", "T", " ", "日", "\u00e9"])}${clock}${fraction}${zone}`;
    if (this.oneIn(10)) return ` ${text}\u3000`;
    return this.oneIn(10)
      ? `${text.slice(0, this.below(text.length + 1))}${this.pick(["", "-", ":", "0", "Z"])}`
      : text;
  }
}
