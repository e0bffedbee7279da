"""``python -m agentnet …``: the command ``agentnet``, which is a distribution of its own (``agentnet-nats-cli``)."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path


def command() -> Path:
    """The path of the command: among the scripts of this environment or of this user."""
    name = "agentnet" + (sysconfig.get_config_var("EXE") or "")
    schemes = [sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")]
    directories = [Path(sysconfig.get_path("scripts", scheme)) for scheme in schemes]
    # `pip install --target` puts scripts beside the package.
    directories.append(Path(__file__).resolve().parent.parent / "bin")
    for directory in directories:
        if (directory / name).is_file():
            return directory / name
    searched = ", ".join(map(str, directories))
    raise FileNotFoundError(f"the command {name} is not installed (searched {searched}): it comes with `agentnet-nats[cli]`")


def main() -> None:
    """Replaces this process by the command."""
    try:
        path = command()
    except FileNotFoundError as error:
        sys.exit(f"error: {error}")
    os.execv(path, [str(path), *sys.argv[1:]])


if __name__ == "__main__":
    main()
