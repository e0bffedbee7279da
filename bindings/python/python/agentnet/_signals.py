"""Signals that stop ``AgentNode.start_forever``."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any


def watch_signals(stopped: asyncio.Event) -> Callable[[], None]:
    """Sets the event at Ctrl-C and SIGTERM, unless the program has a handler for the signal. Returns a function that undoes
    it."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    event_loop = asyncio.get_running_loop()
    watched: list[tuple[signal.Signals, Any]] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)
        if not _is_free(number, before):
            continue
        try:
            event_loop.add_signal_handler(number, stopped.set)
        except (NotImplementedError, RuntimeError, ValueError):
            continue
        watched.append((number, before))

    def unwatch() -> None:
        for number, before in watched:
            event_loop.remove_signal_handler(number)
            signal.signal(number, before)

    return unwatch


def _is_free(number: signal.Signals, handler: Any) -> bool:
    """Whether the program has set no handler for a signal. Python's own handler of Ctrl-C and that of ``asyncio.run`` do not
    count; the latter is recognized by its name, which is private to asyncio (CPython 3.11 to 3.13)."""
    if number == signal.SIGTERM:
        return handler is signal.SIG_DFL
    of_runner = getattr(getattr(handler, "func", None), "__qualname__", "") == "Runner._on_sigint"
    return handler is signal.default_int_handler or of_runner
