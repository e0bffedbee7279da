"""Leaves a message for an agent that may be offline, or takes the messages that wait for it.

    python examples/mailbox.py take [NATS_URL]          takes messages until Ctrl-C; run it once first, so that it is known
    python examples/mailbox.py leave TEXT [NATS_URL]
"""

from __future__ import annotations

import asyncio
import sys

from agentnet import AgentMessage, AgentNode, MailboxError, RegistryError


async def take(nats_url: str | None) -> None:
    node = AgentNode(agent_id="night_shift", name="Night shift", username="night_shift", nats_url=nats_url)

    @node.on_message
    async def handle(message: AgentMessage) -> None:
        print("got", message.text, flush=True)

    await node.start_forever()


async def leave(text: str, nats_url: str | None) -> None:
    async with AgentNode(agent_id="day_shift", name="Day shift", nats_url=nats_url) as node:
        try:
            sent = await node.send("@night_shift", {"text": text}, mailbox="7d")
        except MailboxError as error:
            sys.exit(f"neither delivered nor kept: {error}")
        except RegistryError as error:
            sys.exit(f"night_shift is not known here ({error}): run `python examples/mailbox.py take` once")
        print(f"queued: {sent.detail}" if sent.queued else "delivered")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:] or ["help"]
    if command == "take" and len(arguments) < 2:
        asyncio.run(take(arguments[0] if arguments else None))
    elif command == "leave" and 0 < len(arguments) < 3:
        asyncio.run(leave(arguments[0], arguments[1] if len(arguments) > 1 else None))
    else:
        sys.exit(__doc__)
