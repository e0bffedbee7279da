import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import {
  defaultThreadId,
  fromBase64,
  fromUnpaddedBase64,
  isAccountId,
  isReplySubject,
  isRoutable,
  isServerHeader,
  mayReplyTo,
  messageId,
  newMessageId,
  newNonce,
  newUlid,
  prefixedId,
  Sha256,
  sha256Hex,
  Timestamp,
  toBase64Url,
  toHex,
  ulid,
  usableReplyPrefix,
  uuid4Hex,
} from "../../../src/protocol/index.js";

test("ids have their forms", () => {
  assert.equal(uuid4Hex(new Uint8Array(16)), "00000000000040008000000000000000");
  assert.equal(uuid4Hex(new Uint8Array(16).fill(0xff)), "ffffffffffff4fffbfffffffffffffff");
  const id = messageId(0x0196_1234_5678, new Uint8Array(16).fill(0xff));
  assert.equal(id, "0196123456784fffbfffffffffffffff");
  assert.ok(id < messageId(0x0196_1234_5679, new Uint8Array(16)));
  assert.match(newMessageId(), /^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
  assert.match(newNonce(), /^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
  assert.match(newUlid(), /^[0-9A-HJKMNP-TV-Z]{26}$/);
  assert.match(prefixedId("thread_sdk"), /^thread_sdk_[0-9a-hjkmnp-tv-z]{26}$/);
  assert.equal(new Set(Array.from({ length: 1000 }, newMessageId)).size, 1000);
  assert.equal(defaultThreadId("AbC"), "thread_abc");
  for (const good of ["a", "acct_01khzkcw3v04hmasw9nf6yy093", "A-b_9", "x".repeat(128)])
    assert.ok(isAccountId(good), good);
  for (const bad of ["", "a.b", "*", ">", "a b", "é", " a", "a\n", "x".repeat(129)]) assert.ok(!isAccountId(bad), bad);
});

test("a ULID is the 128 bits of its time and its random bytes", () => {
  const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  for (let round = 0; round < 200; round++) {
    const random = Uint8Array.from({ length: 10 }, (_, at) => (round * 89 + at * 151 + (round >> 2) * at) % 256);
    const time = (round * 2_654_435_761_017) % 2 ** 48;
    let bits = BigInt(`0x${time.toString(16)}${toHex(random)}`);
    let expected = "";
    for (let digit = 0; digit < 26; digit++) {
      expected = digits.charAt(Number(bits % 32n)) + expected;
      bits /= 32n;
    }
    assert.equal(ulid(time, random), expected);
  }
  assert.equal(ulid(2 ** 48 - 1, new Uint8Array(10).fill(0xff)), `7${"Z".repeat(25)}`);
});

test("times move within the years 1 to 9999", () => {
  const start = Timestamp.parse(" 2026-02-21T10:00:00.5+02:00 ");
  assert.equal(String(start), "2026-02-21T08:00:00.500000Z");
  assert.equal(String(start?.addMillis(500)), "2026-02-21T08:00:01Z");
  assert.equal(String(start?.addMillis(-1.9)), "2026-02-21T08:00:00.499000Z");
  assert.equal(start?.addMillis(10n ** 40n), Timestamp.MAX);
  assert.equal(start?.addMillis(-(10n ** 40n)), Timestamp.MIN);
  assert.equal(start?.addMillis(Infinity), Timestamp.MAX);
  assert.equal(String(Timestamp.MAX), "9999-12-31T23:59:59.999999Z");
  assert.equal(String(Timestamp.MIN), "0001-01-01T00:00:00Z");
  for (const end of [Timestamp.MIN, Timestamp.MAX]) assert.equal(Timestamp.parse(String(end))?.micros, end.micros);
  assert.equal(Timestamp.fromMicros(-1n).millis, -1);
  assert.equal(start?.addMillis(NaN), Timestamp.MIN);
  assert.equal(Timestamp.fromMillis(Number.MAX_SAFE_INTEGER), Timestamp.MAX);
  assert.equal(Timestamp.fromMillis(-1e300), Timestamp.MIN);
  assert.equal(Timestamp.fromMillis(1.25).micros, 1250n);
  assert.ok(Object.is(Timestamp.fromMillis(-0).millis, 0));
  assert.equal(String(Timestamp.fromMillis(1_771_660_800_123)), "2026-02-21T08:00:00.123000Z");
  assert.ok(Math.abs(Timestamp.now().millis - Date.now()) < 1000);
  assert.equal(start?.toDate().toISOString(), "2026-02-21T08:00:00.500Z");
  assert.ok(start !== undefined && start.compare(Timestamp.MAX) < 0 && start.compare(start) === 0);
});

test("every day of 800 years is written and read again", () => {
  for (let day = -200_000; day < 95_000; day += 7) {
    const expected = new Date(day * 86_400_000).toISOString().replace(".000", "");
    const time = Timestamp.fromMillis(day * 86_400_000);
    assert.equal(time.toString(), expected);
    assert.equal(Timestamp.parse(expected)?.micros, time.micros);
    // The general reader agrees with the one of the usual form.
    assert.equal(Timestamp.parse(expected.replace("Z", "+00:00"))?.micros, time.micros);
  }
});

test("a time is written alike whatever was written before", () => {
  const seconds = [-65, -64, -1, 0, 1, 63, 64, 65, 128, 1_771_660_800, 1_771_660_864];
  for (const before of seconds) {
    for (const second of seconds) {
      Timestamp.fromMillis(before * 1000).toString();
      const iso = new Date(second * 1000).toISOString().slice(0, 19);
      for (const [micros, fraction] of [
        [0, ""],
        [7, ".000007"],
        [120_000, ".120000"],
        [999_999, ".999999"],
      ] as const) {
        assert.equal(
          Timestamp.fromMicros(BigInt(second) * 1_000_000n + BigInt(micros)).toString(),
          `${iso}${fraction}Z`,
        );
      }
    }
  }
});

test("microseconds are kept on both sides of 1970, and order times", () => {
  const around = [0n, 1_771_660_800_123_456n, -1_771_660_800_123_456n, Timestamp.MIN.micros, Timestamp.MAX.micros];
  const times = around.flatMap((micros) => [-1001n, -1000n, -999n, -1n, 0n, 1n, 999n, 1000n].map((by) => micros + by));
  for (const micros of times) {
    const time = Timestamp.fromMicros(micros);
    const isInside = micros >= Timestamp.MIN.micros && micros <= Timestamp.MAX.micros;
    if (isInside) assert.equal(time.micros, micros);
    else assert.equal(time, micros < 0n ? Timestamp.MIN : Timestamp.MAX);
    assert.equal(
      BigInt(time.millis),
      (time.micros - (((time.micros % 1000n) + 1000n) % 1000n)) / 1000n,
      String(micros),
    );
    assert.equal(Timestamp.parse(time.toString())?.micros, time.micros, String(micros));
    for (const other of times) {
      const order = time.compare(Timestamp.fromMicros(other));
      if (isInside && Timestamp.fromMicros(other).micros === other)
        assert.equal(order, micros < other ? -1 : micros > other ? 1 : 0, `${micros} ${other}`);
    }
  }
});

test("the reader of the usual form and the general one agree about what is a time", () => {
  const parts = [
    ["0000", "0001", "0099", "0100", "1900", "2000", "2024", "2025", "9999", "20a4", "٢٠٢٤"],
    ["00", "01", "02", "04", "12", "13", "1x"],
    ["00", "01", "28", "29", "30", "31", "32", " 1"],
    ["00", "23", "24", "-1"],
    ["00", "59", "60", "5"],
    ["00", "59", "60", "6_"],
    ["", ".000000", ".123456", ".12345", ".1234567", ",123456", ".12345x"],
  ];
  const usual = ["2024", "02", "29", "23", "59", "59", ".123456"];
  for (const [place, values] of parts.entries()) {
    for (const value of values) {
      for (const [other, others] of parts.entries()) {
        for (const second of others) {
          const [year, month, day, hour, minute, seconds, fraction] = usual.with(place, value).with(other, second);
          const text = `${year}-${month}-${day}T${hour}:${minute}:${seconds}${fraction}`;
          assert.equal(Timestamp.parseExact(`${text}Z`)?.micros, Timestamp.parseExact(`${text}+00:00`)?.micros, text);
        }
      }
    }
  }
});

test("base64 is read as leniently as Python reads it", () => {
  const cases: [text: string, bytes: string | undefined][] = [
    ["", ""],
    ["YQ==", "a"],
    ["YR==", "a"],
    ["Y=Q==", "a"],
    ["=YQ==", "a"],
    ["Y Q\n=!=", "a"],
    ["YQ==YQ==", "a"],
    ["YQ=x=YQ", "a\x0c"],
    ["YWI=", "ab"],
    ["YWJj", "abc"],
    ["-_+/", "\xfb\xff\xbf"],
    ["Y", undefined],
    ["YQ", undefined],
    ["YQ=", undefined],
    ["YWJjZ", undefined],
    ["é", undefined],
  ];
  const shown = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString("latin1");
  for (const [text, bytes] of cases) assert.equal(shown(fromBase64(text)), bytes, text);
  assert.equal(shown(fromUnpaddedBase64("YQ")), "a");
  assert.equal(shown(fromUnpaddedBase64("YQ==")), "a");
  assert.equal(shown(fromUnpaddedBase64("YWI")), "ab");
  assert.equal(shown(fromUnpaddedBase64("YW I")), undefined);
  assert.equal(shown(fromUnpaddedBase64("YWJjZ")), undefined);
  for (let length = 0; length < 40; length++) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 89 + length) % 256);
    assert.equal(toBase64Url(bytes), Buffer.from(bytes).toString("base64url"));
    assert.deepEqual(fromUnpaddedBase64(toBase64Url(bytes)), bytes);
  }
  assert.equal(toHex(Uint8Array.of(0, 0x0f, 0xa5, 0xff)), "000fa5ff");
});

