"""A foreign agent in plain Python over nats-py, as the wire of docs/PROTOCOL.md asks of the original's agents.

It shares no code with this project. The tests run it against our registry and our agents, and read the JSON lines that it
prints.

    agent.py serve URL USERNAME [--typescript]   answer messages until stdin closes
    agent.py talk URL USERNAME TARGET THREAD     send, request and call a capability, then read the thread back

`--typescript` makes it behave as the original's TypeScript client: no receipts, timestamps with milliseconds, no queue
group, text that is not escaped to ASCII.
"""

import asyncio
import json
import sys
import uuid
from datetime import datetime, timedelta, timezone

import nats


def now():
    return datetime.now(timezone.utc)


def stamp(moment):
    return moment.isoformat().replace("+00:00", "Z")


def say(event, **members):
    print(json.dumps({"event": event, **members}), flush=True)


async def settled(nc):
    """Waits until the server has done what was asked of it; the ping of nats-py's flush overtakes what is still to be written."""
    probe = nc.new_inbox()
    probes = await nc.subscribe(probe)
    await nc.publish(probe, b"")
    await probes.next_msg(timeout=20)
    await probes.unsubscribe()


class Agent:
    def __init__(self, url, username, typescript=False):
        # The user part of the URL is the server's token.
        scheme, rest = url.split("://", 1)
        token, address = rest.rsplit("@", 1)
        self.address, self.token = f"{scheme}://{address}", token
        self.username, self.typescript = username, typescript
        self.receipts = {}

    def encode(self, record):
        return json.dumps(record, separators=(",", ":"), ensure_ascii=not self.typescript).encode()

    def stamp(self, moment):
        if self.typescript:
            return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
        return stamp(moment)

    async def call(self, rpc, request, timeout=5):
        reply = await self.nc.request(f"registry.{rpc}", self.encode(request), timeout=timeout)
        return json.loads(reply.data)

    async def start(self, capabilities=()):
        self.nc = await nats.connect(self.address, token=self.token, name=f"agentnet-{self.username}")
        self.info = {
            "agent_id": self.username,
            "name": f"Python {self.username}",
            "capabilities": list(capabilities),
            "metadata": {"language": "python", "n": 1.0},
            "username": self.username,
            "last_seen": stamp(now()),
        }
        registered = await self.call("register", self.info)
        assert "error" not in registered, registered
        for member in ("account_id", "username", "session_tag"):
            self.info[member] = registered[member]
        assert isinstance(registered["heartbeat_interval"], float), registered
        assert isinstance(registered["ttl_seconds"], float), registered
        self.account = registered["account_id"]
        self.heartbeat_interval = registered["heartbeat_interval"]
        await self.nc.subscribe(
            f"account.{self.account}.receipts", queue=f"agentnet-receipts-{self.account}", cb=self.on_receipt
        )

    async def hello(self):
        await self.nc.publish("registry.hello", self.encode({**self.info, "last_seen": stamp(now())}))
        await settled(self.nc)

    async def heartbeat(self):
        while True:
            await asyncio.sleep(self.heartbeat_interval)
            await self.hello()

    async def stop(self):
        goodbye = {"agent_id": self.username, "session_tag": self.info["session_tag"], "seen_at": stamp(now())}
        await self.nc.publish("registry.goodbye", self.encode(goodbye))
        await self.nc.drain()

    def envelope(self, to_agent, payload, kind="direct", to_account=None, thread=None, parent=None, trace=None):
        moment, message_id = now(), uuid.uuid4().hex
        record = {
            "message_id": message_id,
            "from_agent": self.username,
            "to_agent": to_agent,
            "payload": payload,
            "sent_at": self.stamp(moment),
            "kind": kind,
            "schema_version": "1.1",
            "from_session_tag": self.info["session_tag"],
            "from_account_id": self.account,
            "to_account_id": to_account,
            "ttl_ms": 30000,
            "expires_at": self.stamp(moment + timedelta(milliseconds=30000)),
            "trace_id": trace or message_id,
            "thread_id": thread or f"thread_{message_id}",
            "parent_message_id": parent,
        }
        return {name: value for name, value in record.items() if value is not None}

    async def on_receipt(self, message):
        receipt = json.loads(message.data)
        say("receipt", receipt=receipt)
        waiting = self.receipts.pop(receipt["message_id"], None)
        if waiting and not waiting.done():
            waiting.set_result(receipt)

    async def receipt(self, received, status):
        sender = received.get("from_account_id")
        if self.typescript or not sender:
            return
        record = {
            "message_id": received["message_id"],
            "status": status,
            "event_at": stamp(now()),
            "from_account_id": self.account,
            "from_session_tag": self.info["session_tag"],
            "to_account_id": sender,
            "trace_id": received.get("trace_id") or received["message_id"],
            "thread_id": received.get("thread_id"),
        }
        await self.nc.publish(
            f"account.{sender}.receipts", self.encode({k: v for k, v in record.items() if v is not None})
        )

    async def on_message(self, message):
        received = json.loads(message.data)
        say("message", subject=message.subject, reply=message.reply, envelope=received)
        await self.receipt(received, "accepted")
        if message.reply:
            reply = self.envelope(
                received.get("from_account_id") or received["from_agent"],
                {"echo": received["payload"], "text": "hé 😀"},
                kind="reply",
                to_account=received.get("from_account_id"),
                thread=received.get("thread_id"),
                parent=received["message_id"],
                trace=received.get("trace_id"),
            )
            await self.nc.publish(message.reply, self.encode(reply))
        await self.receipt(received, "processed")

    async def serve(self):
        await self.start(["python"])
        group = "" if self.typescript else f"agentnet-account-{self.account}"
        await self.nc.subscribe(f"account.{self.account}.inbox", queue=group, cb=self.on_message)
        if not self.typescript:
            await self.nc.subscribe("agent.capability.python", queue="agentnet-capability-python", cb=self.on_message)
        await self.hello()
        heartbeat = asyncio.create_task(self.heartbeat())
        say("ready", account_id=self.account, username=self.info["username"])
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        heartbeat.cancel()
        await self.stop()

    async def send(self, account, payload, thread):
        envelope = self.envelope(account, payload, to_account=account, thread=thread)
        self.receipts[envelope["message_id"]] = waiting = asyncio.get_running_loop().create_future()
        await self.nc.publish(f"account.{account}.inbox", self.encode(envelope))
        return await asyncio.wait_for(waiting, 5)

    async def talk(self, target, thread):
        await self.start()
        await self.hello()
        account = (await self.call("resolve_account", {"username": target}))["account_id"]
        payload = {"b": 2, "a": 12345678901234567890123, "f": 1.50, "s": "hé 😀"}
        say("sent", receipt=await self.send(account, payload, thread))
        request = self.envelope(account, {"text": "ping"}, kind="request", to_account=account, thread=thread)
        reply = await self.nc.request(f"account.{account}.inbox", self.encode(request), timeout=5)
        say("reply", envelope=json.loads(reply.data))
        request = self.envelope("capability:rust", {"text": "cap"}, kind="request", thread=thread)
        reply = await self.nc.request("agent.capability.rust", self.encode(request), timeout=5)
        say("capability_reply", envelope=json.loads(reply.data))
        for _ in range(100):
            history = await self.call("thread_messages", {"thread_id": thread, "limit": 50})
            # One message, two requests, two replies.
            if len(history["messages"]) >= 5:
                break
            await asyncio.sleep(0.1)
        say("history", reply=history)
        say("status", reply=await self.call("thread_status", {"thread_id": thread}))
        say("search", reply=await self.call("search", {"query": target, "capability": None, "limit": 20}))
        say("list", reply=await self.call("list", {}))
        await self.stop()


def main():
    command, url, username, *rest = sys.argv[1:]
    if command == "serve":
        asyncio.run(Agent(url, username, "--typescript" in rest).serve())
    elif command == "talk":
        asyncio.run(Agent(url, username).talk(*rest))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
