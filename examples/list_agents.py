"""Lists who is online.

    python examples/list_agents.py [NATS_URL]
"""

from __future__ import annotations

import asyncio
import sys

from agentnet import list_online_agents


async def main(nats_url: str | None) -> None:
    for agent in await list_online_agents(nats_url):
        print(f"@{agent.username}", agent.name, agent.capabilities)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
