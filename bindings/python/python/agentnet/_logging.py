"""What the native part reports, for ``logging``: one thread hands it to loggers named ``agentnet.<module>``."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import traceback

from agentnet._native import close_logs, next_log, open_logs

_lock = threading.Lock()
_opened = False

# The node's own runner logs a handler's failure, with its traceback.
_LOGGED_BY_PYTHON = ("agentnet.worker", "handler failed")


def open_logging() -> None:
    """Starts handing over records, once a process. Records below the level of the logger ``agentnet`` at this moment are
    not collected; by default that is WARNING."""
    global _opened
    # Once opened, for good: a fork of this process can do nothing with it anyway.
    if _opened:
        return
    with _lock:
        if _opened:
            return
        _opened = True
        level = logging.getLogger("agentnet").getEffectiveLevel()
        if not open_logs(min(level, 255)):
            return
        thread = threading.Thread(target=_hand_over, name="agentnet-logging", daemon=True)
        thread.start()

        process = os.getpid()

        def close() -> None:
            if os.getpid() == process:
                close_logs()
                thread.join(timeout=2.0)

        # Before the interpreter ends, and the thread with it.
        atexit.register(close)


def _hand_over() -> None:
    while (record := next_log()) is not None:
        level, name, text = record
        if name == _LOGGED_BY_PYTHON[0] and text.startswith(_LOGGED_BY_PYTHON[1]):
            continue
        try:
            logging.getLogger(name).log(level, "%s", text)
        except Exception:
            # A handler of the user's that raises must not end the thread.
            traceback.print_exc()
