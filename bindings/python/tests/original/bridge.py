"""The Python program of the original's bridge document, written anew from what it says: it calls the SDK as that does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agentnet import AgentMessage
from agentnet.sdk import AgentSDK

InboxHandler = Callable[[AgentMessage], Awaitable[None]]


class AgentNetBridge:
    def __init__(self, agent_id: str, name: str, username: str, nats_url: str) -> None:
        self.sdk = AgentSDK(agent_id=agent_id, name=name, username=username, nats_url=nats_url)

    async def start(self, inbox_handler: InboxHandler) -> None:
        @self.sdk.receive
        async def on_message(message: AgentMessage) -> None:
            await inbox_handler(message)

        await self.sdk.start()

    async def stop(self) -> None:
        await self.sdk.stop()

    async def list_online_agents(self) -> list[dict[str, Any]]:
        return [
            {
                "account_id": agent.account_id,
                "username": agent.username,
                "agent_id": agent.agent_id,
                "capabilities": agent.capabilities,
            }
            for agent in await self.sdk.list_online()
        ]

    async def get_profile(self, username: str) -> dict[str, Any]:
        return await self.sdk.get_profile(username=username)

    async def send_message(self, to: str, thread_id: str, text: str) -> str | None:
        result = await self.sdk.send_text(to, text, thread_id=thread_id, require_delivery_ack=False)
        return result.message_id

    async def request_message(self, to: str, thread_id: str, text: str) -> dict[str, Any]:
        result = await self.sdk.ask_text(to, text, thread_id=thread_id)
        return {
            "ok": result.ok,
            "thread_id": result.thread_id,
            "message_id": result.message_id,
            "text": result.text,
            "error": result.error,
            "data": result.data,
        }

    async def get_thread_state(self, thread_id: str) -> dict[str, Any]:
        return await self.sdk.thread_status(thread_id)

    async def load_thread_window(self, thread_id: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
        return await self.sdk.get_thread_messages(thread_id=thread_id, limit=limit, cursor=cursor)
