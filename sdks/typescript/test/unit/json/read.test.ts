import assert from "node:assert/strict";
import { test } from "node:test";
import {
  canonical,
  fitsInside,
  JsonError,
  JsonNumber,
  JsonObject,
  JsonView,
  parse,
  parseLossless,
  RawJson,
  RecordReader,
  stringify,
} from "../../../src/json/index.js";

function errorOf(text: string | Uint8Array): JsonError {
  try {
    if (typeof text === "string") RawJson.parse(text);
    JsonObject.parseBody(text);
  } catch (error) {
    assert.ok(error instanceof JsonError, String(error));
    return error;
  }
  return assert.fail(`${String(text)} was read`);
}

test("errors say where, in bytes, and what is wrong", () => {
  const cases: [text: string, message: string][] = [
    ["[1,]", "invalid JSON at byte 3: expected a value"],
    ['{"a":1,}', "invalid JSON at byte 7: expected a member name in quotes"],
    ['{"a" 1}', "invalid JSON at byte 5: expected `:`"],
    ["[1 2]", "invalid JSON at byte 3: expected `,` or `]`"],
    ['{"a":1 "b":2}', "invalid JSON at byte 7: expected `,` or `}`"],
    ["1 2", "invalid JSON at byte 2: expected the end of the text"],
    ['"é\\x"', "invalid JSON at byte 3: expected a valid escape"],
    ['"😀\\u12"', "invalid JSON at byte 5: expected four hexadecimal digits after \\u"],
    ['"日\n"', "invalid JSON at byte 4: expected no control character in a string"],
    ['"abc', "invalid JSON at byte 4: expected the closing quote of a string"],
    ["-", "invalid JSON at byte 1: expected a digit"],
    ["\ufeff1", "invalid JSON at byte 0: expected a value"],
    ["// x", "invalid JSON at byte 0: expected a value"],
    ["01", "invalid JSON at byte 1: expected the end of the text"],
    ["1.", "invalid JSON at byte 1: expected the end of the text"],
    ["undefined", "invalid JSON at byte 0: expected a value"],
    ["", "invalid JSON at byte 0: expected a value"],
  ];
  for (const [text, message] of cases) {
    const error = errorOf(text);
    assert.equal(error.message, message, text);
    assert.equal(error.reason, "syntax");
    assert.equal(error.code, "invalid_json");
    assert.equal(error.offset, Number(/byte (\d+)/.exec(message)?.[1]), text);
  }
});

test("a body is strict UTF-8, and an empty one an object", () => {
  assert.equal(errorOf(Uint8Array.of(0x22, 0xff, 0x22)).message, "the body is not valid UTF-8");
  assert.equal(errorOf(Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22)).reason, "utf8");
  assert.equal(errorOf(Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d)).reason, "syntax");
  assert.equal(JsonObject.parseBody(new Uint8Array())?.isEmpty, true);
  assert.equal(JsonObject.parseBody(" [] "), undefined);
  assert.throws(() => JsonObject.parseBody(" {} x"), JsonError);
});

test("nesting and digits have limits", () => {
  const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
  assert.equal(RawJson.parse(nested(990)).canonical(), nested(990));
  assert.equal(stringify(parseLossless(nested(990))), nested(990));
  const error = errorOf(nested(991));
  assert.deepEqual([error.reason, error.offset], ["depth", 990]);
  const objects = `${'{"a":'.repeat(990)}1${"}".repeat(990)}`;
  assert.equal(RawJson.parse(objects).canonical(), objects);
  assert.equal(errorOf(`{"a":${objects}}`).reason, "depth");
  // A body that is nested too deeply costs no stack.
  assert.equal(errorOf("[".repeat(1_000_000)).reason, "depth");
  for (const [text, levels, fits] of [
    [nested(990), 0, true],
    [nested(990), 1, false],
    [nested(989), 1, true],
    [`[0,${nested(988)},{"a":"]]"}]`, 1, true],
    [`[0,${nested(989)},{"a":"]]"}]`, 1, false],
    [`{"a":"${"[".repeat(5_000)}"}`, 1, true],
    [`[${"[],".repeat(5_000)}0]`, 988, true],
    [`[${"[],".repeat(5_000)}0]`, 989, false],
  ] as const) {
    assert.equal(fitsInside(text, levels), fits, `${text.slice(0, 20)} inside of ${levels}`);
  }
  assert.equal(RawJson.parse(`-${"9".repeat(4300)}`).kind, "integer");
  assert.equal(errorOf("9".repeat(4301)).reason, "integer-too-long");
  assert.equal(RawJson.parse(`${"9".repeat(4301)}.0`).kind, "float");
});

