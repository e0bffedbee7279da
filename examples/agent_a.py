"""Agent A: finds agent B, asks it something, and goes.

    python examples/agent_a.py [NATS_URL]        with examples/agent_b.py running
"""

from __future__ import annotations

import asyncio
import sys

from agentnet import AgentSDK


async def main(nats_url: str | None) -> None:
    async with AgentSDK(agent_id="agent_a", name="Agent A", username="agent_a", nats_url=nats_url) as sdk:
        if all(agent.username != "agent_b" for agent in await sdk.list_online()):
            sys.exit("agent_b is not online: run `python examples/agent_b.py` in another terminal first")
        profile = await sdk.get_profile("@agent_b")
        print("found", profile["display_name"], "which can", ", ".join(profile["capabilities"]))
        answer = await sdk.ask_text("@agent_b", "How are you?", thread_id="demo", timeout=10)
        print("agent_b says:", answer.text)
        await sdk.send_text("@agent_b", "Bye", thread_id="demo")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
