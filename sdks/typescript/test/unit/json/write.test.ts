import assert from "node:assert/strict";
import { test } from "node:test";
import {
  compareCodePoints,
  float,
  floatText,
  integer,
  integerText,
  JsonError,
  JsonNumber,
  ObjectWriter,
  quote,
  RawJson,
  stringify,
  trim,
  utf8Length,
} from "../../../src/json/index.js";

test("values are written compact, in ASCII, with numbers as Python spells them", () => {
  const cases: [value: unknown, text: string][] = [
    [{ a: [1, "x", null, true, undefined], b: undefined }, '{"a":[1,"x",null,true,null]}'],
    [undefined, "null"],
    [1, "1"],
    [-0, "0"],
    [1.5, "1.5"],
    [1e21, "1e+21"],
    [2 ** 60, "1152921504606847000"],
    [0.00001, "1e-05"],
    [1e-7, "1e-07"],
    [0.0001, "0.0001"],
    [NaN, "NaN"],
    [-Infinity, "-Infinity"],
    [12345678901234567890n, "12345678901234567890"],
    [float(1), "1.0"],
    [float(-0), "-0.0"],
    [new JsonNumber("1e400"), "1e400"],
    [RawJson.parse('{"é": 1.0}'), '{"\\u00e9": 1.0}'],
    [{ raw: RawJson.NULL }, '{"raw":null}'],
    ['é\u007f\u2028😀\ud83d\n"\\/', '"\\u00e9\\u007f\\u2028\\ud83d\\ude00\\ud83d\\n\\"\\\\/"'],
    [new Date(0), '"1970-01-01T00:00:00.000Z"'],
    [{ toJSON: () => [1] }, "[1]"],
    [Object("text"), '"text"'],
    [JSON.parse('{"__proto__":1}'), '{"__proto__":1}'],
    [Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
    [
      new (class Point {
        x = 1;
      })(),
      '{"x":1}',
    ],
  ];
  for (const [value, text] of cases) assert.equal(stringify(value), text);
});

test("what JSON cannot express is refused, with its place", () => {
  const cycle: Record<string, unknown> = { list: [] };
  (cycle.list as unknown[]).push({ back: cycle });
  const cases: [value: unknown, message: string, reason: string][] = [
    [() => 1, "the value is a function, which JSON cannot express", "unsupported"],
    [{ a: [0, { f() {} }] }, "the value at a[1].f is a function, which JSON cannot express", "unsupported"],
    [[Symbol("s")], "the value at [0] is a symbol, which JSON cannot express", "unsupported"],
    [cycle, "the value at list[0].back contains itself, which JSON cannot express", "cycle"],
    [new Map(), "the value is a Map (use Object.fromEntries), which JSON cannot express", "unsupported"],
    [{ s: new Set() }, "the value at s is a Set (use an array), which JSON cannot express", "unsupported"],
    [
      { b: new Uint8Array(1) },
      "the value at b is binary data (send a blob, or text), which JSON cannot express",
      "unsupported",
    ],
    [Promise.resolve(1), "the value is a Promise (await it first), which JSON cannot express", "unsupported"],
  ];
  for (const [value, message, reason] of cases) {
    assert.throws(
      () => stringify(value),
      (error) => error instanceof JsonError && error.message === message && error.reason === reason,
      message,
    );
  }
  assert.equal(
    (() => {
      try {
        stringify(() => 1);
      } catch (error) {
        return (error as JsonError).code;
      }
      return "";
    })(),
    "invalid_payload",
  );
  // The same object twice is no cycle.
  const shared = { x: 1 };
  assert.equal(stringify([shared, shared]), '[{"x":1},{"x":1}]');
  let deep: unknown = 1;
  for (let level = 0; level < 991; level++) deep = [deep];
  assert.throws(() => stringify(deep), { code: "invalid_payload", message: /more than 990 levels/ });
});

test("a JsonNumber is a number of JSON", () => {
  for (const text of ["1.0", "-0", "1e400", "NaN", "-Infinity", "12345678901234567890"]) {
    assert.equal(new JsonNumber(text).toString(), text);
  }
  assert.equal(new JsonNumber("1.50").valueOf(), 1.5);
  for (const text of ["", "1.", " 1", "1 ", '"1"', "null", "[1]", "0x1", "1,2", "+1", "true"]) {
    assert.throws(() => new JsonNumber(text), JsonError, text);
  }
});

test("integers are read as Python reads them", () => {
  const cases: [text: string, value: bigint | undefined][] = [
    ["5", 5n],
    [" +5\u3000", 5n],
    ["-1_000", -1000n],
    ["٣", 3n],
    ["𝟡", 9n],
    ["99999999999999999999", 99999999999999999999n],
    ["", undefined],
    ["-", undefined],
    ["_1", undefined],
    ["1_", undefined],
    ["1__0", undefined],
    ["5.0", undefined],
    ["1e3", undefined],
    ["²", undefined],
    ["- 1", undefined],
    ["9".repeat(4300), BigInt("9".repeat(4300))],
    ["9".repeat(4301), undefined],
  ];
  for (const [text, value] of cases) assert.equal(integerText(text), value, text);
});

test("doubles have Python's notation", () => {
  const cases: [number, string][] = [
    [0, "0.0"],
    [-0, "-0.0"],
    [1e15, "1000000000000000.0"],
    [1e16, "1e+16"],
    [1.5e-5, "1.5e-05"],
    [5e-324, "5e-324"],
    [1.7976931348623157e308, "1.7976931348623157e+308"],
    [123456.789, "123456.789"],
  ];
  for (const [value, text] of cases) assert.equal(floatText(value), text);
});

test("texts are measured, ordered and trimmed as UTF-8 and Python do", () => {
  const texts = ["a", "é", "日", "😀", "\ud800", "a\udc00", "\ud800\ue000", "\uffff"];
  for (const text of texts) assert.equal(utf8Length(text), Buffer.byteLength(text), quote(text));
  const sorted = [
    "",
    "a",
    "a\u0000",
    "é",
    "\ud7ff",
    "\ud800",
    "\ud800a",
    "\udc00",
    "\ue000",
    "\uffff",
    "\u{10000}",
    "\u{10000}a",
    "\u{10ffff}",
  ];
  for (const [index, text] of sorted.entries()) {
    for (const [other, against] of sorted.entries()) {
      assert.equal(
        Math.sign(compareCodePoints(text, against)),
        Math.sign(index - other),
        `${quote(text)} ${quote(against)}`,
      );
    }
  }
  assert.equal(trim("\u001c\u0085 \u3000a b\u2028\u001f\t"), "a b");
  assert.equal(trim("\ufeffa\u200b"), "\ufeffa\u200b", "these are not white space");
  assert.equal(trim(" ".repeat(1_000_000)), "");
  // Every character at every place: at both ends it goes if Python calls it white space, inside it stays.
  const spaces = /^[\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]$/;
  for (let unit = 0; unit < 0x10000; unit++) {
    const character = String.fromCharCode(unit);
    const kept = spaces.test(character) ? "" : character;
    assert.equal(trim(character), kept, quote(character));
    assert.equal(trim(`${character}a`), `${kept}a`, quote(character));
    assert.equal(trim(`a${character}`), `a${kept}`, quote(character));
    assert.equal(trim(`a${character}a`), `a${character}a`, quote(character));
  }
});

test("an object is written member by member", () => {
  const out = new ObjectWriter()
    .text("é", "ü")
    .optText("absent", undefined)
    .nullableText("null", undefined)
    .int("int", 1.9)
    .int("big", -12345678901234567890n)
    .float("float", 3)
    .bool("yes", true)
    .texts("texts", ["a", "\n"])
    .raw("raw", "[1]")
    .finish();
  const text =
    '{"\\u00e9":"\\u00fc","null":null,"int":1,"big":-12345678901234567890,"float":3.0,"yes":true,"texts":["a","\\n"],"raw":[1]}';
  assert.equal(out, text);
  assert.equal(new ObjectWriter().finish(), "{}");
  const integers: [value: number | bigint, text: string][] = [
    [-0, "0"],
    [-1.9, "-1"],
    [Number.MAX_SAFE_INTEGER, "9007199254740991"],
    [2 ** 60, "1152921504606846976"],
    [-(10n ** 30n), `-1${"0".repeat(30)}`],
  ];
  for (const [value, text] of integers) assert.equal(integer("n", value), text);
  assert.throws(() => integer("n", Infinity), { message: "n must be a finite number, not Infinity" });
});
