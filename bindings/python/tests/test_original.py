"""What programs of the original import and call (names, options, modules), and its bridge document's program."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import OPEN, eventually, fresh

import agentnet
from agentnet import AgentMessage, AgentSDK, AgentWrapper, ThreadSession, parse_stream_end, parse_stream_start

sys.path.insert(0, str(Path(__file__).parent / "original"))

EXPORTS = {
    "agentnet": """AgentNode AgentSDK AgentWrapper SDKResult ThreadSession AgentInfo AgentMessage DeliveryReceipt
        CompactionRequiredEvent is_compaction_required parse_compaction_required list_online_agents
        resolve_account_by_username resolve_dev_public_key_by_account search_profiles get_profile get_thread_status
        list_threads get_thread_messages search_messages get_registry_metrics BlobRef""",
    "agentnet.sdk": """AgentSDK AgentWrapper SDKResult ThreadSession AgentSDKError AgentRequestError AgentBusyError
        AgentRateLimitedError AgentTimeoutError AgentServiceDegradedError AgentDuplicateError AgentExpiredError
        AgentHandlerError""",
    "agentnet.exceptions": """ERROR_CLASS_BY_CODE AgentSDKError AgentRequestError AgentBusyError AgentRateLimitedError
        AgentTimeoutError AgentServiceDegradedError AgentDuplicateError AgentExpiredError AgentHandlerError ConnectionError
        DeliveryAckTimeout DeliveryAckUnusable DeliveryRejected RegistryError RegistryProtocolError RegistryRemoteError
        RegistryTimeout TransportError""",
    "agentnet.blob": "BlobRef LocalBlobStore is_blob_ref parse_blob_ref",
    "agentnet.utils": "utc_now utc_now_iso parse_iso_utc new_message_id encode_json decode_json",
    "agentnet.dev_auth": "dev_auth_enabled key_file load_or_create_key",
    "agentnet.config": "DEFAULT_NATS_URL",
    "agentnet.schema": "AgentInfo AgentMessage DeliveryReceipt",
    "agentnet.registry": "list_online_agents list_online_agents_with_client resolve_account_by_username",
}


@pytest.mark.parametrize("module", EXPORTS)
def test_modules_have_the_names_that_are_imported(module: str) -> None:
    found = importlib.import_module(module)
    missing = [name for name in EXPORTS[module].split() if not hasattr(found, name)]
    assert not missing


NO_ACK: dict[str, Any] = {"require_delivery_ack": False, "retry_attempts": None, "receipt_timeout": None}
ACK: dict[str, Any] = {**NO_ACK, "require_delivery_ack": True}
LINKS: dict[str, Any] = {"parent_message_id": None, "idempotency_key": None}
FORMAT: dict[str, Any] = {"role": "assistant", "content_type": "text/plain"}
REQUIRED = inspect.Parameter.empty
# Not of the original: to be given by name, and without effect if left out.
ADDED: dict[str, Any] = {"mailbox": None}

OPTIONS: dict[str, dict[str, Any]] = {
    "send_text": {**LINKS, **ACK, **ADDED},
    "send_json": {**LINKS, **ACK, **ADDED},
    "send_blob_ref": {**LINKS, **ACK, **ADDED},
    "send_stream_start": {**FORMAT, "metadata": None, **LINKS, **NO_ACK},
    "send_stream_delta": {"seq": REQUIRED, **FORMAT, **LINKS, **NO_ACK},
    "send_stream_end": {"seq": REQUIRED, "text": None, **FORMAT, "metadata": None, **LINKS, **NO_ACK},
    "send_stream_error": {"seq": 0, "metadata": None, **LINKS, **NO_ACK},
}


def options(call: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(call).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", OPTIONS)
def test_sends_take_the_originals_options(name: str) -> None:
    assert options(getattr(ThreadSession, name)) == OPTIONS[name]
    assert options(getattr(AgentSDK, name)) == {**OPTIONS[name], "thread_id": None}


def test_lookups_and_blobs_take_the_originals_options() -> None:
    search = {"query": "", "capability": None, "limit": 20, "online_only": False, "timeout": 2.0}
    assert options(AgentSDK.search_profiles) == search
    stored = {"filename": None, "mime_type": None, "metadata": None}
    for kind in (AgentSDK, AgentWrapper):
        assert options(kind.put_blob_bytes) == options(kind.put_blob_file) == stored
        assert list(inspect.signature(kind.get_blob_text).parameters) == ["self", "blob", "encoding"]
        for name in ("get_blob_bytes", "head_blob", "delete_blob"):
            assert list(inspect.signature(getattr(kind, name)).parameters) == ["self", "blob"]
    sent = options(AgentWrapper.send_blob_ref)
    assert sent["blob"] is REQUIRED and sent["kind"] == "direct" and "ttl_ms" in sent
    assert {"to_account_id", "to_username", "to_capability"} <= set(sent)


def sdk(url: str, stem: str, **more: Any) -> AgentSDK:
    name = fresh(stem)
    return AgentSDK(agent_id=name, name=stem, username=name, nats_url=url, **OPEN, **more)


def test_stream_calls_write_what_the_originals_readers_take(url: str) -> None:
    async def main() -> None:
        got: list[AgentMessage] = []
        bob, alice = sdk(url, "bob"), sdk(url, "alice")
        bob.receive(got.append)
        async with bob, alice:
            to, thread = f"@{bob.username}", alice.thread("s", parent_message_id="asked")
            start = await thread.send_stream_start(to, "s-1", metadata={"model": "m"})
            await thread.send_stream_delta(to, "s-1", "on", seq=1)
            await thread.send_stream_delta(to, "s-1", "e", seq=2)
            await thread.send_stream_end(to, "s-1", seq=3, text="one!")
            await alice.send_stream_error(to, "s-2", "broken", seq=4, thread_id="t")
            await eventually(lambda: len(got) == 5)
        assert start.ok and start.data["type"] == "stream_start" and "seq" not in start.data
        by_type = {message.payload["type"]: message for message in got}
        assert all(message.kind == "stream" for message in got)
        assert by_type["stream_start"].parent_message_id == "asked"
        # Each follows the one before: the start's message is the first delta's parent.
        deltas = sorted((m for m in got if m.payload["type"] == "stream_delta"), key=lambda m: m.payload["seq"])
        assert deltas[0].parent_message_id == start.message_id == by_type["stream_start"].message_id
        members = {"type", "stream_id", "role", "content_type"}
        assert members | {"started_at", "metadata"} <= set(by_type["stream_start"].payload)
        assert members | {"delta", "seq"} <= set(deltas[0].payload)
        assert members | {"finished_at", "metadata", "seq", "text"} <= set(by_type["stream_end"].payload)
        assert {"error", "seq", "finished_at", "metadata"} <= set(by_type["stream_error"].payload)
        begun, ended = parse_stream_start(by_type["stream_start"]), parse_stream_end(by_type["stream_end"])
        assert begun is not None and (begun.stream_id, begun.role, begun.metadata) == ("s-1", "assistant", {"model": "m"})
        assert ended is not None and (ended.seq, ended.text) == (3, "one!")
        assert by_type["stream_error"].thread_id == "t"

    asyncio.run(main())


@dataclass
class Inner:
    values: list[int] = field(default_factory=lambda: [1, 2])


@dataclass
class Order:
    what: str
    inner: Inner = field(default_factory=Inner)


def test_the_forms_that_the_original_takes_are_taken(url: str) -> None:
    async def main() -> None:
        got: list[AgentMessage] = []
        bob, alice = sdk(url, "bob"), sdk(url, "alice")

        @bob.receive
        async def handle(message: AgentMessage) -> None:
            got.append(message)
            if message.reply_to:
                await bob.reply(message, Order("answer"))

        async with bob, alice:
            to = str(bob.username)
            assert (await alice.ask_json(to, Order("x"), timeout=None, thread_id=7)).data == {  # type: ignore[arg-type]
                "what": "answer",
                "inner": {"values": [1, 2]},
            }
            assert got[0].payload == {"what": "x", "inner": {"values": [1, 2]}} and got[0].thread_id == "7"
            await alice.thread(8).send_json(to, [Order("y")], retry_attempts=0, receipt_timeout=20)
            await eventually(lambda: len(got) == 2)
            assert got[1].payload == [{"what": "y", "inner": {"values": [1, 2]}}] and got[1].thread_id == "8"
            [found] = await alice.search_profiles(query=to, online_only=True)
            assert found["account_id"] == bob.account_id

    asyncio.run(main())


def test_blobs_of_the_wrapper_and_of_a_directory(url: str, tmp_path: Path) -> None:
    from agentnet.blob import BlobRef, LocalBlobStore, is_blob_ref, parse_blob_ref

    async def main() -> None:
        got: list[AgentMessage] = []
        name = fresh("bob")
        bob = AgentSDK(agent_id=name, name="B", username=name, nats_url=url, blob_store_dir=tmp_path)
        bob.receive(got.append)
        wrapper = AgentWrapper(agent_id=fresh("w"), name="W", nats_url=url, blob_store_dir=tmp_path)
        async with bob, wrapper:
            (tmp_path / "note.txt").write_text("grün")
            blob = wrapper.put_blob_file(tmp_path / "note.txt", metadata={"n": 1})
            assert wrapper.get_blob_text(blob) == "grün" and wrapper.get_blob_bytes(blob.blob_id) == "grün".encode()
            await wrapper.send_blob_ref(blob=blob, to_username=name)
            await eventually(lambda: got)
            given = parse_blob_ref(got[0].payload)
            assert is_blob_ref(got[0].payload) and given == blob
            assert BlobRef.from_payload(given.to_payload()) == blob
            assert bob.get_blob_text(given) == "grün"
            store = LocalBlobStore(tmp_path)
            assert store.get_text(blob) == "grün" and store.head(blob) == blob
            assert store.get_text(blob, encoding="latin-1") == "grün".encode().decode("latin-1")
            assert wrapper.delete_blob(blob) and wrapper.head_blob(blob) is None and not store.delete(blob)
            with pytest.raises(FileNotFoundError):
                store.get_bytes(blob)
            assert parse_blob_ref({"type": "text"}) is None and not is_blob_ref(None)

    asyncio.run(main())


def test_errors_are_caught_by_the_originals_names(url: str) -> None:
    from agentnet import exceptions

    assert exceptions.ERROR_CLASS_BY_CODE["busy"] is exceptions.AgentBusyError

    async def main() -> None:
        with pytest.raises(exceptions.ConnectionError):
            await agentnet.list_online_agents("nats://t@127.0.0.1:1")
        async with sdk(url, "alice") as alice:
            with pytest.raises(exceptions.RegistryRemoteError, match="not_found") as refused:
                await alice.thread_status(fresh("none"))
            assert isinstance(refused.value, RuntimeError)
            assert type(pickle.loads(pickle.dumps(refused.value))) is type(refused.value)
            with pytest.raises(exceptions.DeliveryRejected, match="capability_unavailable"):
                await alice.send_text("capability:nobody-has-it", "x")

    asyncio.run(main())


def test_times_and_wire_text_of_the_utilities() -> None:
    from agentnet import utils

    now = utils.utc_now_iso()
    assert now.endswith("Z") and utils.parse_iso_utc(now).utcoffset() is not None
    assert utils.parse_iso_utc("2026-02-21T10:00:00+02:00") == utils.parse_iso_utc("2026-02-21T08:00:00Z")
    assert utils.encode_json({"a": [1, "ü"]}) == b'{"a":[1,"\\u00fc"]}' and utils.decode_json(b"") == {}
    assert utils.decode_json(utils.encode_json(Order("x"))) == {"what": "x", "inner": {"values": [1, 2]}}


def test_the_bridge_documents_program(url: str) -> None:
    from bridge import AgentNetBridge

    async def main() -> None:
        got: list[AgentMessage] = []
        names = fresh("left"), fresh("right")
        left, right = (AgentNetBridge(name, name, name, url) for name in names)

        async def silent(message: AgentMessage) -> None:
            pass

        async def inbox(message: AgentMessage) -> None:
            got.append(message)
            if message.reply_to:
                await right.sdk.reply(message, {"text": "received"})

        await left.start(silent)
        await right.start(inbox)
        thread = fresh("thread")
        try:
            online = {agent["username"]: agent for agent in await left.list_online_agents()}
            assert set(names) <= set(online) and online[names[1]]["agent_id"] == names[1]
            assert (await left.get_profile(names[1]))["account_id"] == online[names[1]]["account_id"]
            message_id = await left.send_message(f"@{names[1]}", thread, "hello")
            await eventually(lambda: [m.message_id for m in got] == [message_id])
            answer = await left.request_message(f"@{names[1]}", thread, "and?")
            assert (answer["ok"], answer["thread_id"], answer["text"], answer["error"]) == (True, thread, "received", None)

            async def stored() -> bool:
                try:
                    return (await left.get_thread_state(thread))["message_count"] == 3
                except RuntimeError:
                    return False

            await eventually(stored)
            window = await left.load_thread_window(thread, limit=2)
            rest = await left.load_thread_window(thread, limit=2, cursor=window["next_cursor"])
            assert len(window["messages"]) == 2 and [m["message_id"] for m in rest["messages"]] == [message_id]
        finally:
            await left.stop()
            await right.stop()

    asyncio.run(main())


def test_the_key_file_of_an_agent(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agentnet import dev_auth

    for value, on in (("true", True), (" On ", True), ("1", True), ("no", False), ("", False)):
        monkeypatch.setenv("DEV_AUTH", value)
        assert dev_auth.dev_auth_enabled() is on
    monkeypatch.delenv("DEV_AUTH")
    assert not dev_auth.dev_auth_enabled()
    name = fresh("signer")
    path = dev_auth.key_file(name, name, tmp_path / "keys")
    public = dev_auth.load_or_create_key(path)
    assert dev_auth.load_or_create_key(path) == public and path.stat().st_mode & 0o777 == 0o600

    async def main() -> None:
        # The node takes the same file.
        async with sdk(url, "x", dev_auth_enabled=True, dev_auth_key_dir=tmp_path / "keys") as other:
            assert dev_auth.key_file(other.node.agent_id, other.username, tmp_path / "keys").is_file()

    asyncio.run(main())
    path.write_text("broken")
    with pytest.raises(agentnet.AgentNetError, match="key"):
        dev_auth.load_or_create_key(path)
    assert path.read_text() == "broken"
