import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonView, RawJson } from "../../../src/json/index.js";
import { leaseEnd, outOfOrder } from "../../../src/node/mailbox/lease-end.js";
import { Outbox } from "../../../src/node/mailbox/outbox.js";
import { Turns } from "../../../src/node/mailbox/turns.js";
import {
  compose,
  decodeEnvelope,
  encodeEnvelope,
  envelopeToObject,
  mailboxErrorOf,
  mayReplyTo,
  REJECT,
  readMailboxAck,
  Timestamp,
} from "../../../src/protocol/index.js";

test("a message asks with true or an object", () => {
  const cases: [member: string, ack: string | undefined][] = [
    ["true", "accepted"],
    ["{}", "accepted"],
    ['{"ack":" PROCESSED "}', "processed"],
    ['{"ack":7}', "accepted"],
    ["false", undefined],
    ["null", undefined],
    ["1", undefined],
    ['"true"', undefined],
    ["[]", undefined],
  ];
  for (const [member, ack] of cases) assert.equal(readMailboxAck(JsonView.parse(member)), ack, member);
});

test("a draft's mailbox is a member of the message, which is signed without it", () => {
  const sender = { agentId: "a", accountId: "acct_a", sessionTag: "s" };
  const draft = { toAgent: "acct_b", toAccountId: "acct_b", payload: RawJson.EMPTY_OBJECT };
  const now = Timestamp.now();
  assert.ok(!encodeEnvelope(compose(draft, sender, "m", now)).includes("mailbox"));
  for (const mailbox of ["accepted", "processed"] as const) {
    const envelope = compose({ ...draft, mailbox }, sender, "m", now);
    assert.equal(decodeEnvelope(encodeEnvelope(envelope)).mailbox, mailbox);
    assert.deepEqual(envelopeToObject(envelope).mailbox, mailbox === "accepted" ? true : { ack: "processed" });
  }
});

test("an error of the mailbox is a code and a sentence", () => {
  assert.deepEqual(mailboxErrorOf("mailbox_full: it: is full\nnow"), {
    code: "mailbox_full",
    detail: "it: is full\nnow",
  });
  assert.deepEqual(mailboxErrorOf("auth_required"), { code: "auth_required", detail: "" });
  for (const text of ["not_found", "account_id is required", "mailbox_full and more", "MAILBOX_FULL: x"]) {
    assert.equal(mailboxErrorOf(text), undefined, text);
  }
});

test("replies do not go to the subjects of events", () => {
  assert.equal(mayReplyTo("agentnet.events.acct_a.mailbox"), false);
  assert.equal(mayReplyTo("agentnet.reply.acct_a.x"), true);
});

test("the end of a lease follows from the end of the handling", () => {
  assert.deepEqual(leaseEnd(undefined, 1), { outcome: "done" });
  assert.deepEqual(leaseEnd(REJECT.duplicateMessage, 1), { outcome: "done" });
  const delays = [
    [REJECT.shuttingDown, 1, 0],
    [REJECT.busy, 1, 1_000],
    [REJECT.rateLimited, 3, 1_000],
    [REJECT.serviceDegraded, 1, 5_000],
    [REJECT.handlerError, 1, 5_000],
    [REJECT.handlerError, 3, 20_000],
    [REJECT.timeout, 100, 300_000],
  ] as const;
  for (const [reject, attempt, delayMs] of delays) {
    assert.deepEqual(leaseEnd(reject, attempt), { outcome: "retry", delayMs, ...reject });
  }
  assert.deepEqual(leaseEnd(REJECT.expired, 1), { outcome: "dead", ...REJECT.expired });
  const long = leaseEnd(REJECT.messageInvalid("€".repeat(2_000)), 1);
  assert.ok(new TextEncoder().encode(long.detail).length <= 1_024);
  assert.deepEqual([outOfOrder(7).outcome, outOfOrder(7).delayMs, outOfOrder(7).code], ["retry", 7, "out_of_order"]);
});

test("the outbox knows the accounts for which messages wait, and forgets the oldest of too many", () => {
  const outbox = new Outbox();
  assert.equal(outbox.isQueuing("a"), false);
  outbox.queued("a");
  assert.equal(outbox.isQueuing("a"), true);
  outbox.emptied("a");
  assert.equal(outbox.isQueuing("a"), false);
  outbox.queued("first");
  outbox.queued("used");
  for (let number = 0; number < 9_999; number += 1) {
    outbox.queued(`other ${number}`);
    outbox.queued("used");
  }
  assert.deepEqual([outbox.isQueuing("first"), outbox.isQueuing("used")], [false, true]);
});

test("turns with one key follow each other as they were taken, and those of another key are independent", async () => {
  const turns = new Turns<string>();
  const order: string[] = [];
  const [first, second, third] = [turns.take("a"), turns.take("a"), turns.take("a")];
  assert.equal(await turns.take("b").begin(), undefined);
  assert.equal(turns.isWaitedFor("a"), false);
  const last = third.begin().then((left) => order.push(`third ${left}`));
  assert.equal(turns.isWaitedFor("a"), true);
  const middle = second.begin().then((left) => order.push(`second ${left}`));
  third.end("early");
  assert.equal(turns.isWaitedFor("a"), true, "the second one waits still");
  assert.equal(await first.begin(), undefined);
  first.end();
  first.end("not this");
  await middle;
  second.end("of the second");
  await last;
  assert.deepEqual(order, ["second undefined", "third of the second"]);
  assert.equal(turns.isWaitedFor("a"), false);
  assert.equal(await turns.take("a").begin(), undefined, "nothing is left of a key that is not in use");
});
