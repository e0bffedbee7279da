"""The same round trip in plain Python on nats-py, with the same guards: what the package is measured against.

It is a small and straight implementation of PROTOCOL.md sections 11 and 12, not the original's code: no registry look-ups but
the registration, no heartbeat, no signatures.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import nats


def stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def encode(record: dict[str, Any]) -> bytes:
    return json.dumps({k: v for k, v in record.items() if v is not None}, separators=(",", ":")).encode()


@dataclass(slots=True)
class Message:
    message_id: str
    from_agent: str
    payload: Any
    sent_at: str
    kind: str
    schema_version: str
    from_account_id: str | None
    from_session_tag: str | None
    ttl_ms: int | None
    expires_at: str | None
    trace_id: str | None
    thread_id: str | None
    parent_message_id: str | None
    idempotency_key: str | None
    reply_to: str | None

    @classmethod
    def read(cls, data: bytes, reply: str) -> Message:
        record = json.loads(data)
        return cls(
            str(record.get("message_id") or ""),
            str(record.get("from_agent") or ""),
            record.get("payload"),
            str(record.get("sent_at") or ""),
            str(record.get("kind") or "direct"),
            str(record.get("schema_version") or "1.0"),
            record.get("from_account_id"),
            record.get("from_session_tag"),
            record.get("ttl_ms"),
            record.get("expires_at"),
            record.get("trace_id"),
            record.get("thread_id"),
            record.get("parent_message_id"),
            record.get("idempotency_key"),
            reply or record.get("reply_to"),
        )


class ReferenceNode:
    def __init__(self, name: str, url: str, **options: Any) -> None:
        self.name, self.options = name, options
        token, address = url.removeprefix("nats://").split("@")
        self.address, self.token = f"nats://{address}", token
        self.receipts: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self.seen: dict[str, float] = {}
        self.buckets: dict[str, tuple[float, float]] = {}
        self.failures, self.open_until = 0, 0.0
        self.pending: asyncio.Queue[Message] = asyncio.Queue(options["max_pending"])
        self.handler: Callable[[Message], Awaitable[None] | None]

    def on_message(self, handler: Any) -> Any:
        self.handler = handler
        return handler

    async def start(self) -> None:
        self.nc = await nats.connect(self.address, token=self.token, pending_size=64 * 1024 * 1024)
        info = {"agent_id": self.name, "name": self.name, "username": self.name, "capabilities": [], "metadata": {}}
        registered = json.loads((await self.nc.request("registry.register", encode(info), timeout=5)).data)
        self.account_id: str = registered["account_id"]
        self.session_tag: str = registered["session_tag"]
        group = f"agentnet-account-{self.account_id}"
        limits = {"pending_msgs_limit": 10**7, "pending_bytes_limit": 10**10}
        await self.nc.subscribe(f"account.{self.account_id}.receipts", cb=self.on_receipt, **limits)
        await self.nc.subscribe(f"account.{self.account_id}.inbox", queue=group, cb=self.on_inbox, **limits)
        self.workers = [asyncio.create_task(self.work()) for _ in range(self.options["max_concurrency"])]
        hello = {**info, "account_id": self.account_id, "session_tag": self.session_tag}
        await self.nc.publish("registry.hello", encode(hello))
        # Behind what was asked before; the ping of flush would overtake it.
        probe = self.nc.new_inbox()
        probes = await self.nc.subscribe(probe)
        await self.nc.publish(probe, b"")
        await probes.next_msg(timeout=20)

    async def close(self) -> None:
        for worker in self.workers:
            worker.cancel()
        await self.nc.drain()

    def envelope(self, account_id: str | None, payload: Any, kind: str, request: Message | None) -> dict[str, Any]:
        moment = datetime.now(timezone.utc)
        # As the package's, it begins with the time: a store takes such ids more easily.
        message_id = f"{int(moment.timestamp() * 1000):012x}{uuid.uuid4().hex[12:]}"
        trace = (request and (request.trace_id or request.message_id)) or message_id
        return {
            "message_id": message_id,
            "from_agent": self.name,
            "to_agent": account_id,
            "payload": payload,
            "sent_at": stamp(moment),
            "kind": kind,
            "schema_version": "1.1",
            "from_session_tag": self.session_tag,
            "from_account_id": self.account_id,
            "to_account_id": account_id,
            "ttl_ms": 30000,
            "expires_at": stamp(moment + timedelta(milliseconds=30000)),
            "trace_id": trace,
            "thread_id": (request and request.thread_id) or f"thread_{message_id}",
            "parent_message_id": request and request.message_id,
        }

    async def send_to_account(self, account_id: str, payload: Any) -> str:
        envelope = self.envelope(account_id, payload, "direct", None)
        body, message_id = encode(envelope), str(envelope["message_id"])
        assert len(body) <= 256_000
        waiting_receipt = self.receipts[message_id] = asyncio.get_running_loop().create_future()
        try:
            for _ in range(3):
                await self.nc.publish(f"account.{account_id}.inbox", body)
                try:
                    receipt = await asyncio.wait_for(asyncio.shield(waiting_receipt), 1.5)
                except asyncio.TimeoutError:
                    continue
                if receipt["status"] in ("accepted", "processed") or receipt.get("code") == "duplicate":
                    return message_id
                raise RuntimeError(f"delivery_rejected {receipt.get('code')}: {receipt.get('detail')}")
            raise RuntimeError(f"delivery_ack_timeout message_id={message_id}")
        finally:
            del self.receipts[message_id]

    async def request_account(self, account_id: str, payload: Any, timeout: float) -> Message:
        body = encode(self.envelope(account_id, payload, "request", None))
        assert len(body) <= 256_000
        reply = await self.nc.request(f"account.{account_id}.inbox", body, timeout=timeout)
        return Message.read(reply.data, "")

    async def reply(self, request: Message, payload: Any) -> None:
        assert request.reply_to
        await self.nc.publish(
            request.reply_to, encode(self.envelope(request.from_account_id, payload, "reply", request))
        )

    async def on_receipt(self, message: Any) -> None:
        receipt = json.loads(message.data)
        waiting_receipt = self.receipts.get(receipt["message_id"])
        if waiting_receipt is not None and not waiting_receipt.done():
            waiting_receipt.set_result(receipt)

    async def receipt(self, message: Message, status: str, code: str | None = None, detail: str | None = None) -> None:
        record = {
            "message_id": message.message_id,
            "status": status,
            "event_at": stamp(datetime.now(timezone.utc)),
            "from_account_id": self.account_id,
            "from_session_tag": self.session_tag,
            "to_account_id": message.from_account_id,
            "trace_id": message.trace_id or message.message_id,
            "thread_id": message.thread_id,
            "parent_message_id": message.parent_message_id,
            "code": code,
            "detail": detail,
        }
        await self.nc.publish(f"account.{message.from_account_id}.receipts", encode(record))

    def judge(self, message: Message, size: int) -> str | None:
        now = time.monotonic()
        if size > 256_000:
            return "payload_too_large"
        if int(message.schema_version.split(".")[0]) != 1:
            return "unsupported_schema_version"
        if now < self.open_until:
            return "service_degraded"
        expiries = []
        if message.expires_at:
            expiries.append(datetime.fromisoformat(message.expires_at.replace("Z", "+00:00")))
        if message.ttl_ms is not None and message.sent_at:
            sent = datetime.fromisoformat(message.sent_at.replace("Z", "+00:00"))
            expiries.append(sent + timedelta(milliseconds=message.ttl_ms))
        if not expiries:
            return "missing_ttl"
        if datetime.now(timezone.utc) >= min(expiries):
            return "expired"
        sender = message.from_session_tag or message.from_account_id or message.from_agent
        rate, most = self.options["rate_limit_per_sender_per_sec"], float(self.options["rate_limit_burst"])
        tokens, last = self.buckets.get(sender, (most, now))
        tokens = min(most, tokens + (now - last) * rate)
        if tokens < 1:
            self.buckets[sender] = (tokens, now)
            return "rate_limited"
        self.buckets[sender] = (tokens - 1, now)
        key = message.idempotency_key and f"{message.from_account_id}|{self.account_id}|{message.idempotency_key}"
        if message.message_id in self.seen or key in self.seen:
            return "duplicate"
        if self.pending.full():
            return "busy"
        self.seen[message.message_id] = now
        if key:
            self.seen[key] = now
        # One in a while, not for every message.
        if len(self.seen) % 10_000 == 0:
            oldest = now - self.options["dedupe_ttl_seconds"]
            self.seen = {k: at for k, at in self.seen.items() if at > oldest}
        return None

    async def on_inbox(self, raw: Any) -> None:
        message = Message.read(raw.data, raw.reply)
        refused = self.judge(message, len(raw.data))
        if refused is not None:
            await self.receipt(message, "rejected", refused, refused)
            return
        await self.receipt(message, "accepted")
        self.pending.put_nowait(message)

    async def work(self) -> None:
        while True:
            message = await self.pending.get()
            try:
                handling = self.handler(message)
                if handling is not None:
                    await asyncio.wait_for(handling, 30.0)
            except Exception:
                self.failures += 1
                if self.failures >= 5:
                    self.failures, self.open_until = 0, time.monotonic() + 15.0
                await self.receipt(message, "rejected", "handler_error", "handler raised an exception")
            else:
                self.failures = 0
                await self.receipt(message, "processed")