test("a payload is read as JSON.parse reads it, and NaN and infinities too", () => {
  const raw = RawJson.parse(' {"n": 1.0, "big": 12345678901234567890, "n": 2} ');
  assert.deepEqual(raw.value(), { n: 2, big: 12345678901234567000 });
  assert.equal(raw.value(), raw.value(), "read once");
  assert.deepEqual(parse('[NaN,-Infinity,{"a":Infinity,"a":1e400}]'), [NaN, -Infinity, { a: Infinity }]);
  const proto = parse('{"__proto__":{"x":NaN}}') as object;
  assert.equal(Object.getPrototypeOf(proto), Object.prototype, "a name cannot change the prototype");
  assert.deepEqual(Object.keys(proto), ["__proto__"]);
});

test("what is read without loss is written as it was", () => {
  const texts = [
    '{"n":1.0,"big":12345678901234567890,"half":"\\ud83d","nan":NaN,"inf":[Infinity,-Infinity]}',
    "[0,-0,0.0,-0.0,1e0,1E5,1e400,1.50,0.1,1e-7,1e-07,100000000000000000000,1e16,1e+16]",
    "[9007199254740991,9007199254740992,-9007199254740993]",
    '"\\u007f\\u00e9\\ud83d\\ude00"',
    "{}",
    "[]",
    "null",
  ];
  for (const text of texts) assert.equal(stringify(parseLossless(text)), text);
  const value = parseLossless('{"safe":7,"unsafe":9007199254740993,"float":1.0,"plain":1.5,"zero":-0}');
  assert.deepEqual(value, {
    safe: 7,
    unsafe: 9007199254740993n,
    float: new JsonNumber("1.0"),
    plain: 1.5,
    zero: new JsonNumber("-0"),
  });
});

test("a view coerces as Python does", () => {
  // (JSON, truthy, S, str, I)
  const cases: [string, boolean, string, string, bigint | undefined][] = [
    ["null", false, "", "None", undefined],
    ["false", false, "", "False", 0n],
    ["true", true, "True", "True", 1n],
    ["0", false, "", "0", 0n],
    ["-0", false, "", "0", 0n],
    ["-0.0", false, "", "-0.0", 0n],
    ["1e400", true, "inf", "inf", undefined],
    ["NaN", true, "nan", "nan", undefined],
    ["1e16", true, "1e+16", "1e+16", 10_000_000_000_000_000n],
    ['""', false, "", "", undefined],
    ['" 1_000 "', true, " 1_000 ", " 1_000 ", 1000n],
    ["[ ]", false, "", "[]", undefined],
    ["{ }", false, "", "{}", undefined],
    ["['a']".replaceAll("'", '"'), true, "['a']", "['a']", undefined],
    ['{"k":"it\'s","n":null,"k":1.50}', true, "{'k': 1.5, 'n': None}", "{'k': 1.5, 'n': None}", undefined],
    ['["a\'b","\\n\\u0085\\u00ad"]', true, `["a'b", '\\n\\x85\\xad']`, `["a'b", '\\n\\x85\\xad']`, undefined],
  ];
  for (const [text, truthy, s, str, int] of cases) {
    const view = JsonView.parse(text);
    assert.deepEqual([view.isTruthy(), view.text(), view.pythonText()], [truthy, s, str], text);
    if (text === "1e400") assert.throws(() => view.int(), /too large for an integer/);
    else assert.equal(view.int(), int, text);
  }
});

