"""The high-level calls, threads, the wrapper, errors by class."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import OPEN, echo, eventually, fresh, gone

import agentnet
from agentnet import AgentMessage, AgentNode, AgentSDK, AgentWrapper
from agentnet.errors import RegistryProtocolError, request_error


def sdk(url: str, stem: str, **options: Any) -> AgentSDK:
    name = fresh(stem)
    return AgentSDK(agent_id=name, name=stem, username=name, nats_url=url, **OPEN, **options)


def test_threads_carry_their_parent(url: str) -> None:
    async def main() -> None:
        got: list[AgentMessage] = []
        bob, alice = sdk(url, "bob"), sdk(url, "alice", default_thread_prefix="ops", default_request_timeout=0)

        @bob.receive
        async def handle(message: AgentMessage) -> None:
            got.append(message)
            if message.reply_to:
                await bob.reply(message, {"text": " fine ", "n": 10**20})

        async with bob, alice:
            assert alice.default_request_timeout == 0.1
            to = f"@{bob.username}"
            thread = alice.thread("t-1", parent_message_id="p")
            sent = await thread.send_text(to, "one")
            assert (sent.ok, sent.thread_id, sent.parent_message_id) == (True, "t-1", "p")
            answer = await thread.ask_text(to, "two", timeout=10)
            assert (answer.text, answer.data, answer.thread_id) == ("fine", {"text": " fine ", "n": 10**20}, "t-1")
            await eventually(lambda: len(got) == 2)
            assert got[1].parent_message_id == sent.message_id
            assert answer.parent_message_id == got[1].message_id and answer.trace_id == got[1].message_id
            await thread.send_json(to, [1], idempotency_key="k")
            await eventually(lambda: len(got) == 3)
            assert got[-1].parent_message_id == answer.message_id and got[-1].idempotency_key == "k"
            thread.set_parent(None)
            await thread.ask_json(to, {"x": 1}, timeout=10)
            assert got[-1].parent_message_id is None
            for target in (bob.username, f"account:{bob.account_id}", bob.account_id, f"username:{bob.username}"):
                await alice.send_json(str(target), {})
            new = await alice.send_text(to, "new")
            assert str(new.thread_id).startswith("ops_")
            with pytest.raises(ValueError, match="thread_id is required"):
                alice.thread(" ")
            for target, text in [
                ("", "target is required"),
                ("account:", "account target cannot be empty"),
                ("capability:", "capability target cannot be empty"),
                ("@", "username target cannot be empty"),
            ]:
                with pytest.raises(ValueError, match=text):
                    await alice.send_text(target, "x")
            with pytest.raises(ValueError, match="not valid for get_profile"):
                await alice.get_profile("capability:x")

    asyncio.run(main())


def test_reported_errors_raise_by_their_code(url: str) -> None:
    async def main() -> None:
        bob, alice = sdk(url, "bob"), sdk(url, "alice")

        @bob.receive
        async def handle(message: AgentMessage) -> None:
            await bob.reply(message, message.payload)

        async with bob, alice:
            to = str(bob.username)
            for code, error_class in [
                ("busy", agentnet.AgentBusyError),
                ("shutting_down", agentnet.AgentBusyError),
                ("rate_limited", agentnet.AgentRateLimitedError),
                ("timeout", agentnet.AgentTimeoutError),
                ("service_degraded", agentnet.AgentServiceDegradedError),
                ("duplicate", agentnet.AgentDuplicateError),
                ("expired", agentnet.AgentExpiredError),
                ("missing_ttl", agentnet.AgentExpiredError),
                ("handler_error", agentnet.AgentHandlerError),
                ("no_such_code", agentnet.AgentRequestError),
            ]:
                with pytest.raises(agentnet.AgentRequestError, match=f"^{code}: why$") as caught:
                    await alice.ask_json(to, {"error": code, "detail": " why ", "request_message_id": "r", "trace_id": "t"})
                error = caught.value
                assert type(error) is error_class and isinstance(error, agentnet.AgentSDKError)
                assert (error.code, error.detail, error.trace_id, error.request_message_id) == (code, "why", "t", "r")
                again = pickle.loads(pickle.dumps(error))
                assert type(again) is error_class and again.detail == "why"
            assert (await alice.ask_json(to, {"error": ""})).ok
            # Nobody is there: the registry says so at once.
            account = str(bob.account_id)
            await bob.stop()
            await gone(url, account)
            with pytest.raises((agentnet.AgentRequestError, agentnet.NoRespondersError)):
                await alice.ask_text(account, "hello?", timeout=5)

    asyncio.run(main())
    assert str(request_error("x")) == "x"


def test_the_wrapper_takes_one_target(url: str) -> None:
    async def main() -> None:
        name = fresh("worker")
        worker = AgentWrapper(
            agent_id=name, name="W", username=name, capabilities=["wrapped"], nats_url=url, **OPEN
        )

        @worker.receive
        async def handle(message: AgentMessage) -> None:
            if message.reply_to:
                await worker.reply(request=message, payload={"got": message.payload})

        await worker.connect()
        async with AgentWrapper(agent_id=fresh("asker"), name="A", nats_url=url) as asker:
            assert await asker.resolve_username(f"@{name}") == worker.account_id
            for target in (
                {"to_username": name},
                {"to_account_id": worker.account_id},
                {"to_capability": "wrapped"},
            ):
                assert (await asker.request(payload=1, **target)).payload == {"got": 1}  # type: ignore[arg-type]
                assert await asker.send(payload=2, **target)  # type: ignore[arg-type]
            for targets in ({}, {"to_username": "a", "to_capability": "b"}):
                with pytest.raises(ValueError, match="Provide exactly one target"):
                    await asker.send(payload=1, **targets)
                with pytest.raises(ValueError, match="Provide exactly one target"):
                    await asker.request(payload=1, **targets)
            assert [found["username"] for found in await asker.search_profiles(query=name)] == [name]
            assert (await asker.get_profile(username=name))["account_id"] == worker.account_id
            account = str(worker.account_id)
            await worker.close()
            await gone(url, account)
            with pytest.raises(agentnet.AgentRequestError, match="recipient_offline|account_not_found"):
                await asker.request(payload=1, to_account_id=account)
        assert worker.session_tag is None

    asyncio.run(main())


@pytest.mark.parametrize(
    ("behind", "agents", "why"),
    [
        (lambda _page: 7, 1, "a cursor came again"),
        (lambda page: (page + 1) % 5, 1, "a cursor came again"),
        (lambda page: page + 1, 0, "100 in a row had no items"),
    ],
)
def test_a_list_that_does_not_end_is_an_error(behind: Callable[[int], int], agents: int, why: str) -> None:
    from agentnet import registry

    class Client:
        """Asks a registry that gives cursors for ever."""

        async def request(self, subject: str, payload: bytes = b"", timeout: float = 0.5) -> Any:
            page = int(json.loads(payload).get("cursor", "0"))
            reply = {"agents": [{"agent_id": "a", "name": "a"}] * agents, "next_cursor": str(behind(page))}
            return SimpleNamespace(data=json.dumps(reply).encode())

    async def main() -> None:
        with pytest.raises(RegistryProtocolError, match=f"the pages of registry.list do not end: {why}"):
            await registry.list_online_agents_with_client(Client())

    asyncio.run(main())


def test_module_functions_and_their_client_forms(url: str) -> None:
    import nats

    from agentnet import registry

    async def main() -> None:
        name, thread = fresh("known"), fresh("thread")
        async with AgentNode(agent_id=name, name="Known", username=name, nats_url=url, **OPEN) as node:
            await echo(node)
            account = str(node.account_id)
            token, address = url.removeprefix("nats://").split("@")
            raw = await nats.connect(f"nats://{address}", token=token)
            assert await agentnet.resolve_account_by_username(url, f"@{name}") == (account, name)
            assert await registry.resolve_account_by_username_with_client(raw, name) == (account, name)
            for client in (raw, await registry.RegistryConnection.connect(url)):
                listed = await registry.list_online_agents_with_client(client)
                assert account in [agent.account_id for agent in listed]
                assert (await registry.get_profile_with_client(client, account_id=account))["username"] == name
                with pytest.raises(RuntimeError, match="not_found"):
                    await registry.get_thread_status_with_client(client, thread_id=thread)
                assert await registry.list_threads_with_client(client, query=thread, limit=1000) == []
            await raw.close()
            assert [found["account_id"] for found in await agentnet.search_profiles(url, query=name)] == [account]
            assert (await agentnet.get_profile(url, username=name))["account_id"] == account
            assert await agentnet.list_threads(url, query=thread) == []
            page = await agentnet.get_thread_messages(url, thread_id=thread, limit=10_000)
            assert page["limit"] == 200 and page["messages"] == []
            assert (await agentnet.search_messages(url, thread_id=thread))["messages"] == []
            assert "handlers" in await agentnet.get_registry_metrics(url)
            with pytest.raises(RuntimeError, match="not_found"):
                await agentnet.get_thread_status(url, thread_id=thread, soft_limit_tokens=1)
            with pytest.raises(RuntimeError, match="not_found"):
                await agentnet.resolve_dev_public_key_by_account(url, account)
            for call in (
                agentnet.get_profile(url),
                agentnet.get_thread_messages(url, thread_id=""),
                agentnet.resolve_account_by_username(url, " @ "),
            ):
                with pytest.raises(ValueError, match="required"):
                    await call
            with pytest.raises(RuntimeError, match="Cannot connect to NATS at .* Is it running?"):
                await agentnet.list_online_agents("nats://t@127.0.0.1:1")

    asyncio.run(main())


def test_signed_identity(url: str, tmp_path: Any) -> None:
    async def main() -> None:
        options: dict[str, Any] = {"dev_auth_enabled": True, "dev_auth_key_dir": str(tmp_path / "keys")}
        name = fresh("signer")
        bob = AgentNode(agent_id=name, name="B", username=name, nats_url=url, **options)
        await echo(bob)
        async with bob, AgentNode(agent_id=fresh("plain"), name="P", nats_url=url) as plain:
            assert (tmp_path / "keys" / f"{name}.json").is_file()
            with pytest.raises(RuntimeError, match="delivery_rejected auth_missing"):
                await plain.send(name, 1)

    asyncio.run(main())
