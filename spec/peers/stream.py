"""Streams in plain Python over nats-py, as docs/STREAMING_PROTOCOL.md describes them. It shares no code with this project.

    stream.py read URL ACCOUNT_ID TEXT [PIECES]   ask an agent and print its stream; with PIECES, cancel after so many
    stream.py serve URL USERNAME [open]           answer requests word by word until stdin closes
    stream.py tell URL ACCOUNT_ID TEXT            send a stream, word by word, to an inbox
    stream.py collect URL USERNAME                print the streams that come to its inbox, until stdin closes

`serve … open`, `tell` and `collect` speak the open form of programs of the original: no `seq` at the start, pieces from 1,
the whole text at the end. `serve … open` and `tell` leave out the last piece, which only the text of the end makes up for.

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


def open_form(stream_id, words):
    """The frames of a stream as programs of the original write them, but for the last piece, which is lost."""
    now = datetime.now(timezone.utc).isoformat()
    said = {"role": "assistant", "content_type": "text/plain"}
    yield {"type": "stream_start", "stream_id": stream_id, **said, "started_at": now, "metadata": {"model": "m"}}
    for seq, word in enumerate(words[:-1], 1):
        yield {"type": "stream_delta", "stream_id": stream_id, "delta": word, "seq": seq, **said}
    yield {
        "type": "stream_end",
        "stream_id": stream_id,
        "seq": len(words) + 5,
        **said,
        "text": "".join(words),
        "finished_at": now,
        "metadata": {},
    }


def in_words(text):
    words = text.split(" ")
    return [word + " " for word in words[:-1]] + words[-1:]


async def answer_open(nc, msg):
    request = json.loads(msg.data)
    for frame in open_form(uuid.uuid4().hex, in_words(request["payload"]["text"])):
        body = message(request["from_account_id"], frame, "stream", request)
        await nc.publish(msg.reply, json.dumps(body).encode())


async def tell(nc, account_id, text):
    thread = f"thread_{uuid.uuid4().hex}"
    for frame in open_form(uuid.uuid4().hex, in_words(text)):
        body = {**message(account_id, frame, "stream"), "to_account_id": account_id, "thread_id": thread}
        await nc.publish(f"account.{account_id}.inbox", json.dumps(body).encode())
    await settled(nc)
    say("told", thread_id=thread)


async def collect(nc, username):
    """Buffers by thread and stream, sorts by number, drops repetitions, and takes the text of the end for the whole."""
    buffers = {}

    async def heard(msg):
        envelope = json.loads(msg.data)
        receipt = {
            "message_id": envelope["message_id"],
            "status": "accepted",
            "event_at": datetime.now(timezone.utc).isoformat(),
            "from_account_id": ACCOUNT,
            "to_account_id": envelope["from_account_id"],
        }
        await nc.publish(f"account.{envelope['from_account_id']}.receipts", json.dumps(receipt).encode())
        frame = envelope["payload"]
        kind, stream_id = frame["type"].strip().lower(), frame["stream_id"].strip()
        buffer = buffers.setdefault((envelope["thread_id"], stream_id), {"pieces": {}})
        if kind == "stream_start":
            buffer["start"] = {name: frame[name] for name in ("role", "content_type", "started_at", "metadata")}
        elif kind == "stream_delta":
            buffer["pieces"].setdefault(int(frame.get("seq") or 0), str(frame["delta"]))
        elif kind == "stream_error":
            say("failed", code=frame["error"], seq=frame.get("seq", 0), finished=bool(frame["finished_at"]))
        elif kind == "stream_end":
            joined = "".join(text for _, text in sorted(buffer["pieces"].items()))
            start = buffer["start"]
            say(
                "whole",
                stream_id=stream_id,
                joined=joined,
                text=frame.get("text"),
                started=bool(start.pop("started_at")),
                finished=bool(frame["finished_at"]),
                **start,
            )

    await take_inbox(nc, username, heard)


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


async def take_inbox(nc, username, heard):
    global ACCOUNT
    info = {"agent_id": username, "name": username, "username": username, "capabilities": [], "metadata": {}}
    reply = await nc.request("registry.register", json.dumps(info).encode(), timeout=5)
    ACCOUNT = json.loads(reply.data)["account_id"]
    await nc.subscribe(f"account.{ACCOUNT}.inbox", f"agentnet-account-{ACCOUNT}", cb=heard)
    await settled(nc)
    say("ready", account_id=ACCOUNT)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def serve(nc, username, form="numbered"):
    async def heard(msg):
        if msg.reply:
            asyncio.create_task(answer_open(nc, msg) if form == "open" else answer(nc, msg))

    await take_inbox(nc, username, heard)


async def main(command, url, *arguments):
    nc = await nats.connect(url)
    if command == "read":
        account_id, text, *pieces = arguments
        await read(nc, account_id, text, int(pieces[0]) if pieces else None)
    else:
        await {"serve": serve, "tell": tell, "collect": collect}[command](nc, *arguments)
    await nc.drain()


asyncio.run(main(*sys.argv[1:]))
