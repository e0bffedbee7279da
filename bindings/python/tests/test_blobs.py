"""Blobs on the event loop."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import sys
from pathlib import Path
from typing import Any

from agentnet import AgentSDK, BlobStore
from conftest import REPOSITORY, fresh


def test_the_calls_are_those_of_the_guide() -> None:
    [guide] = [line for line in (REPOSITORY / "docs" / "BLOBS.md").read_text().splitlines() if "`node.blobs` and" in line]
    listed = guide[guide.index("`put_bytes`") : guide.index(", awaited")]
    named = re.findall(r"`(\w+)`", listed)
    calls = {name for name, _ in inspect.getmembers(BlobStore, inspect.isfunction) if not name.startswith("_")}
    assert set(named) == calls


def test_progress_of_blobs_is_told_on_the_loop(url: str, tmp_path: Path) -> None:
    large, copy = tmp_path / "large.bin", tmp_path / "copy.bin"
    large.write_bytes(os.urandom(3_000_000))

    async def main() -> None:
        loop, seen = asyncio.get_running_loop(), list[tuple[int, int | None]]()

        def told(done: int, total: int | None) -> None:
            assert asyncio.get_running_loop() is loop
            seen.append((done, total))

        def complete() -> bool:
            steps = [done for done, _ in seen]
            told, seen[:] = list(seen), []
            assert steps == sorted(steps) and len(steps) > 2
            return told[0] == (0, 3_000_000) and told[-1] == (3_000_000, 3_000_000)

        sdk = AgentSDK(agent_id=fresh("a"), name="A", nats_url=url, blob_dir=tmp_path / "blobs")
        blob = await sdk.blobs.put_file(large, progress=told)
        assert complete()
        assert await sdk.blobs.get_bytes(blob, progress=told) == large.read_bytes()
        assert complete()
        await sdk.blobs.get_to_file(blob, copy, progress=told)
        assert complete() and copy.read_bytes() == large.read_bytes()

        def fails(done: int, total: int | None) -> None:
            raise RuntimeError("told too much")

        # It is reported as unraisable, and the call goes on.
        failures: list[Any] = []
        previous, sys.unraisablehook = sys.unraisablehook, failures.append
        try:
            assert (await sdk.blobs.put_bytes(b"x", progress=fails)).size_bytes == 1
        finally:
            sys.unraisablehook = previous
        assert failures and str(failures[0].exc_value) == "told too much"

    asyncio.run(main())