test("hashes are those of node:crypto, in one part or many", () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, index) => (index * 31) % 256);
  const expected = (part: Uint8Array) => createHash("sha256").update(part).digest("hex");
  for (let length = 0; length <= 260; length++)
    assert.equal(sha256Hex(bytes.subarray(0, length)), expected(bytes.subarray(0, length)));
  for (const step of [1, 3, 63, 64, 65, 127, 500]) {
    const hash = new Sha256();
    for (let at = 0; at < bytes.length; at += step) hash.update(bytes.subarray(at, at + step));
    assert.equal(hash.hex(), expected(bytes), `parts of ${step}`);
  }
  assert.equal(sha256Hex("é"), expected(Buffer.from("é")));
});

test("subjects are told apart", () => {
  for (const good of ["chat", "a b".replace(" ", "_"), "日本", "$x", "x".repeat(1024)])
    assert.ok(isRoutable(good), good);
  for (const bad of ["", "a.b", "*", ">", "a b", "a\u00a0b", "a\u0085", "a\n", "x".repeat(1025), "é".repeat(513)])
    assert.ok(!isRoutable(bad), bad);
  for (let unit = 0; unit < 0x100; unit++) {
    const character = String.fromCharCode(unit);
    const isPlain = unit > 0x20 && !(unit >= 0x7f && unit <= 0xa0) && !".*>".includes(character);
    for (const token of [character, `${character}a`, `a${character}`])
      assert.equal(isRoutable(token), isPlain, JSON.stringify(token));
  }
  for (const good of ["_INBOX.x", "agentnet.reply.a.1", "_INBOX.a.b"]) assert.ok(isReplySubject(good), good);
  for (const bad of [
    "account.a.inbox",
    "_INBOX",
    "_INBOX.",
    "_INBOX..x",
    "agentnet.reply.",
    "_INBOX.*",
    "_INBOX.a.>",
    "_INBOX.a b",
    "agentnet.registry.x",
  ]) {
    assert.ok(!isReplySubject(bad), bad);
  }
  for (const good of ["_INBOX.x", "agentnet.reply.a.1", "own.subject", "accounts"]) assert.ok(mayReplyTo(good), good);
  for (const bad of [
    "$JS.API.X",
    "account.a.inbox",
    "agent.capability.x",
    "registry.hello",
    "agentnet.registry.announce",
  ])
    assert.ok(!mayReplyTo(bad), bad);
  assert.ok(
    isServerHeader("nats-ttl") &&
      isServerHeader("Nats-Rollup") &&
      !isServerHeader("nats") &&
      !isServerHeader("x-nats-"),
  );
  assert.equal(usableReplyPrefix("agentnet.reply", "acct_1"), "agentnet.reply");
  assert.equal(usableReplyPrefix("agentnet.reply", "a.b"), undefined);
  assert.equal(usableReplyPrefix(undefined, "acct_1"), undefined);
});
