"""Log records of the native part for ``logging``: one thread passes them to loggers named ``agentnet.<module>``."""

from __future__ import annotations

import _thread
import atexit
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from agentnet._native import close_logs, next_log, open_logs, wait_for_leaving

_lock = threading.Lock()
_opened = False

# Seconds that the process waits at its end: for nodes that are leaving, and for the last records.
_LEAVE_TIMEOUT = 2.0
_FLUSH_TIMEOUT = 2.0


class _Lock(Protocol):
    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...
    def release(self) -> None: ...


# The node logs the failure of a handler itself, with the traceback.
_LOGGED_BY_PYTHON = ("agentnet.worker", "handler failed")


def open_logging() -> None:
    """Starts passing on records, once in a process. Records below the level that the logger ``agentnet`` has at this moment
    are not collected; by default that is WARNING."""
    global _opened
    # It stays open; a fork of this process cannot use it anyway.
    if _opened:
        return
    with _lock:
        if _opened:
            return
        _opened = True
        level = logging.getLogger("agentnet").getEffectiveLevel()
        opened = open_logs(min(level, 255))
        ended = _start_thread() if opened else None
        process = os.getpid()

        def close() -> None:
            if os.getpid() != process:
                return
            # Nodes whose loop has ended leave the network.
            wait_for_leaving(_LEAVE_TIMEOUT)
            close_logs()
            if ended is not None:
                ended.acquire(timeout=_FLUSH_TIMEOUT)

        # This runs before the interpreter ends and stops the thread.
        atexit.register(close)


def _start_thread() -> _Lock:
    """Starts the thread; returns a lock that is held until it ends.

    It waits in the native part, so it must be a thread of the system: a green thread of gevent or eventlet would block all
    others meanwhile.
    """
    start_new_thread, allocate_lock = _threads()
    ended: _Lock = allocate_lock()
    ended.acquire()

    def run() -> None:
        try:
            _hand_over()
        finally:
            ended.release()

    start_new_thread(run, ())
    return ended


def _threads() -> tuple[Callable[..., Any], Callable[[], Any]]:
    gevent: Any = sys.modules.get("gevent.monkey")
    if gevent is not None:
        start_new_thread, allocate_lock = gevent.get_original("_thread", ["start_new_thread", "allocate_lock"])
        return start_new_thread, allocate_lock
    eventlet: Any = sys.modules.get("eventlet.patcher")
    module: Any = _thread if eventlet is None else eventlet.original("_thread")
    return module.start_new_thread, module.allocate_lock


def _hand_over() -> None:
    while (record := next_log()) is not None:
        level, name, text = record
        if name == _LOGGED_BY_PYTHON[0] and text.startswith(_LOGGED_BY_PYTHON[1]):
            continue
        try:
            logging.getLogger(name).log(level, "%s", text)
        except Exception:
            # A logging handler that raises must not end the thread.
            traceback.print_exc()
