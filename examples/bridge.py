"""A bridge: any program that reads stdin and writes stdout becomes an agent (docs/BUILD_AGENT_BRIDGE_IN_15_MINUTES.md).

    python examples/bridge.py USERNAME PROGRAM [ARGUMENTS...]      the network is that of AGENTNET_NATS_URL, else of this machine
"""

from __future__ import annotations

import asyncio
import sys
from typing import Protocol

from agentnet import AgentMessage, AgentWrapper, extract_text

# Shorter than the node's own limit, so that callers get our words.
TIME_LIMIT = 20.0


class Runtime(Protocol):
    """What answers. It knows nothing of the network."""

    async def answer(self, before: list[str], text: str) -> str: ...


class Program:
    """A program that is run for each message."""

    def __init__(self, *command: str) -> None:
        self.command = command

    async def answer(self, before: list[str], text: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *self.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            output, _ = await process.communicate(text.encode())
        except asyncio.CancelledError:
            process.kill()
            raise
        if process.returncode:
            raise RuntimeError(f"{self.command[0]} ended with {process.returncode}")
        return output.decode().strip()


class Bridge:
    """The only place where messages and calls meet."""

    def __init__(self, username: str, runtime: Runtime) -> None:
        self.runtime = runtime
        self.wrapper = AgentWrapper(agent_id=username, name=username, username=username, capabilities=["bridge"])
        self.wrapper.receive(self.handle)

    async def handle(self, message: AgentMessage) -> None:
        # Answers are no questions: two bridges would never stop.
        if message.kind not in ("direct", "request"):
            return
        text = message.text
        if text is None:
            answer = {"error": "unsupported_payload", "detail": "send a text, or an object with a text"}
        else:
            try:
                said = await asyncio.wait_for(self.runtime.answer(await self.before(message), text), TIME_LIMIT)
                answer = {"text": said}
            except asyncio.TimeoutError:
                answer = {"error": "timeout", "detail": f"no answer within {TIME_LIMIT:.0f} s"}
        if message.reply_to:
            await self.wrapper.reply(request=message, payload=answer)

    async def before(self, message: AgentMessage) -> list[str]:
        """What the thread holds so far, oldest first. The registry remembers, the bridge need not."""
        if message.thread_id is None:
            return []
        try:
            page = await self.wrapper.get_thread_messages(thread_id=message.thread_id, limit=20)
        except RuntimeError:
            return []
        texts = [extract_text(item["payload"]) for item in page["messages"] if item["message_id"] != message.message_id]
        return [text for text in reversed(texts) if text]


async def main(username: str, *command: str) -> None:
    bridge = Bridge(username, Program(*command))
    await bridge.wrapper.node.start_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
