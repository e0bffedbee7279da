"""The package's exceptions.

An error that the other side reports is an ``AgentRequestError``; any other failure is an ``AgentNetError``, which is a
``RuntimeError`` as well. Wrong arguments are ``ValueError`` or ``TypeError``.
"""

from __future__ import annotations

import asyncio
import re


class AgentNetError(RuntimeError):
    """A call failed: no connection, no receipt, a rejection."""


class ConnectError(AgentNetError, ConnectionError):
    """NATS cannot be reached, or refused the token."""


class RegistryError(AgentNetError):
    """The registry rejected a call, or did not answer; the text is the registry's, if it sent one."""


class RegistryRefusedError(RegistryError):
    """The registry rejected a call; the text is the reason (PROTOCOL.md section 6)."""


class RegistryTimeoutError(RegistryError):
    """The registry did not answer in time."""


class RegistryProtocolError(RegistryError):
    """The registry's answer cannot be used."""


class DeliveryError(AgentNetError):
    """A message was not delivered: ``delivery_rejected <code>: <detail>``, or another of the classes below."""

    code: str = ""
    """The code of PROTOCOL.md section 12, such as ``rate_limited``."""
    detail: str = ""
    """A sentence about the code."""
    message_id: str = ""
    """The id of the message."""


class DeliveryRejectedError(DeliveryError):
    """The receiver rejected it, or the registry did for a receiver that is offline or does not exist."""


class DeliveryUnusableError(DeliveryError):
    """The receipt cannot be used."""


class DeliveryTimeoutError(DeliveryError):
    """No receipt came for a message, after all attempts."""


class MailboxError(DeliveryError):
    """A message was neither accepted by its receiver nor kept by the registry: ``<detail> (<code>)``. The codes are those of
    PROTOCOL.md section 21.3, such as ``mailbox_full``."""


class TaskError(RegistryRefusedError):
    """The registry refused a request about a task: ``<code>: <detail>``. The codes are those of PROTOCOL.md section
    22.3, such as ``task_conflict``, and ``task_unsupported`` if no registry of the network keeps tasks. An
    unknown task is a ``RegistryRefusedError``, as everything that is unknown."""

    code: str = ""
    """The code, such as ``task_conflict``."""
    detail: str = ""
    """A sentence about the code."""


class NoRespondersError(AgentNetError):
    """The target of a request has no subscriber."""


class NoRegistryError(RegistryError, NoRespondersError):
    """No registry is connected to this network."""


class NoReplySubjectError(AgentNetError, ValueError):
    """The sender of the message does not wait for a reply."""


class RequestTimeoutError(asyncio.TimeoutError):
    """No reply came to a request in time. It is an ``asyncio.TimeoutError``, and no ``RuntimeError``."""

    message_id: str = ""
    """The id of the request."""


class StreamError(AgentNetError):
    """A stream broke off: it went silent, frames were lost, or the reader was too slow."""


class StreamCancelledError(StreamError):
    """The reader has cancelled the stream."""


class BlobError(AgentNetError):
    """A blob cannot be stored or read."""


class BlobNotFoundError(BlobError, LookupError, FileNotFoundError):
    """The store has no such blob."""


class AgentSDKError(Exception):
    """Base class of errors that the other side reports to high-level calls."""


class AgentRequestError(AgentSDKError):
    """The answer reports an error; the text is ``code: detail``."""

    def __init__(
        self,
        *,
        code: str,
        detail: str,
        trace_id: str | None = None,
        request_message_id: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
        self.trace_id = trace_id
        self.request_message_id = request_message_id

    def __reduce__(self) -> tuple[object, ...]:
        return request_error, (self.code, self.detail, self.trace_id, self.request_message_id)


class AgentBusyError(AgentRequestError):
    """``busy``, ``shutting_down``: it accepts no messages now."""


class AgentRateLimitedError(AgentRequestError):
    """``rate_limited``: this sender sends too fast."""


class AgentTimeoutError(AgentRequestError):
    """``timeout``: the other side's handler took too long."""


class AgentServiceDegradedError(AgentRequestError):
    """``service_degraded``: the other side's handler failed too often recently."""


class AgentDuplicateError(AgentRequestError):
    """``duplicate``: it has received this message, or one with the same idempotency key."""


class AgentExpiredError(AgentRequestError):
    """``expired``, ``missing_ttl``: the message came too late."""


class AgentHandlerError(AgentRequestError):
    """``handler_error``: the other side's handler failed."""


ERROR_CLASS_BY_CODE: dict[str, type[AgentRequestError]] = {
    "busy": AgentBusyError,
    "shutting_down": AgentBusyError,
    "rate_limited": AgentRateLimitedError,
    "timeout": AgentTimeoutError,
    "service_degraded": AgentServiceDegradedError,
    "duplicate": AgentDuplicateError,
    "expired": AgentExpiredError,
    "missing_ttl": AgentExpiredError,
    "handler_error": AgentHandlerError,
}
"""The class of each code; other codes are plain ``AgentRequestError``."""


def request_error(
    code: str, detail: str = "", trace_id: str | None = None, request_message_id: str | None = None
) -> AgentRequestError:
    """The error for a code; ``AgentRequestError`` itself for codes that have no class of their own."""
    error_class = ERROR_CLASS_BY_CODE.get(code, AgentRequestError)
    return error_class(code=code, detail=detail, trace_id=trace_id, request_message_id=request_message_id)


def task_error(text: str) -> RegistryRefusedError:
    """The error for what the registry says about a task: ``TaskError`` if that is a code of tasks and a sentence."""
    found = re.fullmatch(r"(task_[a-z_]+)(?:: (.*))?", text, re.ASCII | re.DOTALL)
    if found is None:
        return RegistryRefusedError(text)
    error = TaskError(text)
    error.code, error.detail = found[1], found[2] or ""
    return error
