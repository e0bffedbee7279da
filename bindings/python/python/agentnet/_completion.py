"""Waiting for what the native part does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from agentnet._native import abandon

T = TypeVar("T")


async def completion(waiter: Awaitable[T]) -> T:
    """Waits for a call of the native part; when the waiting is cancelled, so is the call."""
    try:
        return await waiter
    except asyncio.CancelledError:
        abandon(waiter)
        raise


async def completed(outcome: tuple[T] | Awaitable[T]) -> T:
    """The same for calls that are often complete at once: those give their result in a tuple."""
    if isinstance(outcome, tuple):
        return outcome[0]
    return await completion(outcome)
