"""An agent in Python, of this repository's package (and so of the Rust SDK beneath it), which tests of the TypeScript SDK talk with.

    agent.py USERNAME [BURST]      BURST: how many messages of one sender it takes at once, and one in ten seconds after that

Settings come from the environment. Its handler does what a payload says; a line of JSON on stdin is a call to make, and its result,
or its error, is a line of JSON on stdout.
"""

import asyncio
import hashlib
import json
import sys

from agentnet import AgentNode, StreamCancelledError

USERNAME = sys.argv[1]
BURST = int(sys.argv[2]) if len(sys.argv) > 2 else None
node = AgentNode(
    agent_id=USERNAME,
    name=USERNAME,
    username=USERNAME,
    rate_limit_per_sender_per_sec=0.1 if BURST else 100_000,
    rate_limit_burst=BURST or 100_000,
    max_pending=10_000,
)


def say(event, **members):
    print(json.dumps({"event": event, **members}), flush=True)


@node.on_message
async def handle(message):
    told = message.payload if isinstance(message.payload, dict) else {}
    if told.get("type") == "blob_ref":
        data = await node.blobs.get_bytes(told)
        say("blob", sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    elif told.get("do") == "stream":
        async with node.reply_stream(message) as stream:
            for number in range(told["pieces"]):
                await stream.delta(f"{number} ")
            await stream.end({"pieces": told["pieces"]})
    elif told.get("do") == "stream for ever":
        try:
            async with node.reply_stream(message) as stream:
                while True:
                    await stream.delta("on and on ")
                    await asyncio.sleep(0)
        except StreamCancelledError:
            say("cancelled")
            raise
    elif told.get("do") == "fail":
        raise RuntimeError("told to fail")
    elif told.get("do") == "abandon":
        async with node.reply_stream(message) as stream:
            await stream.delta("half")
            raise RuntimeError("told to fail")
    elif message.reply_to:
        await node.reply(message, message.payload)
    else:
        say("message", payload=message.payload)


async def call(told):
    op = told["op"]
    if op == "send":
        return await node.send(told["to"], told["payload"])
    if op == "request":
        reply = await node.request(told["to"], told["payload"], timeout=20)
        return {"kind": reply.kind, "payload": reply.payload}
    if op == "echo":
        # Text in and out, so that what JSON cannot express in JavaScript stays as it is.
        reply = await node.request(told["to"], json.loads(told["text"]), timeout=20)
        return json.dumps(reply.payload, separators=(",", ":"))
    if op == "stream":
        seqs = []
        async with node.request_stream(told["to"], told["payload"], timeout=20) as stream:
            async for piece in stream:
                seqs.append(piece.seq)
                if len(seqs) == told.get("cancel_after"):
                    return {"cancelled": True}
            whole = await stream.finish()
        return {"text": whole.text, "result": whole.result, "ordered": seqs == list(range(1, len(seqs) + 1))}
    if op == "put":
        return await node.blobs.put_bytes(told["text"].encode(), filename=told.get("filename"))
    if op == "get":
        return (await node.blobs.get_bytes(told["blob"])).decode()
    raise ValueError(op)


async def main():
    async with node:
        say("ready", account_id=node.account_id)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            try:
                result = await call(json.loads(line))
                say("result", result=result if isinstance(result, (str, dict)) else result.to_payload())
            except Exception as error:
                say("error", error=type(error).__name__, text=str(error))


asyncio.run(main())
