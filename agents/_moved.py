"""Says which command replaces a program of this folder."""

from __future__ import annotations

import shlex
import sys
from typing import NoReturn


def moved(program: str, *command: str, hint: str) -> NoReturn:
    """Prints the command and exits with code 2."""
    print(f"{program} has moved into the agentnet command. Run:\n\n    {shlex.join(command)}\n\n{hint}", file=sys.stderr)
    sys.exit(2)
