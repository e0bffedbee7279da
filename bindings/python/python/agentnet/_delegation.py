"""The calls about tasks of the Python implementation: messages of the types ``task.assign`` and ``task.progress``, and what the
registry made of them."""

from __future__ import annotations

import asyncio
from typing import Any

from agentnet import _targets
from agentnet._coerce import as_list, required, stripped
from agentnet._completion import completed
from agentnet._native import new_ulid, parse_target
from agentnet._options import MailboxSendOptions
from agentnet._sdk_registry import RegistryCalls
from agentnet._sends import start_send
from agentnet._typing import Unpack
from agentnet.errors import RegistryRefusedError
from agentnet.threads import SDKResult
from agentnet.utils import utc_now_iso

_ACTIVE = ("working", "assigned")
"""What ``status`` says of tasks that an agent does, or is to do."""


class Delegation(RegistryCalls):
    """Tasks as the Python implementation has them. Part of ``AgentSDK``; ``AgentSDK.task`` asks for work with leases, retries
    and deadlines."""

    async def _send_about_task(
        self, to: str, payload: dict[str, Any], thread: str | None, **options: Unpack[MailboxSendOptions]
    ) -> SDKResult:
        task_id: str = payload["task_id"]
        options["thread_id"] = thread = stripped(thread) or f"thread_{task_id}"
        options["trace_id"] = task_id
        kind, target = parse_target(to)
        sent = await completed(start_send(self._native, _targets.BY_NAME[kind], target, payload, "direct", **options))
        parent = options.get("parent_message_id")
        return SDKResult(True, thread, sent, parent, text=payload["text"], data=payload, trace_id=task_id)

    async def delegate_task(
        self,
        to: str,
        text: str,
        *,
        task_id: str | None = None,
        title: str | None = None,
        parent_task_id: str | None = None,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = False,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> SDKResult:
        """Asks an agent for work by a message ``task.assign``. The registry makes a task of it, with one attempt.

        ``data`` of the result is the payload, ``trace_id`` the id of the task. Without ``require_delivery_ack`` it does not
        wait for a receipt: ``task_status`` says how far the task is.
        """
        given = stripped(task_id) or f"task_{new_ulid().lower()}"
        payload: dict[str, Any] = {
            "type": "task.assign",
            "task_id": given,
            "text": str(text),
            "created_at": utc_now_iso(),
            "metadata": dict(metadata or {}),
        }
        own_name = self.username or self.account_id
        named = {"coordinator": own_name, "title": stripped(title), "parent_task_id": stripped(parent_task_id)}
        payload |= {name: value for name, value in named.items() if value}
        return await self._send_about_task(
            to,
            payload,
            thread_id,
            parent_message_id=parent_message_id,
            idempotency_key=idempotency_key or given,
            require_delivery_ack=require_delivery_ack,
            retry_attempts=retry_attempts,
            receipt_timeout=receipt_timeout,
        )

    async def report_progress(
        self,
        to: str,
        task_id: str,
        text: str,
        *,
        thread_id: str | None = None,
        parent_message_id: str | None = None,
        percent: int | None = None,
        phase: str | None = None,
        metadata: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
        require_delivery_ack: bool = False,
        retry_attempts: int | None = None,
        receipt_timeout: float | None = None,
    ) -> SDKResult:
        """Says how far a task is, by a message ``task.progress`` to the agent that asked for it. Only for tasks that came as
        messages: the handler of ``on_task`` uses ``TaskContext.progress``."""
        told: dict[str, Any] = dict(metadata or {})
        if percent is not None:
            told["percent"] = max(0, min(int(percent), 100))
        if stripped(phase):
            told["phase"] = stripped(phase)
        payload: dict[str, Any] = {
            "type": "task.progress",
            "task_id": required(task_id, "task_id"),
            "text": str(text),
            "event_at": utc_now_iso(),
            "metadata": told,
        }
        return await self._send_about_task(
            to,
            payload,
            thread_id,
            parent_message_id=parent_message_id,
            idempotency_key=idempotency_key,
            require_delivery_ack=require_delivery_ack,
            retry_attempts=retry_attempts,
            receipt_timeout=receipt_timeout,
        )

    async def agent_status(self, target: str, *, limit: int = 10, timeout: float | None = 2.0) -> dict[str, Any]:
        """What an agent does: ``ok``, ``target``, ``username``, ``account_id``, ``online``, ``session_count``,
        ``active_tasks``, ``recent_tasks`` (those that ended, or wait for an answer), and ``summary``, a sentence such as "@coder is working on fix #12:
        tests run". It does not interrupt the agent. ``ok`` is False if there is no such agent."""
        kind, name = parse_target(target)
        if kind == "capability":
            raise ValueError("capability target is not valid for agent_status")
        try:
            profile = await self.get_profile(target, timeout=timeout)
        except RegistryRefusedError as error:
            if str(error) != "not_found":
                raise
            return _status(target, {}, [], [], f"{name} is not known")
        account_id = str(profile["account_id"])
        *active, latest = await asyncio.gather(
            *(
                self._node.list_tasks(assignee_account_id=account_id, status=status, limit=limit, timeout=timeout)
                for status in (*_ACTIVE, None)
            )
        )
        recent = [task for task in latest if task.get("status") not in _ACTIVE]
        working = [task for tasks in active for task in tasks][:limit]
        return _status(target, profile, working, recent, _summary(profile, working))


def _status(
    target: str, profile: dict[str, Any], active: list[dict[str, Any]], recent: list[dict[str, Any]], summary: str
) -> dict[str, Any]:
    return {
        "ok": bool(profile),
        "target": target,
        "username": profile.get("username"),
        "account_id": profile.get("account_id"),
        "online": bool(profile.get("online")),
        "session_count": len(as_list(profile.get("online_sessions"))),
        "active_tasks": active,
        "recent_tasks": recent,
        "summary": summary,
    }


def _summary(profile: dict[str, Any], active: list[dict[str, Any]]) -> str:
    """A sentence about an agent: on what it is working, or that it is not."""
    username = stripped(profile.get("username"))
    name = f"@{username}" if username else str(profile["account_id"])
    if not profile.get("online"):
        return f"{name} is offline"
    working = next((task for task in active if task.get("status") == "working"), None)
    if working is None:
        return f"{name} is online and idle"
    title = stripped(working.get("title")) or stripped(working.get("assigned_text")) or str(working.get("task_id"))
    progress = stripped(working.get("latest_progress_text"))
    return f"{name} is working on {title}: {progress}" if progress else f"{name} is working on {title}"
