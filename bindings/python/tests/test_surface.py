"""The names, parameters and defaults of PROTOCOL.md section 17, and what holds of a node that does not run."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import agentnet
import nats
import pytest
from agentnet import AgentNode, AgentSDK, AgentWrapper, NoRegistryError, NoRespondersError, RegistryError, registry
from conftest import echo, eventually, fresh, settled

REQUIRED = inspect.Parameter.empty
# Parameters that the original does not have: to be given by name, with a default that leaves everything as it was.
ADDED = ("mailbox", "blob_dir", "blob_storage", "pull_mailbox", "task_concurrency")
COMMON: dict[str, Any] = {
    "ttl_ms": None,
    "trace_id": None,
    "thread_id": None,
    "parent_message_id": None,
    "idempotency_key": None,
}
ACKNOWLEDGED: dict[str, Any] = {"require_delivery_ack": True, "retry_attempts": None, "receipt_timeout": None}
IDENTITY: dict[str, Any] = {
    "username": None,
    "account_id": None,
    "capabilities": None,
    "nats_url": None,
    "metadata": None,
    "heartbeat_interval": 12.0,
}
NODE: dict[str, Any] = {
    "agent_id": REQUIRED,
    "name": REQUIRED,
    "account_id": None,
    "username": None,
    "capabilities": None,
    "nats_url": None,
    "metadata": None,
    "heartbeat_interval": 12.0,
    "logger": None,
    "max_concurrency": 4,
    "max_pending": 100,
    "max_payload_bytes": 256_000,
    "work_timeout_seconds": 30.0,
    "drain_timeout_seconds": 20.0,
    "default_ttl_ms": 30_000,
    "dedupe_ttl_seconds": 600.0,
    "rate_limit_per_sender_per_sec": 5.0,
    "rate_limit_burst": 10,
    "circuit_breaker_failures": 5,
    "circuit_breaker_reset_seconds": 15.0,
    "default_send_retry_attempts": 2,
    "default_receipt_timeout_seconds": 1.5,
    "default_schema_version": "1.1",
    "supported_schema_major": 1,
    "dev_auth_enabled": None,
    "dev_auth_key_dir": None,
    "dev_auth_key_cache_seconds": 300.0,
}


def parameters(function: Callable[..., Any], ours: tuple[str, ...] = ()) -> dict[str, Any]:
    """Names and defaults in their order, without those that the original does not have."""
    found = inspect.signature(function).parameters.values()
    named = [p for p in found if p.kind is not inspect.Parameter.VAR_KEYWORD and p.name not in ("self", *ours)]
    return {parameter.name: parameter.default for parameter in named}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (AgentNode.send, {"to": REQUIRED, "payload": REQUIRED, "kind": "direct", **COMMON, **ACKNOWLEDGED}),
        (
            AgentNode.send_to_account,
            {"to_account_id": REQUIRED, "payload": REQUIRED, "kind": "direct", **COMMON, **ACKNOWLEDGED},
        ),
        (
            AgentNode.send_to_username,
            {"username": REQUIRED, "payload": REQUIRED, "kind": "direct", **COMMON, **ACKNOWLEDGED, "timeout": 2.0},
        ),
        (
            AgentNode.send_to_capability,
            {"capability": REQUIRED, "payload": REQUIRED, "kind": "direct", **COMMON, **ACKNOWLEDGED},
        ),
        (AgentNode.request, {"to": REQUIRED, "payload": REQUIRED, "timeout": 5.0, "kind": "request", **COMMON}),
        (
            AgentNode.request_account,
            {"to_account_id": REQUIRED, "payload": REQUIRED, "timeout": 5.0, "kind": "request", **COMMON},
        ),
        (AgentNode.reply, {"request": REQUIRED, "payload": REQUIRED, "kind": "reply", **COMMON}),
        (AgentNode.resolve_account_id_by_username, {"username": REQUIRED, "timeout": 2.0}),
        (AgentSDK.list_online, {"timeout": 2.0}),
        (registry.list_online_agents_with_client, {"nc": REQUIRED, "timeout": 2.0}),
        (registry.resolve_account_by_username, {"nats_url": REQUIRED, "username": REQUIRED, "timeout": 2.0}),
    ],
)
def test_calls_take_what_section_17_says(function: Callable[..., Any], expected: dict[str, Any]) -> None:
    # The order of what is mostly named may differ; what comes without a name may not.
    found = parameters(function, ADDED)
    assert found == expected
    positional = [name for name, default in expected.items() if default is REQUIRED]
    assert list(found)[: len(positional)] == positional


def test_constructors_take_what_section_17_says() -> None:
    assert list(parameters(AgentNode, ADDED).items()) == list(NODE.items())
    for function in (AgentNode, AgentNode.send, AgentNode.send_to_username):
        added = [p for p in inspect.signature(function).parameters.values() if p.name in ADDED]
        assert added and all(one.kind is one.KEYWORD_ONLY and one.default is not REQUIRED for one in added)
    required = {"agent_id": REQUIRED, "name": REQUIRED}
    blobs = {"blob_store_dir": None}
    sdk = {**required, **IDENTITY, **blobs, "default_request_timeout": 60.0, "default_thread_prefix": "thread_sdk"}
    assert parameters(AgentSDK) == sdk
    assert parameters(AgentWrapper) == {**required, **IDENTITY, **blobs}


def test_options_are_attributes_within_their_minima() -> None:
    node = AgentNode("a", "A")
    kept = {name: getattr(node, name) for name in NODE if name not in ("logger", "capabilities", "metadata")}
    given = NODE | {"agent_id": "a", "name": "A", "nats_url": agentnet.config.default_nats_url()}
    assert kept == {name: default for name, default in given.items() if name in kept}
    minima: dict[str, Any] = {
        "max_concurrency": 1,
        "max_pending": 1,
        "max_payload_bytes": 1,
        "default_ttl_ms": 1,
        "rate_limit_burst": 1,
        "circuit_breaker_failures": 1,
        "work_timeout_seconds": 0.1,
        "drain_timeout_seconds": 0.1,
        "dedupe_ttl_seconds": 1.0,
        "circuit_breaker_reset_seconds": 1.0,
        "heartbeat_interval": 1.0,
        "rate_limit_per_sender_per_sec": 0.1,
        "default_receipt_timeout_seconds": 0.2,
        "dev_auth_key_cache_seconds": 5.0,
    }
    least = AgentNode("a", "A", **dict.fromkeys(minima, 0))
    assert {name: getattr(least, name) for name in minima} == minima


def test_errors_are_what_the_original_raised() -> None:
    assert not issubclass(agentnet.AgentSDKError, RuntimeError)
    assert issubclass(NoRegistryError, RegistryError) and issubclass(NoRegistryError, NoRespondersError)
    snapshot = AgentNode("a", "A").metrics_snapshot()
    counters = (
        "inflight pending processed dropped timeout error rate_limited expired payload_rejected duplicate busy retry "
        "receipt_timeout"
    )
    expected = {f"{name}_count" for name in counters.split()} | {
        *("account_id", "username", "agent_id", "session_tag", "avg_handle_ms", "circuit_open"),
        *("latency_ms", "username_cache"),
    }
    assert expected <= set(snapshot)
    assert set(snapshot["username_cache"]) == {"ttl_seconds", "size", "hits", "misses"}


def test_a_node_that_does_not_run_asks_the_registry_all_the_same(url: str) -> None:
    async def main() -> None:
        bob = AgentNode(fresh("bob"), "B", username=fresh("bob"), nats_url=url)
        alice = AgentNode(fresh("alice"), "A", nats_url=url)
        async with bob:
            assert await alice.resolve_account_id_by_username(f"@{bob.username}") == bob.account_id
            assert bob.account_id in {agent.account_id for agent in await alice.list_online_agents()}
            profile = await alice.get_profile(username=bob.username)
            assert profile["account_id"] == bob.account_id
            assert (await alice.search_profiles(query=str(bob.username)))[0]["username"] == bob.username
            sdk = AgentSDK(agent_id="x", name="X", nats_url=url)
            assert isinstance(await sdk.list_threads(), list)
        for name in ("", " ", "@"):
            with pytest.raises(ValueError, match="username is required"):
                await alice.resolve_account_id_by_username(name)
            with pytest.raises(ValueError, match="username is required"):
                await alice.send_to_username(name, 1)
            with pytest.raises(ValueError, match="username is required"):
                await alice.request_username(name, 1)

    asyncio.run(main())


def test_every_variant_with_a_client_works_over_nats_py(url: str) -> None:
    async def main() -> None:
        nc = await nats.connect(url)  # type: ignore[attr-defined]
        bob = AgentNode(fresh("bob"), "B", username=fresh("bob"), capabilities=["paint"], nats_url=url)
        await echo(bob)
        async with bob, AgentNode(fresh("alice"), "A", nats_url=url) as alice:
            message_id = await alice.send(f"@{bob.username}", {"n": 1}, thread_id=fresh("thread"))

            async def stored() -> list[dict[str, Any]]:
                found = await registry.search_messages_with_client(nc, from_account_id=alice.account_id)
                return found["messages"]

            [message] = await eventually(stored)
            assert message["message_id"] == message_id
            thread_id = message["thread_id"]
            page = await registry.get_thread_messages_with_client(nc, thread_id=thread_id)
            assert [message["message_id"] for message in page["messages"]] == [message_id]
            status = await registry.get_thread_status_with_client(nc, thread_id=thread_id)
            assert status["message_count"] == 1
            threads = await registry.list_threads_with_client(nc, participant_username=bob.username)
            assert [thread["thread_id"] for thread in threads] == [thread_id]
            profiles = await registry.search_profiles_with_client(nc, query=str(bob.username), capability="paint")
            assert [profile["account_id"] for profile in profiles] == [bob.account_id]
            assert (await registry.get_registry_metrics_with_client(nc))["store_enabled"] is True
            with pytest.raises(RegistryError, match="not_found"):
                await registry.resolve_dev_public_key_by_account_with_client(nc, str(bob.account_id))
        await nc.close()

    asyncio.run(main())


def test_two_starts_at_once_are_one(url: str) -> None:
    async def main() -> None:
        node = AgentNode(fresh("bob"), "B", nats_url=url)
        await asyncio.gather(node.start(), node.start())
        assert node.session_tag is not None
        await node.start()
        await node.close()

    asyncio.run(main())


def test_a_handler_is_replaced_while_the_node_runs(url: str) -> None:
    async def main() -> None:
        bob = AgentNode(fresh("bob"), "B", nats_url=url)
        await echo(bob)
        async with bob, AgentNode(fresh("alice"), "A", nats_url=url) as alice:
            account = str(bob.account_id)
            assert (await alice.request_account(account, 1)).payload == {"echo": 1}

            @bob.on_message
            async def other(message: agentnet.AgentMessage) -> None:
                await bob.reply(message, "another")

            assert (await alice.request_account(account, 2)).payload == "another"

    asyncio.run(main())


def test_without_a_registry_there_are_no_responders(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "nats-server"
    # It takes a free port, and writes which.
    command = [program, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", tmp_path]
    with (tmp_path / "nats.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    async def main() -> None:
        [ports] = await eventually(lambda: list(tmp_path.glob("*.ports")))
        [url] = await eventually(lambda: json.loads(ports.read_text() or "{}").get("nats"))
        connection = await registry.RegistryConnection.connect(url)
        with pytest.raises(NoRegistryError, match="No registry answers registry.list"):
            await registry.list_online_agents_with_client(connection)
        nc = await nats.connect(url)  # type: ignore[attr-defined]

        async def silent(_: Any) -> None: ...

        await nc.subscribe("registry.list", cb=silent)
        await settled(nc)
        for client in (connection, nc):
            with pytest.raises(RegistryError, match=r"^Registry did not respond to registry\.list$"):
                await registry.list_online_agents_with_client(client, timeout=0.2)
        await nc.close()

    try:
        asyncio.run(main())
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_a_cancelled_start_leaves_nothing_behind(url: str) -> None:
    async def main() -> None:
        name = fresh("bob")
        node = AgentNode(name, "B", username=name, nats_url=url)
        await echo(node)
        for turns in [*range(12), 100, 1_000, 10_000]:
            starting = asyncio.create_task(node.start())
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            outcome = await asyncio.gather(starting, return_exceptions=True)
            if outcome == [None]:
                await node.close()
            assert node.session_tag is None
            # It can be started again, and works.
            async with node, AgentNode(fresh("alice"), "A", nats_url=url) as alice:
                reply = await alice.request_account(str(node.account_id), turns, timeout=10)
                assert reply.payload == {"echo": turns}

    asyncio.run(asyncio.wait_for(main(), 60))
