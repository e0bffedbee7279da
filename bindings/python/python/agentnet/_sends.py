"""The node's sends and replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentnet import _targets
from agentnet._coerce import required, with_valid_ttl
from agentnet._completion import Outcome, completed
from agentnet._lookups import LOOKUP_TIMEOUT, Lookups
from agentnet._mailbox_option import is_asked_for, mailbox_option
from agentnet._native import Node
from agentnet._expand import expand_options, native_call
from agentnet._options import MailboxOptions as MailboxOptions  # named by the annotations of expanded methods
from agentnet._options import MailboxSendOptions, MessageOptions, SendOptions, StreamOptions, TextMailboxOptions
from agentnet._typing import Unpack
from agentnet.blobs import BlobRef, blob_payload
from agentnet.mailbox import SentMessage
from agentnet.schema import AgentMessage
from agentnet.streams import OutgoingStream


def start_send(
    native: Node,
    target_kind: int,
    to: str,
    payload: Any,
    kind: str,
    **options: Unpack[MailboxSendOptions],
) -> Outcome[SentMessage]:
    """Sends a message; the result is its id."""
    mailbox = options.pop("mailbox", None)
    if is_asked_for(mailbox):
        return _start_mailbox_send(native, target_kind, to, payload, kind, mailbox, options)
    retry_attempts = options.get("retry_attempts")
    if retry_attempts is not None:
        options["retry_attempts"] = min(max(0, int(retry_attempts)), 2**32 - 1)
    return native.send(target_kind, to, payload, kind, with_valid_ttl(options))


def _start_mailbox_send(
    native: Node,
    target_kind: int,
    to: str,
    payload: Any,
    kind: str,
    mailbox: object,
    options: SendOptions,
) -> Outcome[SentMessage]:
    """Sends a message that the registry keeps if its receiver is offline."""
    if not options.get("require_delivery_ack", True):
        raise ValueError("a send with mailbox waits for a receipt: leave require_delivery_ack on")
    # It is published once: what is not accepted then is kept.
    options.pop("retry_attempts", None)
    wanted = mailbox_option(mailbox, with_valid_ttl(options).pop("ttl_ms", None))
    return native.send_mailbox(target_kind, to, payload, kind, wanted, options)


def start_reply(
    native: Node, request: AgentMessage, payload: Any, kind: str, **options: Unpack[MessageOptions]
) -> Outcome[str]:
    """Replies to a message; the result is the id of the reply."""
    return native.reply(request, payload, kind, with_valid_ttl(options))


class Sends(Lookups):
    """The node's sends and replies. Part of ``AgentNode``."""

    @native_call
    def send(
        self, to: str, payload: Any, kind: str = "direct", *positional: Any, **options: Unpack[MailboxSendOptions]
    ) -> Outcome[SentMessage]:
        """Sends a message to ``@name``, ``name``, ``username:<name>``, ``acct_…`` or ``account:<id>``.

        It waits for the receiver's receipt and repeats the message while none comes, unless ``require_delivery_ack`` is off.

        With ``mailbox`` the message is published once, and the registry keeps it if the receiver is offline or has no time:
        True for ``ttl_ms`` or seven days, or a time in seconds, or a text such as ``"7d"``, ``"12h"``, ``"30m"``, or
        ``MailboxOptions``. Then ``retry_attempts`` has no effect.

        Returns:
            The message id, a ``str``. Its ``queued`` and ``detail`` say whether the registry keeps the message.

        Raises:
            ValueError: The target is empty, or the message is larger than ``max_payload_bytes``.
            TypeError: The payload is not JSON.
            DeliveryError: The receiver rejected the message; ``code`` is the reason.
            MailboxError: The registry cannot keep the message; ``code`` is the reason. It is a ``DeliveryError``.
            DeliveryTimeoutError: No receipt came.
            RuntimeError: Any other failure (all of these but the first two are ``RuntimeError``).
        """
        return start_send(self._native, _targets.TEXT, to, payload, kind, **options)

    @native_call
    def send_to_account(
        self,
        to_account_id: str,
        payload: Any,
        kind: str = "direct",
        *positional: Any,
        **options: Unpack[MailboxSendOptions],
    ) -> Outcome[SentMessage]:
        """As ``send``, to an account."""
        account_id = required(to_account_id, "to_account_id")
        return start_send(self._native, _targets.ACCOUNT, account_id, payload, kind, **options)

    @expand_options()
    async def send_to_username(
        self,
        username: str,
        payload: Any,
        kind: str = "direct",
        *positional: Any,
        timeout: float | None = LOOKUP_TIMEOUT,
        **options: Unpack[MailboxSendOptions],
    ) -> SentMessage:
        """As ``send``, to the account of a username; ``timeout`` is for the lookup of the username."""
        target_kind, to = await self._username_target(username, timeout)
        return await completed(start_send(self._native, target_kind, to, payload, kind, **options))

    @native_call
    def send_to_capability(
        self, capability: str, payload: Any, kind: str = "direct", *positional: Any, **options: Unpack[SendOptions]
    ) -> Outcome[SentMessage]:
        """As ``send``, to one of the agents with a capability. A capability has no mailbox."""
        return start_send(self._native, _targets.CAPABILITY, capability, payload, kind, **options)

    @expand_options()
    async def send_blob_ref(
        self, to: str, blob: BlobRef | Mapping[str, Any], **options: Unpack[TextMailboxOptions]
    ) -> SentMessage:
        """Sends a reference to a blob. The receiver needs access to the store that has the blob."""
        return await self.send(to, blob_payload(blob), **options)

    @native_call
    def reply(
        self,
        request: AgentMessage,
        payload: Any,
        kind: str = "reply",
        *positional: Any,
        **options: Unpack[MessageOptions],
    ) -> Outcome[str]:
        """Replies to a message; a reply is neither acknowledged nor repeated.

        Returns:
            The id of the reply.

        Raises:
            NoReplySubjectError: The sender does not wait for a reply; it is a ``ValueError`` and a ``RuntimeError``.
        """
        return start_reply(self._native, request, payload, kind, **options)

    @expand_options()
    def reply_stream(
        self,
        request: AgentMessage,
        *,
        metadata: Any = None,
        stream_id: str | None = None,
        **options: Unpack[StreamOptions],
    ) -> OutgoingStream:
        """Replies to a message piece by piece: ``async with node.reply_stream(msg) as stream: await stream.delta("…")``.

        Leaving the block ends the stream; an exception in it ends it with an error.
        """
        return OutgoingStream.reply(request, metadata, stream_id, with_valid_ttl(options))

    @expand_options()
    def send_stream(
        self, to: str, *, metadata: Any = None, stream_id: str | None = None, **options: Unpack[StreamOptions]
    ) -> OutgoingStream:
        """Sends a stream to an inbox, whose handler gets every frame as a message."""
        return OutgoingStream.send(self._native, to, metadata, stream_id, with_valid_ttl(options))
