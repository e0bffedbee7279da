"""Calls the workers of rpc_worker.py, many calls at once.

    python examples/rpc_client.py [NATS_URL]
"""

from __future__ import annotations

import asyncio
import sys

from agentnet import AgentRequestError, AgentSDK


async def main(nats_url: str | None) -> None:
    async with AgentSDK(agent_id="rpc_client", name="RPC client", nats_url=nats_url) as sdk:
        calls = [
            sdk.ask_json("capability:calculate", {"op": op, "values": [1, 2**70, 3]}, timeout=10)
            for op in ("sum", "max", "min")
        ]
        for answer in await asyncio.gather(*calls):
            print(answer.data["result"])
        try:
            await sdk.ask_json("capability:calculate", {"op": "guess"}, timeout=10)
        except AgentRequestError as error:
            print("refused:", error.code)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
