"""Agent B: answers until it is stopped.

    python examples/agent_b.py [NATS_URL]
"""

from __future__ import annotations

import asyncio
import sys

from agentnet import AgentMessage, AgentNode


async def main(nats_url: str | None) -> None:
    node = AgentNode(
        agent_id="agent_b", name="Agent B", username="agent_b", capabilities=["smalltalk"], nats_url=nats_url
    )

    @node.on_message
    async def handle(message: AgentMessage) -> None:
        print("got", message.payload, "from", message.from_agent, flush=True)
        if message.reply_to:
            await node.reply(message, {"text": "Fine, thank you."})

    await node.start_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
