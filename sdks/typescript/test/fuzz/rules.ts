/** Questions about rules: usernames, targets, times, versions, subjects. */

import {
  isReplySubject,
  isRoutable,
  isServerHeader,
  judgeExpiry,
  judgeSchemaVersion,
  keyFileName,
  mayReplyTo,
  normaliseUsername,
  parseNodeTarget,
  parseSdkTarget,
  parseTarget,
  type Target,
  Timestamp,
  UsernameError,
  usableUsername,
  usernameLookupKey,
} from "../../src/protocol/index.js";
import { attempt, type Kind } from "./kind.js";

export const username: Kind = {
  weight: 3,
  make: (random) => [random.text()],
  answer: (text: string) => {
    let outcome = "usable";
    try {
      usableUsername(text);
    } catch (error) {
      if (!(error instanceof UsernameError)) throw error;
      outcome = error.outcome;
    }
    return [normaliseUsername(text), usernameLookupKey(text), outcome];
  },
};

export const target: Kind = {
  weight: 2,
  make: (random) => [
    random.pick(["", " ", "@", "account:", "CAPABILITY:", "username:", "Username: @", "acct_"]) + random.text(),
  ],
  answer: (text: string) => {
    const shown = (parse: () => Target) => {
      const [value, error] = attempt(() => {
        const parsed = parse();
        return [`${parsed.kind} ${parsed.value}`];
      });
      return value ?? error;
    };
    return [
      shown(() => parseNodeTarget(text, "send")),
      shown(() => parseNodeTarget(text, "request")),
      shown(() => parseSdkTarget(text)),
      shown(() => parseTarget(text)),
    ];
  },
};

export const keyFile: Kind = {
  weight: 1,
  make: (random) => [random.text(), random.text()],
  answer: (name: string, agentId: string) => [keyFileName(name, agentId)],
};

export const time: Kind = {
  weight: 6,
  make: (random) => [random.time()],
  answer: (text: string) => [Timestamp.parse(text)?.toString(), Timestamp.parseExact(text)?.toString()],
};

export const expiry: Kind = {
  weight: 3,
  make: (random) => {
    const at = () => random.pick([`2026-02-21T08:00:0${random.below(10)}.5Z`, random.time(), ""]);
    const ttl = random.pick(["", "0", "-1", String(random.below(9000)), "170141183460469231731687303715884105727"]);
    const now = 1_771_660_800_000_000n + BigInt(random.below(10_000_000));
    return [at(), ttl, at(), String(now), random.pick(["0", "2000"])];
  },
  answer: (sentAt: string, ttl: string, expiresAt: string, now: string, skew: string) => {
    const lifetime = {
      sentAt,
      ...(ttl === "" ? {} : { ttlMs: BigInt(ttl) }),
      ...(expiresAt === "" ? {} : { expiresAt }),
    };
    return [judgeExpiry(lifetime, Timestamp.fromMicros(BigInt(now)), Number(skew))?.code];
  },
};

export const version: Kind = {
  weight: 1,
  make: (random) => [random.pick(["1", "1.1", " 1.x ", "2.0", "", "01.1", "1_0", "٣", random.text()])],
  answer: (text: string) => {
    const judged = judgeSchemaVersion(text);
    return "version" in judged ? [judged.version] : [undefined, judged.reject.code];
  },
};

export const subject: Kind = {
  weight: 1,
  make: (random) => [
    random.pick(["", "_INBOX.", "agentnet.reply.", "account.", "$JS.", "registry.", "agent", "Nats-", "NATS-"]) +
      random.text(),
  ],
  answer: (text: string) =>
    [isRoutable(text), isReplySubject(text), mayReplyTo(text), isServerHeader(text)].map((yes) => String(yes)),
};
