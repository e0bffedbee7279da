"""An agent in plain Python over nats-py that passes `agentnet conformance agent`: the guards of docs/PROTOCOL.md section 12.

It shares no code with this project but agent.py beside it, which joins the network. Read it as an example of what an agent
in another language has to do, and see docs/CONFORMANCE.md for the handler that the checks need.

    conforming.py URL USERNAME [--capability NAME] [--original]

It stops when stdin closes. `--original` makes it do as the original agents did where section 0 of the protocol decided
otherwise.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from collections import deque
from datetime import datetime, timedelta, timezone

from agent import Agent, now, say, stamp

MAX_PAYLOAD = 256_000
MAX_PENDING = 100
CONCURRENCY = 4
WORK_TIMEOUT = 30.0
CLOCK_SKEW = timedelta(seconds=2)
DEDUPE_TTL = 600.0
RATE, BURST = 5.0, 10
FAILURES, OPEN_FOR = 5, 15.0

DETAILS = {
    "schema_version_invalid": "message schema_version is not supported",
    "unsupported_schema_version": "message schema_version is not supported",
    "service_degraded": "circuit breaker open",
    "missing_ttl": "message ttl invalid or expired",
    "expired": "message ttl invalid or expired",
    "rate_limited": "sender rate exceeded",
    "busy": "agent backlog is full",
    "timeout": "handler timed out",
    "handler_error": "handler raised an exception",
}


class Refused(Exception):
    def __init__(self, code, detail=None):
        super().__init__(code)
        self.code, self.detail = code, detail or DETAILS[code]


def text(value):
    """Text or nothing; numbers become text."""
    if not value:
        return None
    return value if isinstance(value, str) else str(value)


def moment(value):
    try:
        parsed = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except (AttributeError, ValueError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def integer(value):
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def trace(message):
    return text(message.get("trace_id")) or text(message.get("message_id"))


class Remembered:
    """Texts that were seen less than DEDUPE_TTL ago."""

    def __init__(self):
        self.known, self.order = set(), deque()

    def __contains__(self, item):
        while self.order and self.order[0][0] <= time.monotonic():
            self.known.discard(self.order.popleft()[1])
        return item in self.known

    def add(self, item):
        if item and item not in self:
            self.known.add(item)
            self.order.append((time.monotonic() + DEDUPE_TTL, item))


class Conforming(Agent):
    def __init__(self, url, username, original):
        super().__init__(url, username)
        self.original = original
        self.skew = timedelta() if original else CLOCK_SKEW
        self.ids, self.keys, self.buckets = Remembered(), Remembered(), {}
        self.failures, self.open_until = 0, 0.0
        self.backlog = asyncio.Queue(MAX_PENDING)

    # What comes: size, form, the checks in their order, then the backlog.

    async def on_message(self, received):
        reply, size = received.reply or None, len(received.data)
        message = {}
        try:
            try:
                message = self.decode(received.data)
            except (ValueError, OverflowError, RecursionError) as error:
                if self.original:
                    return
                raise Refused("message_invalid", str(error) or "the message cannot be read") from error
            reply = reply or self.written_reply(message)
            if size > MAX_PAYLOAD:
                if self.original:
                    return
                raise Refused(
                    "payload_too_large", f"message of {size} bytes exceeds the receiver's limit of {MAX_PAYLOAD} bytes"
                )
            self.admit(message)
        except Refused as refused:
            return await self.refuse(message, reply, refused)
        await self.acknowledge(message, "accepted")
        self.backlog.put_nowait((message, reply))

    def decode(self, body):
        message = json.loads(body.decode("utf-8")) if body else {}
        if not isinstance(message, dict):
            raise ValueError("the body must be a JSON object")
        for member in ("message_id", "from_account_id", "from_session_tag", "trace_id", "thread_id", "idempotency_key"):
            message[member] = text(message.get(member))
        ttl = message.get("ttl_ms")
        # An infinite number raises OverflowError.
        message["ttl_ms"] = None if ttl is None else integer(ttl)
        if not message["thread_id"] and trace(message):
            message["thread_id"] = f"thread_{trace(message).lower()}"
        return message

    def written_reply(self, message):
        subject = message.get("reply_to")
        if not isinstance(subject, str) or not subject:
            return None
        ours = re.fullmatch(r"(_INBOX|agentnet\.reply)(\.[^.*>\s]+)+", subject)
        return subject if ours or self.original else None

    def admit(self, message):
        version = (text(message.get("schema_version")) or "1.0").strip() or "1.0"
        try:
            major = int(version.split(".")[0])
        except ValueError:
            raise Refused("schema_version_invalid") from None
        if major != 1:
            raise Refused("unsupported_schema_version")
        if time.monotonic() < self.open_until:
            raise Refused("service_degraded")
        self.check_time_to_live(message)
        self.check_rate(message)
        message_id, scope = message["message_id"], self.scope(message)
        if message_id and message_id in self.ids:
            raise Refused("duplicate", "message_id has already been processed")
        if scope and scope in self.keys:
            raise Refused("duplicate", "idempotency_key has already been processed")
        if self.backlog.full():
            raise Refused("busy")
        # Only now is a slot certain: a busy refusal burns neither id nor key.
        self.ids.add(message_id)
        self.keys.add(scope)

    def check_time_to_live(self, message):
        sent, ttl = moment(message.get("sent_at")), message["ttl_ms"]
        ends = [moment(message.get("expires_at"))]
        if sent and ttl is not None:
            ends.append(sent + timedelta(milliseconds=max(0, ttl)))
        ends = [end for end in ends if end]
        if not ends:
            raise Refused("missing_ttl")
        if now() >= min(ends) + self.skew:
            raise Refused("expired")

    def check_rate(self, message):
        sender = message["from_session_tag"] or message["from_account_id"] or text(message.get("from_agent")) or "unknown"
        tokens, last = self.buckets.get(sender, (BURST, time.monotonic()))
        current = time.monotonic()
        tokens = min(BURST, tokens + (current - last) * RATE)
        self.buckets[sender] = (tokens - 1 if tokens >= 1 else tokens, current)
        if tokens < 1:
            raise Refused("rate_limited")

    def scope(self, message):
        key = (message["idempotency_key"] or "").strip()
        if not key:
            return None
        senders = (message["from_account_id"], message["from_session_tag"], text(message.get("from_agent")))
        sender = next((name.strip() for name in senders if name and name.strip()), "")
        return f"{sender}|{self.account}|{key}"

    # What goes back: receipts (section 5.2), error replies (5.4).

    async def acknowledge(self, message, status, refused=None):
        sender = message.get("from_account_id")
        if not sender or not sender.strip():
            return
        record = {
            "message_id": message["message_id"] or "",
            "status": status,
            "event_at": stamp(now()),
            "from_account_id": self.account,
            "from_session_tag": self.info["session_tag"],
            "to_account_id": sender,
            "trace_id": trace(message),
            "thread_id": message["thread_id"],
            "parent_message_id": text(message.get("parent_message_id")),
            "code": refused and refused.code,
            "detail": refused and refused.detail,
        }
        record = {name: value for name, value in record.items() if value is not None}
        await self.nc.publish(f"account.{sender}.receipts", self.encode(record))

    async def refuse(self, message, reply, refused):
        await self.acknowledge(message, "rejected", refused)
        if not reply:
            return
        payload = {
            "error": refused.code,
            "detail": refused.detail,
            "request_message_id": message.get("message_id") or "",
            "trace_id": trace(message) or "",
        }
        await self.answer(message, reply, "error", payload, text(message.get("from_agent")) or "")

    async def answer(self, message, reply, kind, payload, to_agent):
        sender = message.get("from_account_id")
        envelope = self.envelope(
            to_agent,
            payload,
            kind=kind,
            to_account=sender if sender and sender.strip() else None,
            thread=message.get("thread_id"),
            parent=message.get("message_id"),
            trace=trace(message),
        )
        await self.nc.publish(reply, self.encode(envelope))

    # The workers, and the handler that the checks need.

    async def work(self):
        while True:
            message, reply = await self.backlog.get()
            try:
                if time.monotonic() < self.open_until:
                    raise Refused("service_degraded")
                try:
                    await asyncio.wait_for(self.handle(message, reply), WORK_TIMEOUT)
                except asyncio.TimeoutError:
                    self.failed()
                    raise Refused("timeout") from None
                except Exception:
                    self.failed()
                    raise Refused("handler_error") from None
                self.failures = 0
                await self.acknowledge(message, "processed")
            except Refused as refused:
                await self.refuse(message, reply, refused)

    def failed(self):
        self.failures += 1
        if self.failures >= FAILURES:
            self.failures, self.open_until = 0, time.monotonic() + OPEN_FOR

    async def handle(self, message, reply):
        payload = message.get("payload")
        told = payload.get("do") if isinstance(payload, dict) else None
        if told == "fail":
            raise RuntimeError("told to fail")
        if told == "hang":
            await asyncio.Event().wait()
        if told == "wait":
            await asyncio.sleep(max(0.0, (moment(payload["until"]) - now()).total_seconds()))
        if reply:
            to_agent = message["from_account_id"] or text(message.get("from_agent")) or "unknown"
            await self.answer(message, reply, "reply", payload, to_agent)
        if told == "reply_and_fail":
            raise RuntimeError("told to fail")

    async def serve(self, capability):
        await self.start([capability] if capability else [])
        workers = [asyncio.create_task(self.work()) for _ in range(CONCURRENCY)]
        inbox = f"account.{self.account}.inbox"
        await self.nc.subscribe(inbox, queue=f"agentnet-account-{self.account}", cb=self.on_message)
        if capability:
            subject = f"agent.capability.{capability}"
            await self.nc.subscribe(subject, queue=f"agentnet-capability-{capability}", cb=self.on_message)
        await self.hello()
        say("ready", account_id=self.account, username=self.info["username"])
        heartbeat = asyncio.create_task(self.beat())
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for task in (*workers, heartbeat):
            task.cancel()
        await self.stop()

    async def beat(self):
        while True:
            await asyncio.sleep(10)
            await self.hello()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("url")
    parser.add_argument("username")
    parser.add_argument("--capability")
    parser.add_argument("--original", action="store_true")
    given = parser.parse_args()
    asyncio.run(run(given))


async def run(given):
    await Conforming(given.url, given.username, given.original).serve(given.capability)


main()
