"""``python -m agentnet …``: the command ``agentnet`` of this installation."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path


def command() -> Path:
    """Where the command is: among the scripts of this environment, or of this user."""
    name = "agentnet" + (sysconfig.get_config_var("EXE") or "")
    schemes = [sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")]
    places = [Path(sysconfig.get_path("scripts", scheme)) for scheme in schemes]
    # `pip install --target`: scripts stand beside the package.
    places.append(Path(__file__).resolve().parent.parent / "bin")
    for place in places:
        if (place / name).is_file():
            return place / name
    raise FileNotFoundError(f"the command {name} is in none of " + ", ".join(map(str, places)))


def main() -> None:
    """Becomes the command."""
    path = command()
    os.execv(path, [str(path), *sys.argv[1:]])


if __name__ == "__main__":
    main()
