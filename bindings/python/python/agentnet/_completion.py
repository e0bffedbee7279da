"""Waiting for calls of the native part."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from agentnet._native import abandon

T = TypeVar("T")

Outcome = tuple[T] | Awaitable[T]
"""What a call of the native part gives that is often complete at once: its result, in a tuple, or something to await."""


async def completion(awaitable: Awaitable[T]) -> T:
    """Waits for a call of the native part. When the waiting is cancelled, the call is cancelled too."""
    try:
        return await awaitable
    except asyncio.CancelledError:
        abandon(awaitable)
        raise


async def completed(outcome: Outcome[T]) -> T:
    """The result of a call that is often complete at once."""
    if isinstance(outcome, tuple):
        return outcome[0]
    return await completion(outcome)