test("of equal names the last one counts, at the place of the first", () => {
  const object = JsonObject.parseBody('{"a":1,"b":2,"\\u0061":3}');
  assert.deepEqual(
    [...(object?.entries() ?? [])].map(([name, value]) => `${name}=${value.raw}`),
    ["a=3", "b=2"],
  );
  assert.ok(object?.get("missing").isNull());
  assert.ok(!object?.has("missing"));
});

test("the known members of a record are those of an object", () => {
  const names = ["id", "name", "id_of", "value"] as const;
  const reader = new RecordReader(names);
  const bodies = [
    "",
    "{}",
    '{"id":"a","name":"b","id_of":"c","value":[1, {"id":"inner"}]}',
    ' { "value" : 1.50 , "other" : {} , "id_of" : "" , "name" : null , "id" : true } ',
    '{"id":"first","name":"x","id":"last"}',
    '{"id":"text","id":null,"id_of":0,"value":{}}',
    '{"\\u0069d":"escaped name","na":"no","name_":"no","i\\u0064_of":"too","\\u0078":1}',
    '{"id":"a\\u00e9\\n","name":"\\ud83d","id_of":"é😀","value":"\\""}',
    '{"id":NaN,"name":-Infinity,"id_of":12345678901234567890,"value":1e400}',
    `{"id":"${"é".repeat(3_000)}","name":"\\\\","id_of":"in a long body","value":"${"x".repeat(300)}"}`,
  ];
  for (const body of bodies) {
    const object = JsonObject.parseBody(body);
    for (const given of [body, new TextEncoder().encode(body)]) {
      const record = reader.read(given);
      assert.ok(object !== undefined && record !== undefined);
      for (const name of names) {
        assert.equal(record.text(name), object.get(name).text(), `${name} of ${body.slice(0, 80)}`);
        assert.equal(record.optText(name), object.get(name).optText(), `${name} of ${body.slice(0, 80)}`);
        assert.equal(record.get(name).raw, object.get(name).raw, `${name} of ${body.slice(0, 80)}`);
        assert.equal(record.raw(name).text, object.get(name).raw, `${name} of ${body.slice(0, 80)}`);
      }
    }
  }
  for (const body of [" [] ", "1", '"{}"']) assert.equal(reader.read(body), undefined, body);
  const faulty = ["{", '{"id":1,}', '{"id":1} x', "[1,]", " ", '{"id":"\n"}', Uint8Array.of(0x7b, 0xff, 0x7d)];
  faulty.push('{"id":"a', '{"id', '{"id":', '{"id"', "{id:1}", '{"id":"a""name":1}', '{"id":"a":1}', '{"other":"\\x"}');
  for (const body of faulty) assert.throws(() => reader.read(body), errorOf(body), String(body));
});

test("a text that is long and deep is read and written in one pass", () => {
  const deep = (open: string, inner: string, close: string) => open.repeat(980) + inner + close.repeat(980);
  const numbers = `${"1,".repeat(100_000)}1`;
  const texts = [
    deep("[", numbers, "]"),
    deep("[1,", numbers, ",2]"),
    deep('{"é":1,"a":', `"${"é".repeat(200_000)}"`, ',"z":2}'),
  ];
  const started = performance.now();
  for (const text of texts) {
    const view = JsonView.parse(text);
    assert.equal(canonical(canonical(text)), canonical(text));
    assert.ok(view.pythonText().length > 200_000);
    assert.equal(canonical(stringify(parseLossless(text))), canonical(text));
  }
  parse(deep("[", `${numbers},NaN`, "]"));
  // Each level read again would be 980 times the work: minutes.
  assert.ok(performance.now() - started < 20_000);
});
