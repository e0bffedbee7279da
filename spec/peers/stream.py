"""Streams in plain Python over nats-py, as docs/STREAMING_PROTOCOL.md describes them. It shares no code with this project.

    stream.py read URL ACCOUNT_ID TEXT [PIECES]   ask an agent and print its stream; with PIECES, cancel after so many
    stream.py serve URL USERNAME                  answer requests word by word until stdin closes

It prints JSON lines, which the tests read.
"""

import asyncio
import json
import sys
import uuid
from datetime import datetime, timedelta, timezone

import nats

IDLE_TIMEOUT = 30


def say(event, **members):
    print(json.dumps({"event": event, **members}), flush=True)


def message(to, payload, kind, request=None):
    now = datetime.now(timezone.utc)
    message_id = uuid.uuid4().hex
    request = request or {}
    return {
        "message_id": message_id,
        "from_agent": "python",
        "to_agent": to,
        "payload": payload,
        "sent_at": now.isoformat(),
        "kind": kind,
        "schema_version": "1.1",
        "from_account_id": ACCOUNT,
        "ttl_ms": 30000,
        "expires_at": (now + timedelta(seconds=30)).isoformat(),
        "trace_id": request.get("trace_id") or request.get("message_id") or message_id,
        "thread_id": request.get("thread_id") or f"thread_{message_id}",
        **({"parent_message_id": request["message_id"]} if request else {}),
    }


ACCOUNT = "acct_python"


async def settled(nc):
    """Waits until the server has done what was asked of it; the ping of nats-py's flush overtakes what is still to be written."""
    probe = nc.new_inbox()
    probes = await nc.subscribe(probe)
    await nc.publish(probe, b"")
    await probes.next_msg(timeout=20)
    await probes.unsubscribe()


async def read(nc, account_id, text, pieces):
    inbox = nc.new_inbox()
    replies = await nc.subscribe(inbox)
    request = message(account_id, {"text": text}, "request")
    await nc.publish(f"account.{account_id}.inbox", json.dumps(request).encode(), reply=inbox)
    expected, held, given = 0, {}, 0
    while True:
        reply = json.loads((await replies.next_msg(timeout=IDLE_TIMEOUT)).data)
        frame = reply["payload"]
        if reply["kind"] == "error":
            return say("failed", code=frame["error"])
        if not isinstance(frame, dict) or not str(frame.get("type", "")).startswith("stream_"):
            return say("reply", payload=frame)
        if frame["seq"] >= expected:
            held.setdefault(frame["seq"], frame)
        while expected in held:
            frame = held.pop(expected)
            expected += 1
            if frame["type"] == "stream_delta":
                say("delta", seq=frame["seq"], delta=frame["delta"])
                given += 1
            elif frame["type"] == "stream_end":
                return say("end", result=frame.get("result"))
            elif frame["type"] == "stream_error":
                return say("failed", code=frame["error"])
        if pieces and given >= pieces:
            cancel = {"type": "stream_cancel", "stream_id": frame["stream_id"]}
            body = message(account_id, cancel, "stream", request)
            await nc.publish(f"{inbox}.cancel", json.dumps(body).encode())
            return say("cancelled")


async def answer(nc, msg):
    request = json.loads(msg.data)
    stream_id = uuid.uuid4().hex
    cancelled = asyncio.Event()
    seq = 0

    async def heard(_):
        cancelled.set()

    async def frame(kind, **members):
        nonlocal seq
        payload = {"type": kind, "stream_id": stream_id, "seq": seq, **members}
        seq += 1
        body = message(request["from_account_id"], payload, "stream", request)
        await nc.publish(msg.reply, json.dumps(body).encode())

    # Before the start is sent: who sees the start may cancel.
    cancels = await nc.subscribe(f"{msg.reply}.cancel", cb=heard)
    await frame("stream_start")
    words = request["payload"]["text"].split(" ")
    while words and not cancelled.is_set():
        await frame("stream_delta", delta=words.pop(0) + (" " if words else ""))
        if words == ["..."]:
            await cancelled.wait()
    if cancelled.is_set():
        say("cancelled")
    else:
        await frame("stream_end", result={"frames": seq + 1})
    await cancels.unsubscribe()


async def serve(nc, username):
    global ACCOUNT
    info = {"agent_id": username, "name": username, "username": username, "capabilities": [], "metadata": {}}
    reply = await nc.request("registry.register", json.dumps(info).encode(), timeout=5)
    ACCOUNT = json.loads(reply.data)["account_id"]

    async def heard(msg):
        if msg.reply:
            asyncio.create_task(answer(nc, msg))

    await nc.subscribe(f"account.{ACCOUNT}.inbox", f"agentnet-account-{ACCOUNT}", cb=heard)
    await settled(nc)
    say("ready", account_id=ACCOUNT)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def main(command, url, *arguments):
    nc = await nats.connect(url)
    if command == "read":
        account_id, text, *pieces = arguments
        await read(nc, account_id, text, int(pieces[0]) if pieces else None)
    else:
        await serve(nc, *arguments)
    await nc.drain()


asyncio.run(main(*sys.argv[1:]))
