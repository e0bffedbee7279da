"""The records of the wire (PROTOCOL.md section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentnet._native import AgentMessage
from agentnet._coerce import as_object

__all__ = ["AgentInfo", "AgentMessage", "DeliveryReceipt"]


def _text(value: Any) -> str:
    return str(value or "")


def _optional(value: Any) -> str | None:
    return str(value or "") or None


@dataclass(slots=True)
class AgentInfo:
    """The record of an agent that others see."""

    agent_id: str
    name: str
    account_id: str | None = None
    username: str | None = None
    session_tag: str | None = None
    capabilities: list[str] = field(default_factory=list[str])
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    last_seen: str | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AgentInfo:
        """Reads it from a dict as it is on the wire."""
        agent_id = _text(data.get("agent_id"))
        capabilities: Iterable[Any] = data.get("capabilities") or []
        return cls(
            agent_id=agent_id,
            name=str(data.get("name") or agent_id),
            account_id=_optional(data.get("account_id")),
            username=_optional(data.get("username")),
            session_tag=_optional(data.get("session_tag")),
            capabilities=[str(capability) for capability in capabilities],
            metadata=as_object(data.get("metadata")) or {},
            last_seen=_optional(data.get("last_seen")),
        )

    def to_dict(self) -> dict[str, Any]:
        """The record as it is on the wire, absent members left out."""
        record: dict[str, Any] = {
            "agent_id": self.agent_id,
            "name": self.name,
            "capabilities": self.capabilities,
            "metadata": self.metadata,
        }
        for name in ("account_id", "username", "session_tag", "last_seen"):
            value = getattr(self, name)
            if value is not None:
                record[name] = value
        return record


@dataclass(slots=True)
class DeliveryReceipt:
    """A receiver's receipt for a message: ``accepted``, ``processed`` or ``rejected``; or a registry's, which can also be
    ``queued``: the message is kept for its receiver."""

    message_id: str
    status: str
    event_at: str
    from_account_id: str | None = None
    from_session_tag: str | None = None
    to_account_id: str | None = None
    trace_id: str | None = None
    thread_id: str | None = None
    parent_message_id: str | None = None
    code: str | None = None
    detail: str | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DeliveryReceipt:
        """Reads it from a dict as it is on the wire."""
        return cls(
            message_id=_text(data.get("message_id")),
            status=_text(data.get("status")),
            event_at=_text(data.get("event_at")),
            from_account_id=_optional(data.get("from_account_id")),
            from_session_tag=_optional(data.get("from_session_tag")),
            to_account_id=_optional(data.get("to_account_id")),
            trace_id=_optional(data.get("trace_id")),
            thread_id=_optional(data.get("thread_id")),
            parent_message_id=_optional(data.get("parent_message_id")),
            code=_optional(data.get("code")),
            detail=_optional(data.get("detail")),
        )

    def to_dict(self) -> dict[str, Any]:
        """The record as it is on the wire, absent members left out."""
        record: dict[str, Any] = {"message_id": self.message_id, "status": self.status, "event_at": self.event_at}
        for name in (
            "from_account_id",
            "from_session_tag",
            "to_account_id",
            "trace_id",
            "thread_id",
            "parent_message_id",
            "code",
            "detail",
        ):
            value = getattr(self, name)
            if value is not None:
                record[name] = value
        return record
